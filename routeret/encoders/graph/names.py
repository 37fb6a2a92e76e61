"""What an exported graph calls its inputs and its output."""

import numpy as np

from routeret.types import FloatArray

OUTPUT = "vectors"
SCALE = "scale"


def matrix_names(n_layers: int) -> list[str]:
    """The matrices of adapters: A of every layer, then B of every layer."""
    return [f"{letter}{place}" for letter in "AB" for place in range(n_layers)]


def named_matrices(down: list[FloatArray], up: list[FloatArray]) -> dict[str, FloatArray]:
    """A and B of every layer by their names, each in one piece of memory."""
    arrays = [np.ascontiguousarray(one) for one in (*down, *up)]
    return dict(zip(matrix_names(len(down)), arrays, strict=True))
