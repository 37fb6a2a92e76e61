"""What experts, strengths and lexical weights gain on labelled queries, as nDCG@10 of whole rankings."""

from collections.abc import Callable, Sequence

import numpy as np

from routeret.measures import ideal_dcg, ndcg
from routeret.types import FloatArray, IntArray

DEPTH = 10

_BLOCK = 256

Scores = Callable[[slice], FloatArray]
"""Scores of some queries on all documents, float32, shape (n_queries in the slice, n_documents)."""


def ndcg_of(scores: Scores, *, positives: Sequence[IntArray], grades: Sequence[FloatArray]) -> FloatArray:
    """nDCG@10 of every query, float32, shape (n_queries,).

    Args:
        scores: asked for block by block, so that never more than a block stands in memory.
        positives: for every query the sorted rows of its relevant documents.
        grades: for every query the grades of these.
    """
    values = np.zeros(len(positives), dtype=np.float32)
    ideal = ideal_dcg([own.tolist() for own in grades], DEPTH)
    for start in range(0, len(positives), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(positives)))
        ranked = _best_rows(scores(block))
        values[block] = ndcg(_grades_of(ranked, positives[block], grades[block]), ideal[block])
    return values


def _best_rows(scores: FloatArray) -> IntArray:
    """The rows of the highest scores, best first, shape (n_queries, min(10, n_documents))."""
    depth = min(DEPTH, scores.shape[1])
    best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    best.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _grades_of(ranked: IntArray, positives: Sequence[IntArray], grades: Sequence[FloatArray]) -> FloatArray:
    found = np.zeros(ranked.shape, dtype=np.float32)
    for query, (rows, own) in enumerate(zip(positives, grades, strict=True)):
        at = np.searchsorted(rows, ranked[query])
        at[at == len(rows)] = 0
        hit = rows[at] == ranked[query]
        found[query, hit] = own[at[hit]]
    return found
