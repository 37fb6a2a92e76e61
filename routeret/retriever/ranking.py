"""The documents found for a block of queries, as arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from routeret.chunking import aggregate
from routeret.index.structures.best import exact_scores
from routeret.ranges import expanded
from routeret.retriever.scope import Scope
from routeret.space import Space
from routeret.types import BoolArray, FloatArray, IntArray

NONE = -1
"""Stands for no document, behind the last one that was found."""

_CANDIDATES_A_HIT = 5
_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Ranking:
    """The documents of every query, best first; equal scores keep the lower document number first.

    Attributes:
        documents: int64, shape (n_queries, depth); document numbers, each once a query, then :data:`NONE`.
        rows: int64, same shape; the row of the document's best span.
        scores: float32, same shape; higher is better.
    """

    documents: IntArray
    rows: IntArray
    scores: FloatArray

    @classmethod
    def empty(cls, n_queries: int, depth: int) -> "Ranking":
        """Nothing found yet; the arrays are to be filled."""
        return cls(
            documents=np.full((n_queries, depth), NONE, dtype=np.int64),
            rows=np.full((n_queries, depth), NONE, dtype=np.int64),
            scores=np.zeros((n_queries, depth), dtype=np.float32),
        )

    @classmethod
    def divided(
        cls, is_first: BoolArray, first: Callable[[IntArray], "Ranking"], second: Callable[[IntArray], "Ranking"]
    ) -> "Ranking":
        """One ranking of queries of two kinds; who finds one kind is not asked where all are of the other.

        Args:
            is_first: shape (n_queries,), at least one; which queries are of the first kind.
            first: ranks those of the first kind, by their places among all, shape (n,).
            second: ranks the others, to the same depth.
        """
        n_first = int(np.count_nonzero(is_first))
        if n_first == len(is_first):
            return first(np.arange(n_first))
        if n_first == 0:
            return second(np.arange(len(is_first)))
        places, others = np.flatnonzero(is_first), np.flatnonzero(~is_first)
        found = second(others)
        ranking = cls.empty(len(is_first), found.depth)
        ranking.put(others, found)
        ranking.put(places, first(places))
        return ranking

    @property
    def depth(self) -> int:
        """How many documents a query has at most."""
        return int(self.documents.shape[1])

    def first(self, depth: int) -> "Ranking":
        """The first documents of every query, in the same memory."""
        return Ranking(self.documents[:, :depth], self.rows[:, :depth], self.scores[:, :depth])

    def part(self, queries: IntArray, depth: int) -> "Ranking":
        """The first documents of some queries."""
        return Ranking(
            documents=self.documents[queries, :depth],
            rows=self.rows[queries, :depth],
            scores=self.scores[queries, :depth],
        )

    def put(self, queries: IntArray, found: "Ranking") -> None:
        """Write what was found for some queries into these arrays."""
        columns = slice(found.depth)
        self.documents[queries, columns] = found.documents
        self.rows[queries, columns] = found.rows
        self.scores[queries, columns] = found.scores


def dense_ranking(scope: Scope, queries: FloatArray, depth: int, *, space: Space) -> Ranking:
    """The documents that are nearest to every query, by the scores of their spans.

    Args:
        scope: what to search.
        queries: float32, shape (n_queries, dim).
        depth: at least 1; more than there are documents gives all of them.
        space: of the queries; one of the index's.
    """
    depth = min(depth, len(scope))
    if scope.aggregation == "best" or scope.has_one_span_a_document:
        return _by_best_span(scope, queries, depth, space)
    # A document whose best span is far down has no high mean either: the best ones are looked for among many.
    candidates = _by_best_span(scope, queries, min(max(_CANDIDATES_A_HIT * depth, _CANDIDATES), len(scope)), space)
    ranking = Ranking.empty(len(queries), depth)
    for query, vector in enumerate(queries):
        score = partial(_exact_scores, scope, vector, space)
        found = score_documents(scope, np.sort(candidates.documents[query]), score=score)
        order = np.lexsort((found.documents, -found.scores))[:depth]
        ranking.documents[query] = found.documents[order]
        ranking.rows[query] = found.rows[order]
        ranking.scores[query] = found.scores[order]
    return ranking


@dataclass(frozen=True, slots=True)
class ScoredDocuments:
    """Some documents with their scores for one query.

    Attributes:
        documents: document numbers, int64, ascending, shape (n,).
        rows: the row of the best span of each.
        scores: float32.
    """

    documents: IntArray
    rows: IntArray
    scores: FloatArray


def score_documents(scope: Scope, documents: IntArray, *, score: Callable[[IntArray], FloatArray]) -> ScoredDocuments:
    """The exact scores of some documents from all their spans.

    Args:
        scope: holds the documents, and how spans make a score.
        documents: document numbers, ascending, each once, shape (n,).
        score: gives the scores, float32, shape (n,), of the spans in some rows of the index.
    """
    index = scope.index
    if scope.has_one_span_a_document:
        # Every way of making a document's score of its spans gives that of the only one.
        return ScoredDocuments(documents, documents, score(documents))
    starts, ends = index.rows_of(documents)
    counts = ends - starts
    owners = np.repeat(documents, counts)
    rows = expanded(starts, counts)
    found = aggregate(score(rows), owners, how=scope.aggregation)
    return ScoredDocuments(found.documents, rows[found.best_spans], found.scores)


def _exact_scores(scope: Scope, query: FloatArray, space: Space, rows: IntArray) -> FloatArray:
    return exact_scores(scope.index.vectors(rows, space=space), query)


def _by_best_span(scope: Scope, queries: FloatArray, depth: int, space: Space) -> Ranking:
    """The documents with the highest scores of a single span."""
    index = scope.index
    if depth and scope.has_one_span_a_document:
        found = index.search(queries, depth, space=space, documents=scope.documents)
        # A document has the number of its only row.
        return Ranking(documents=found.rows.copy(), rows=found.rows, scores=found.scores)
    ranking = Ranking.empty(len(queries), depth)
    open_queries = np.arange(len(queries) if depth else 0)
    width = depth
    while len(open_queries):
        found = index.search(queries[open_queries], width, space=space, documents=scope.documents)
        documents = index.row_documents[found.rows]
        is_open = np.zeros(len(open_queries), dtype=np.bool_)
        for line, query in enumerate(open_queries):
            # The first time that a document comes is its best span.
            first = np.sort(np.unique(documents[line], return_index=True)[1])[:depth]
            is_open[line] = len(first) < depth
            ranking.documents[query, : len(first)] = documents[line, first]
            ranking.rows[query, : len(first)] = found.rows[line, first]
            ranking.scores[query, : len(first)] = found.scores[line, first]
        open_queries = open_queries[is_open]
        width *= 4
    return ranking
