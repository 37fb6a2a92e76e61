"""The stored vectors as search reads them."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from routeret.types import FloatArray, IntArray


class RowVectors(Protocol):
    """The vectors of a snapshot, usually memory-mapped."""

    @property
    def n_rows(self) -> int:
        """How many rows."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[FloatArray]:
        """Rows ``start`` to ``end`` in their order, float32, shapes (n, dim), some thousand rows at a time."""

    def take(self, rows: IntArray) -> FloatArray:
        """Vectors of some rows, float32, shape (n, dim), in the order asked for."""

    def scores(self, rows: IntArray, query: FloatArray) -> FloatArray:
        """Exact scores of some rows, as :func:`routeret.index.structures.best.exact_scores` gives them, shape (n,)."""


def longest(vectors: FloatArray) -> float:
    """The largest length of a vector, shape (n, dim); 0 where there is none."""
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))
