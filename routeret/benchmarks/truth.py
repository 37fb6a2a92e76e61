"""Exact search over vectors, and recall against it."""

from collections.abc import Iterator, Sequence

import numpy as np

from routeret.types import BoolArray, FloatArray, IntArray, Run

_ROUNDING = 1e-6
"""Two products of the same vectors may differ by this; a document as good as the k-th is a hit."""


def kth_best(
    blocks: Iterator[FloatArray], queries: FloatArray, k: int, *, allowed: BoolArray | None = None
) -> FloatArray:
    """The score of the k-th best row of every query, float32, shape (n_queries,).

    Args:
        blocks: all vectors in order, float32, shapes (n, dim).
        queries: float32, shape (n_queries, dim).
        k: at least 1; where fewer rows may be found, the last one's score is given, and infinity where none may.
        allowed: which rows may be found, shape (n_rows,); None is all.
    """
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    start = 0
    for block in blocks:
        kept = block if allowed is None else block[allowed[start : start + len(block)]]
        start += len(block)
        if len(kept):
            scores = queries @ kept.T
            if len(kept) > k:
                scores = np.partition(scores, len(kept) - k, axis=1)[:, -k:]
            best = np.partition(np.concatenate([best, scores], axis=1), -k, axis=1)[:, -k:]
    best[np.isneginf(best)] = np.inf
    bounds: FloatArray = best.min(axis=1)
    return bounds


def recall(found: Sequence[IntArray], queries: FloatArray, *, vectors: FloatArray, bounds: FloatArray, k: int) -> float:
    """The mean share of the k best rows that were found; of a tie, either one counts.

    Args:
        found: row numbers by query, at most k.
        queries: float32, shape (n_queries, dim).
        vectors: all vectors, float32, shape (n_rows, dim).
        bounds: what :func:`kth_best` gave for the queries; those with infinity expect nothing and are left out.
        k: how many there are to find, at most the rows that may be found.
    """
    shares = []
    for rows, query, bound in zip(found, queries, bounds, strict=True):
        if np.isfinite(bound):
            scores = vectors[np.unique(rows)] @ query
            shares.append(min(k, int((scores >= bound - _ROUNDING).sum())) / k)
    return float(np.mean(shares)) if shares else 1.0


def exact_run(
    query_ids: Sequence[str], queries: FloatArray, ids: Sequence[str], documents: FloatArray, *, k: int
) -> Run:
    """The k documents with the largest products with every query.

    Args:
        query_ids: names of the queries.
        queries: float32, shape (n_queries, dim).
        ids: names of the documents.
        documents: float32, shape (n_documents, dim).
        k: how many, at most.
    """
    scores = queries @ documents.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return {
        query_id: {ids[row]: float(scores[query, row]) for row in order[query].tolist()}
        for query, query_id in enumerate(query_ids)
    }
