"""Exact search in NumPy, and the last step that makes every structure give the same answer."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from routeret.types import FloatArray, IntArray, TopK

_SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32
_SPARE = 16
_GROUPS_PER_HIT = 4
_ROUNDING = 1e-5

Candidates = Callable[[FloatArray, int], tuple[IntArray, FloatArray]]


class ExactSearch:
    """Inner products of the queries with every row."""

    name = "exact"

    def __init__(self, blocks: Iterable[FloatArray], *, n_rows: int, dim: int) -> None:
        """Take all vectors into memory.

        Args:
            blocks: float32, shapes (n, dim), together n_rows rows.
            n_rows: how many vectors.
            dim: length of a vector.
        """
        self._vectors = np.empty((n_rows, dim), dtype=np.float32)
        start = 0
        for block in blocks:
            self._vectors[start : start + len(block)] = block
            start += len(block)
        self._longest = longest(self._vectors)

    def search(self, queries: FloatArray, k: int) -> TopK:
        """The min(k, n_rows) best rows of every query, best first; equal scores keep the lower row first."""
        return settle(queries, k, candidates=self._candidates, vectors=self._vectors, longest=self._longest)

    def _candidates(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        return product_candidates(self._vectors, queries, k)


def product_candidates(vectors: FloatArray, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The k rows with the highest inner products of every query, in any order, by matrix products.

    Args:
        vectors: float32, shape (n_rows, dim).
        queries: float32, shape (n_queries, dim).
        k: 1 to n_rows.

    Returns:
        Rows and inner products, shape (n_queries, k).
    """
    rows = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    step = max(1, _SCORES_AT_ONCE // max(1, len(vectors)))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        all_scores = queries[part] @ vectors.T
        rows[part] = _best_columns(all_scores, k)
        scores[part] = np.take_along_axis(all_scores, rows[part], axis=1)
    return rows, scores


def _best_columns(scores: FloatArray, k: int) -> IntArray:
    """The k columns with the highest scores of every line, in any order."""
    n_columns = scores.shape[1]
    n_groups = _GROUPS_PER_HIT * k
    width = n_columns // n_groups
    if width < 2:
        return np.argpartition(scores, n_columns - k, axis=1)[:, n_columns - k :]
    # The k-th best of the groups' best scores is no better than the k-th best score, and it is found much faster.
    grouped = scores[:, : n_groups * width].reshape(len(scores), n_groups, width).max(axis=2)
    bounds = np.partition(grouped, n_groups - k, axis=1)[:, n_groups - k]
    columns = np.empty((len(scores), k), dtype=np.int64)
    for number, line in enumerate(scores):
        kept = np.flatnonzero(line >= bounds[number])
        columns[number] = kept[np.argpartition(line[kept], len(kept) - k)[len(kept) - k :]]
    return columns


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


def longest(vectors: FloatArray) -> float:
    """The largest length of a vector, shape (n, dim); 0 where there is none."""
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))


def settle(queries: FloatArray, k: int, *, candidates: Candidates, vectors: FloatArray, longest: float) -> TopK:
    """The exact best rows, from a fast search whose last bits depend on library, batch and processor.

    Fast products round differently from place to place, so two copies of one vector may get two scores. A few more
    candidates than asked for are scored again in double precision; where the last of them is within the rounding of
    the k-th, more are fetched, so that equal scores are cut by row number and not by chance.

    Args:
        queries: float32, shape (n_queries, dim).
        k: at least 1.
        candidates: gives min(k, n_rows) rows and scores of every query, in any order.
        vectors: float32, shape (n_rows, dim).
        longest: the largest length of a row of ``vectors``.
    """
    n_rows = len(vectors)
    k = min(k, n_rows)
    rows = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    open_queries = np.arange(len(queries) if k else 0)
    width = min(k + _SPARE, n_rows)
    while len(open_queries):
        found, rough = candidates(queries[open_queries], width)
        rough = -np.sort(-rough, axis=1)
        rounding = _ROUNDING * longest * np.linalg.norm(queries[open_queries], axis=1)
        settled = (rough[:, k - 1] - rough[:, -1] > rounding) | (width == n_rows)
        for number in np.flatnonzero(settled):
            kept = np.sort(found[number])
            exact = _products(vectors[kept], queries[open_queries[number]])
            best = top_k(exact[None, :], k)
            rows[open_queries[number]], scores[open_queries[number]] = kept[best.rows[0]], best.scores[0]
        open_queries = open_queries[~settled]
        width = min(4 * width, n_rows)
    return TopK(rows=rows, scores=scores)


def _products(vectors: FloatArray, query: FloatArray) -> FloatArray:
    products: NDArray[np.float64] = np.einsum("nd,d->n", vectors.astype(np.float64), query.astype(np.float64))
    return products.astype(np.float32)
