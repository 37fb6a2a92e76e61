"""Exact search by matrix products: over vectors in memory, or over stored vectors read block by block."""

from collections.abc import Iterator

import numpy as np

from routeret.index.structures.best import exact_scores, settle
from routeret.index.structures.rows import MemoryRows, RowVectors, longest
from routeret.types import BoolArray, FloatArray, IntArray, TopK

_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32
_GROUPS_PER_HIT = 4
_LEAST_GROUP = 16  # in smaller groups, finding the best of each costs more than it saves
_GROUPED_COLUMNS = 10_000  # fewer are looked at one by one as fast
_GATHERED_AT_ONCE = 16_384  # 25 MB of float32 at 384 dimensions
_GATHERED_SHARE = 16  # copying a row costs about as much as multiplying several, and much more than the product of one


class MemoryScan:
    """Inner products with vectors in memory.

    Attributes:
        n_rows: how many rows may be found.
        longest: the largest length of a row.
    """

    def __init__(self, memory: MemoryRows, allowed: BoolArray | None = None) -> None:
        """Take the rows, and which of them may be found; shape (n,)."""
        self._vectors = memory.vectors
        self.longest = memory.longest
        self.n_rows = len(memory.vectors) if allowed is None else int(np.count_nonzero(allowed))
        self._rows: IntArray | None = None
        self._hidden: FloatArray | None = None
        if allowed is not None and self.n_rows < len(allowed):
            if self.n_rows * _GATHERED_SHARE <= len(allowed):
                self._rows = np.flatnonzero(allowed)
                self._vectors = memory.vectors[self._rows]
            else:
                self._hidden = np.where(allowed, np.float32(0), np.float32(-np.inf))
        self._memory = memory

    def candidates(self, queries: FloatArray, width: int) -> tuple[IntArray, FloatArray]:
        """The best rows of every query, in any order."""
        columns, scores = product_candidates(self._vectors, queries, width, hidden=self._hidden)
        return (columns if self._rows is None else self._rows[columns]), scores

    def scores(self, rows: IntArray, query: FloatArray) -> FloatArray:
        """Exact scores of some rows."""
        return exact_scores(self._memory.vectors.take(rows, axis=0), query)


class StoredScan:
    """Inner products with stored vectors, read again in every search and never held together.

    Attributes:
        n_rows: how many rows may be found.
        longest: the largest length of a row read so far.
    """

    def __init__(self, vectors: RowVectors, rows: IntArray | None = None, *, end: int | None = None) -> None:
        """Take the vectors, and ascending which of them may be found: some rows, or all below ``end``."""
        self._vectors = vectors
        self._rows = rows
        self._end = vectors.n_rows if end is None else end
        self.n_rows = self._end if rows is None else len(rows)
        self.longest = 0.0

    def candidates(self, queries: FloatArray, width: int) -> tuple[IntArray, FloatArray]:
        """The best rows of every query, in any order."""
        rows = np.empty((len(queries), 0), dtype=np.int64)
        scores = np.empty((len(queries), 0), dtype=np.float32)
        for numbers, block in self._blocks():
            self.longest = max(self.longest, longest(block))
            columns, found = product_candidates(block, queries, min(width, len(block)))
            rows, scores = np.hstack([rows, numbers[columns]]), np.hstack([scores, found])
            if scores.shape[1] > width:
                best = np.argpartition(scores, scores.shape[1] - width, axis=1)[:, scores.shape[1] - width :]
                rows, scores = np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)
        return rows, scores

    def scores(self, rows: IntArray, query: FloatArray) -> FloatArray:
        """Exact scores of some rows."""
        return self._vectors.scores(rows, query)

    def _blocks(self) -> Iterator[tuple[IntArray, FloatArray]]:
        if self._rows is None:
            start = 0
            for block in self._vectors.blocks(0, self._end):
                yield np.arange(start, start + len(block)), block
                start += len(block)
            return
        for start in range(0, len(self._rows), _GATHERED_AT_ONCE):
            numbers = self._rows[start : start + _GATHERED_AT_ONCE]
            yield numbers, self._vectors.take(numbers)


def search_memory(memory: MemoryRows, queries: FloatArray, k: int, *, allowed: BoolArray | None = None) -> TopK:
    """The min(k, n_allowed) best rows of every query, best first; equal scores keep the lower row first.

    Args:
        memory: the rows.
        queries: float32, shape (n_queries, dim).
        k: at least 1.
        allowed: shape (n_rows,); the rows that may be found, None for all.
    """
    return settle(MemoryScan(memory, allowed), queries, k)


def product_candidates(
    vectors: FloatArray, queries: FloatArray, k: int, *, hidden: FloatArray | None = None
) -> tuple[IntArray, FloatArray]:
    """The k rows with the highest inner products of every query, in any order, by matrix products.

    Args:
        vectors: float32, shape (n_rows, dim).
        queries: float32, shape (n_queries, dim).
        k: 1 to n_rows.
        hidden: float32, shape (n_rows,), added to every query's scores: 0, or minus infinity for what must not be
            found; None hides nothing.

    Returns:
        Rows and inner products, shape (n_queries, k).
    """
    step = max(1, _SCORES_AT_ONCE // max(1, len(vectors)))
    parts = []
    for start in range(0, max(1, len(queries)), step):
        scores = _products(vectors, queries[start : start + step])
        if hidden is not None:
            scores += hidden
        columns = _best_columns(scores, k)
        parts.append((columns, scores[np.arange(len(scores))[:, None], columns]))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])


def _products(vectors: FloatArray, queries: FloatArray) -> FloatArray:
    """Inner products, shape (n_queries, n_rows)."""
    if len(queries) == 1:
        # BLAS splits the product of one query and many rows over threads, and where other threads keep the cores busy,
        # these wait for each other for many times as long as it takes. It never splits the product of two vectors.
        products: FloatArray = np.vecdot(vectors, queries)
        return products[None, :]
    return queries @ vectors.T


def _best_columns(scores: FloatArray, k: int) -> IntArray:
    """The k columns with the highest scores of every line, in any order."""
    n_columns = scores.shape[1]
    n_groups = _GROUPS_PER_HIT * k
    size = n_columns // n_groups
    if size < _LEAST_GROUP or n_columns < _GROUPED_COLUMNS:
        return np.argpartition(scores, n_columns - k, axis=1)[:, n_columns - k :]
    # The k-th best of the groups' best scores is no better than the k-th best score, and it is found much faster.
    # A group takes every n_groups-th column, so that the best of all groups are found side by side.
    grouped = scores[:, : n_groups * size].reshape(len(scores), size, n_groups).max(axis=1)
    bounds = np.partition(grouped, n_groups - k, axis=1)[:, n_groups - k]
    columns = np.empty((len(scores), k), dtype=np.int64)
    for number, line in enumerate(scores):
        kept = np.flatnonzero(line >= bounds[number])
        columns[number] = kept[np.argpartition(line[kept], len(kept) - k)[len(kept) - k :]]
    return columns
