"""What the ways of computing the vectors of one model are compared on."""

import numpy as np

from routeret.types import FloatArray

PROBES = (
    "tax",
    "how do I reset a forgotten password",
    "ÜBER den Zustand der Brücke, 2nd ed. (1987)",
    "東京の天気 🌧 tomorrow",
    "nurse, intensive care unit; night shift",
    "Does a low dose of aspirin lower the risk of a second stroke in adults older than sixty years?",
    "select name from clients where city = 'Oslo' order by id desc limit 10;",
    "blue cotton shirt with long sleeves, size M",
    " ".join(["The committee met again and postponed the decision about the harbour."] * 12),
)
"""Short and long, several scripts, a code."""


LEAST_COSINE = {"float32": 0.9999, "int8": 0.999, "bfloat16": 0.999}
"""The least cosine to the vector that PyTorch writes in float32, by arithmetic. Below 0.999 it is of another space."""


LEAST_COSINE_ASKED_FOR = 0.99
"""The same for queries in 8-bit numbers that were asked for by name; less is told."""


def cosines_of(left: FloatArray, right: FloatArray) -> FloatArray:
    """The cosine of every row of one with that of the other, shape (n_rows,)."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: FloatArray = np.einsum("nd,nd->n", left, right) / lengths
    return cosines
