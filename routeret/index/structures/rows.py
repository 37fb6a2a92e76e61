"""The stored vectors as search reads them, and vectors in memory that can grow."""

import threading
from collections.abc import Iterable, Iterator
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


class MemoryRows:
    """Some rows in memory as float32. Growing gives a new object; whoever holds the old one sees no change.

    The old and the new share their memory, with room for more behind, so that one more row costs one row's copy.

    Attributes:
        vectors: float32, shape (n_rows, dim); do not change it.
        longest: the largest length of a vector; 0 where there is none.
    """

    def __init__(self, buffer: "_Buffer", n_rows: int, longest: float) -> None:
        """Keep the first rows of a buffer; :meth:`read` and :meth:`grown` are the way in."""
        self._buffer = buffer
        self.vectors: FloatArray = buffer.array[:n_rows]
        self.longest = longest

    @classmethod
    def read(cls, blocks: Iterable[FloatArray], *, n_rows: int, dim: int) -> "MemoryRows":
        """Take blocks into memory, float32, shapes (n, dim), together ``n_rows`` rows."""
        buffer = _Buffer(n_rows, dim)
        return cls(buffer, n_rows, buffer.append(blocks))

    def grown(self, blocks: Iterable[FloatArray], *, n_rows: int) -> "MemoryRows":
        """These rows and those of ``blocks``, together ``n_rows`` rows."""
        known = len(self.vectors)
        buffer = self._buffer
        with buffer.lock:
            if buffer.n_used != known or len(buffer.array) < n_rows:
                # Somebody else grew from here already, or there is no room: a copy with room for as much again.
                buffer = _Buffer(2 * n_rows, self.vectors.shape[1])
                buffer.append([self.vectors])
            return MemoryRows(buffer, n_rows, max(self.longest, buffer.append(blocks)))


class _Buffer:
    """Memory that is filled from the front. Pages that nobody wrote to take no memory."""

    def __init__(self, capacity: int, dim: int) -> None:
        self.array = np.empty((capacity, dim), dtype=np.float32)
        self.n_used = 0
        self.lock = threading.Lock()

    def append(self, blocks: Iterable[FloatArray]) -> float:
        """Write blocks behind what is there, and give the largest length of their vectors."""
        found = 0.0
        for block in blocks:
            self.array[self.n_used : self.n_used + len(block)] = block
            self.n_used += len(block)
            found = max(found, longest(block))
        return found


def longest(vectors: FloatArray) -> float:
    """The largest length of a vector, shape (n, dim); 0 where there is none."""
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))
