"""Exact search by matrix products, over stored vectors that are read block by block."""

from collections.abc import Iterator

import numpy as np

from routeret.index.structures.best import nearly_kth_best
from routeret.index.structures.rows import RowVectors, longest
from routeret.types import FloatArray, IntArray

_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32
_BOUNDED_COLUMNS = 10_000  # of fewer, the best are found as fast without a bound
_GATHERED_AT_ONCE = 16_384  # 25 MB of float32 at 384 dimensions


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


def product_candidates(vectors: FloatArray, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The k rows with the highest inner products of every query, in any order, by matrix products.

    Args:
        vectors: float32, shape (n_rows, dim).
        queries: float32, shape (n_queries, dim).
        k: 1 to n_rows.

    Returns:
        Rows and inner products, shape (n_queries, k).
    """
    step = max(1, _SCORES_AT_ONCE // max(1, len(vectors)))
    parts = []
    for start in range(0, max(1, len(queries)), step):
        scores = _products(vectors, queries[start : start + step])
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
    if n_columns < _BOUNDED_COLUMNS:
        return np.argpartition(scores, n_columns - k, axis=1)[:, n_columns - k :]
    bounds = nearly_kth_best(scores, k)
    columns = np.empty((len(scores), k), dtype=np.int64)
    for number, line in enumerate(scores):
        kept = np.flatnonzero(line >= bounds[number])
        columns[number] = kept[np.argpartition(line[kept], len(kept) - k)[len(kept) - k :]]
    return columns
