"""Lowers documents of training corpora that a query does not look like, beside those of corpora that it does."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from routeret.retriever.ranking import NONE, Ranking, ScoredDocuments
from routeret.routing.standing import CorpusStanding
from routeret.types import BoolArray, FloatArray, IntArray

_NOTHING = np.finfo(np.float32).min
"""What no corpus counts."""

KnownBy = Callable[[IntArray], BoolArray]
"""Which of the router's experts were trained over some documents, an axis of experts behind theirs; asked often."""


class DocumentStanding:
    """What the documents of an index are lowered by for the queries of a block.

    Of the documents among the base's first hits, those of the corpus that counts most keep their scores, and so does
    every document that stands in no corpus: nothing is known of it. So an index of one corpus, or of none, ranks and
    scores as without it.
    """

    def __init__(self, standing: CorpusStanding, first_known: BoolArray, *, known_by: KnownBy) -> None:
        """Look at the first hits.

        Args:
            standing: what the corpora count for these queries.
            first_known: which experts know the base's first hits, shape (n_queries, n_hits, n_experts).
            known_by: tells who knows a document.
        """
        self._standing = standing
        self._known_by = known_by
        counts = standing.of(np.arange(len(first_known))[:, None], standing.stands(first_known))
        self._best: FloatArray = counts.max(axis=1, initial=_NOTHING)

    @cached_property
    def acts(self) -> BoolArray:
        """For which queries some document may be lowered, shape (n_queries,)."""
        return self._best > _NOTHING

    def lowered(self, ranking: Ranking, queries: IntArray) -> Ranking:
        """A ranking of some queries with the documents lowered, best first again; itself where none is lowered.

        Args:
            ranking: a line a query.
            queries: their numbers in the block.
        """
        penalties = self._penalties(queries[:, None], ranking.documents)
        penalties[ranking.documents == NONE] = 0
        changed = np.flatnonzero(penalties.any(axis=1))
        if not len(changed):
            return ranking
        found = Ranking(ranking.documents.copy(), ranking.rows.copy(), ranking.scores - penalties)
        for line in changed.tolist():
            end = np.count_nonzero(ranking.documents[line] != NONE)
            order = np.lexsort((found.documents[line, :end], -found.scores[line, :end]))
            for values in (found.documents, found.rows, found.scores):
                values[line, :end] = values[line, order]
        return found

    def lowered_scores(self, found: ScoredDocuments, query: int) -> FloatArray:
        """The scores of some documents for a query, lowered."""
        return found.scores - self._penalties(query, found.documents)

    def penalties(self, numbers: IntArray) -> FloatArray:
        """What some documents are lowered by for every query of the block, float32, shape (n_queries, n_numbers)."""
        return self._penalties(np.arange(len(self._best))[:, None], numbers)

    def _penalties(self, queries: int | IntArray, documents: IntArray) -> FloatArray:
        """What documents are lowered by for queries, at least 0; the shapes are brought together."""
        counts = self._standing.of(queries, self._standing.stands(self._known_by(documents)))
        return np.where(counts > -np.inf, np.maximum(self._best[queries] - counts, 0), 0)
