"""The last steps that make every way of searching give the same answer."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from routeret.types import FloatArray, IntArray, TopK

_SPARE = 16
_ROUNDING = 1e-5
_GROUPS_PER_HIT = 4
_LEAST_GROUP = 16  # in smaller groups, finding the best of each costs more than it saves


class Scored(Protocol):
    """What knows the vectors of rows."""

    def scores(self, rows: IntArray, query: FloatArray) -> FloatArray:
        """The exact scores of some rows, as :func:`exact_scores` gives them, shape (n,)."""


class Scan(Scored, Protocol):
    """A fast look at all rows that may be found; the last bits of its scores depend on library and processor."""

    @property
    def n_rows(self) -> int:
        """How many rows may be found."""

    @property
    def longest(self) -> float:
        """The largest length of a row; asked for after :meth:`candidates` only."""

    def candidates(self, queries: FloatArray, width: int) -> tuple[IntArray, FloatArray]:
        """The ``width`` best rows of every query and their rough scores, in any order; 1 to ``n_rows`` are asked."""


def top_k(scores: FloatArray, k: int) -> TopK:
    """Keep the k best columns of every row of scores.

    Args:
        scores: float32, shape (n_queries, n_documents); higher is better.
        k: at least 1; more than n_documents gives all of them.

    Returns:
        Columns and scores of shape (n_queries, min(k, n_documents)), best first. Equal scores keep the lower column
        first, so every machine agrees.
    """
    n_queries, n_columns = scores.shape
    k = min(k, n_columns)
    rows = np.empty((n_queries, k), dtype=np.int64)
    for number, line in enumerate(scores):
        kept = np.arange(n_columns)
        if 0 < k < n_columns:
            # All that beat or equal the k-th best: a partition alone would keep any of the equal ones.
            kept = np.flatnonzero(line >= np.partition(line, n_columns - k)[n_columns - k])
        rows[number] = kept[np.argsort(-line[kept], kind="stable")][:k]
    return TopK(rows=rows, scores=np.take_along_axis(scores, rows, axis=1))


def nearly_kth_best(scores: FloatArray, k: int) -> FloatArray:
    """A bound that at least k scores of every line reach: the k-th best, or somewhat less where that is found sooner.

    Args:
        scores: float32, shape (n_lines, n_columns).
        k: 1 to n_columns.
    """
    n_columns = scores.shape[1]
    n_groups = _GROUPS_PER_HIT * k
    size = n_columns // n_groups
    if size >= _LEAST_GROUP:
        # The k-th best of the groups' best scores is no better than the k-th best score. A group takes every
        # n_groups-th column, so that the best of all groups are found side by side.
        scores = scores[:, : n_groups * size].reshape(len(scores), size, n_groups).max(axis=1)
    bounds: FloatArray = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
    return bounds


def settle(scan: Scan, queries: FloatArray, k: int) -> TopK:
    """The exact best rows, from a scan whose last bits depend on library, batch and processor.

    Fast products round differently from place to place, so two copies of one vector may get two scores. A few more
    candidates than asked for are scored again in double precision; where the k-th best is within the rounding of the
    last that was looked at, more are fetched, so that equal scores are cut by row number and not by chance.

    Args:
        scan: what is searched.
        queries: float32, shape (n_queries, dim).
        k: at least 1.

    Returns:
        The min(k, scan.n_rows) best rows of every query, best first; equal scores keep the lower row first.
    """
    n_rows = scan.n_rows
    k = min(k, n_rows)
    if k == 0 or len(queries) == 0:
        return TopK(rows=np.empty((len(queries), k), dtype=np.int64), scores=np.empty((len(queries), k), np.float32))
    return _settled(scan, queries, k, width=min(k + _SPARE, n_rows))


def _settled(scan: Scan, queries: FloatArray, k: int, *, width: int) -> TopK:
    """The exact best rows of at least one query, looked for among so many candidates, or more."""
    found, rough = scan.candidates(queries, width)
    rows = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for number, query in enumerate(queries):
        rows[number], scores[number] = best_of(scan, found[number], query, k)
    if width < scan.n_rows:
        rounding = _ROUNDING * scan.longest * np.sqrt(np.vecdot(queries, queries))
        is_open = scores[:, -1] - rough.min(axis=1) <= rounding
        if is_open.any():
            wider = _settled(scan, queries[is_open], k, width=min(4 * width, scan.n_rows))
            rows[is_open], scores[is_open] = wider.rows, wider.scores
    return TopK(rows=rows, scores=scores)


def best_of(scored: Scored, rows: IntArray, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The min(k, n) best of some rows by their exact scores, best first; equal scores keep the lower row first."""
    kept = np.sort(rows)
    scores = scored.scores(kept, query)
    best = np.argsort(-scores, kind="stable")[:k]
    return kept[best], scores[best]


def exact_scores(vectors: FloatArray, query: FloatArray) -> FloatArray:
    """Inner products, summed in double precision and always in one order; shape (n,).

    Args:
        vectors: float32, shape (n, dim).
        query: float32, shape (dim,).
    """
    products: NDArray[np.float64] = np.vecdot(vectors, query.astype(np.float64))
    return products.astype(np.float32)
