"""Lowers documents of training corpora that a query does not look like, beside those of corpora that it does."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from routeret.retriever.ranking import NONE, Ranking, ScoredDocuments
from routeret.routing.standing import CorpusStanding
from routeret.types import BoolArray, FloatArray, IntArray

KnownBy = Callable[[IntArray], BoolArray]
"""Which of the router's experts were trained over some documents, shape (n_documents, n_experts); asked often."""


class DocumentStanding:
    """What the documents of an index are lowered by for the queries of a block.

    Of the documents among the base's first hits, those of the corpus that counts most keep their scores, and so does
    every document that stands in no corpus: nothing is known of it. So an index of one corpus, or of none, ranks and
    scores as without it.
    """

    def __init__(self, standing: CorpusStanding, first_hits: IntArray, *, known_by: KnownBy) -> None:
        """Look at the first hits.

        Args:
            standing: what the corpora count for these queries.
            first_hits: document numbers, shape (n_queries, n_hits).
            known_by: tells who knows a document.
        """
        self._standing = standing
        self._known_by = known_by
        counts = np.full(first_hits.shape, -np.inf, dtype=np.float32)
        found = np.nonzero(first_hits != NONE)
        counts[found] = standing.of(found[0], self._stands(first_hits[found]))
        self._best: FloatArray = counts.max(axis=1, initial=-np.inf)

    @cached_property
    def acts(self) -> BoolArray:
        """For which queries some document may be lowered, shape (n_queries,)."""
        return np.isfinite(self._best)

    def lowered(self, ranking: Ranking, queries: IntArray) -> Ranking:
        """A ranking of some queries with the documents lowered, best first again.

        Args:
            ranking: a line a query.
            queries: their numbers in the block.
        """
        found = Ranking.empty(len(queries), ranking.depth)
        for line, query in enumerate(queries.tolist()):
            kept = ranking.documents[line] != NONE
            documents, rows = ranking.documents[line, kept], ranking.rows[line, kept]
            scores = ranking.scores[line, kept] - self._penalties(query, self._stands(documents))
            order = np.lexsort((documents, -scores))
            places = slice(len(documents))
            found.documents[line, places] = documents[order]
            found.rows[line, places] = rows[order]
            found.scores[line, places] = scores[order]
        return found

    def lowered_scores(self, found: ScoredDocuments, query: int) -> FloatArray:
        """The scores of some documents for a query, lowered."""
        return found.scores - self._penalties(query, self._stands(found.documents))

    def penalties(self, numbers: IntArray) -> FloatArray:
        """What some documents are lowered by for every query of the block, float32, shape (n_queries, n_numbers)."""
        stands = self._stands(numbers)
        rows = [self._penalties(query, stands) for query in range(len(self._best))]
        return np.stack(rows) if rows else np.zeros((0, len(numbers)), dtype=np.float32)

    def _stands(self, documents: IntArray) -> BoolArray:
        """Which documents stand in which corpora, shape (n_documents, n_corpora)."""
        return self._standing.stands(self._known_by(documents))

    def _penalties(self, query: int, stands: BoolArray) -> FloatArray:
        """What documents that stand in some corpora are lowered by for a query, at least 0."""
        counts = self._standing.of(query, stands)
        lower = np.isfinite(counts) & (counts < self._best[query])
        return np.where(lower, self._best[query] - np.where(lower, counts, 0), 0).astype(np.float32)
