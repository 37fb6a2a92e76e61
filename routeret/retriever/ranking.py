"""The documents found for a block of queries, as arrays."""

from dataclasses import dataclass

import numpy as np

from routeret.index import Index
from routeret.types import FloatArray, IntArray

NONE = -1
"""Stands for no document, behind the last one that was found."""


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

    @property
    def depth(self) -> int:
        """How many documents a query has at most."""
        return int(self.documents.shape[1])

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


def dense_ranking(index: Index, queries: FloatArray, depth: int) -> Ranking:
    """The documents whose best span is nearest to every query.

    Args:
        index: what to search.
        queries: float32, shape (n_queries, dim); of the index's space.
        depth: at least 1; more than there are documents gives all of them.
    """
    depth = min(depth, len(index))
    if depth and index.n_rows == len(index):
        found = index.search(queries, depth, space=index.space)
        return Ranking(documents=index.row_documents[found.rows], rows=found.rows, scores=found.scores)
    ranking = Ranking.empty(len(queries), depth)
    open_queries = np.arange(len(queries) if depth else 0)
    width = depth
    while len(open_queries):
        found = index.search(queries[open_queries], width, space=index.space)
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
        width = min(4 * width, index.n_rows)
    return ranking
