"""Lowers documents of training corpora that a query does not look like, beside those of corpora that it does."""

from collections.abc import Callable

import numpy as np

from routeret.retriever.known_documents import Groups
from routeret.retriever.ranking import NONE, Ranking, ScoredDocuments
from routeret.routing.standing import CorpusStanding
from routeret.types import BoolArray, FloatArray, IntArray

_NOTHING = np.finfo(np.float32).min
"""What no corpus counts."""

GroupsOf = Callable[[IntArray], Groups]
"""Gives the groups of some documents, by which of the router's experts know them; asked often."""


class DocumentStanding:
    """What the documents of an index are lowered by for the queries of a block.

    Of the documents among the base's first hits, those of the corpus that counts most keep their scores, and so does
    every document that stands in no corpus: nothing is known of it. So an index of one corpus, or of none, ranks and
    scores as without it.

    Attributes:
        acts: shape (n_queries,); for which queries some document may be lowered.
    """

    def __init__(self, standing: CorpusStanding, first: Groups, *, groups_of: GroupsOf) -> None:
        """Look at the first hits.

        Args:
            standing: what the corpora count for these queries.
            first: the groups of the base's first hits, shape (n_queries, n_hits).
            groups_of: gives the groups of documents; groups that come later stand behind those of the first hits.
        """
        self._standing = standing
        self._groups_of = groups_of
        self._queries = np.arange(len(first.numbers))[:, None]
        counts = self._counts(first.known)
        self._best: FloatArray = counts[self._queries, first.numbers].max(axis=1, initial=_NOTHING)
        self._lowering = self._lowering_by(counts)
        self.acts: BoolArray = self._best > _NOTHING

    def lowered(self, ranking: Ranking, queries: IntArray) -> Ranking:
        """A ranking of some queries with the documents lowered, best first again; itself where none is lowered.

        Args:
            ranking: a line a query.
            queries: their numbers in the block.
        """
        penalties = self._penalties(queries[:, None], ranking.documents)
        penalties[ranking.documents == NONE] = 0
        if not penalties.any():
            return ranking
        found = Ranking(ranking.documents.copy(), ranking.rows.copy(), ranking.scores - penalties)
        for line in np.flatnonzero(penalties.any(axis=1)).tolist():
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
        return self._penalties(self._queries, numbers)

    def _penalties(self, queries: int | IntArray, documents: IntArray) -> FloatArray:
        """What documents are lowered by for queries, at least 0; the shapes are brought together."""
        groups, known = self._groups_of(documents)
        if len(known) > self._lowering.shape[1]:
            # Some of the documents were looked up only now, and are a group of their own.
            self._lowering = self._lowering_by(self._counts(known))
        lowered_by: FloatArray = self._lowering[queries, groups]
        return lowered_by

    def _counts(self, known: BoolArray) -> FloatArray:
        """What the corpora of every group's documents count, float32, shape (n_queries, n_groups)."""
        return self._standing.of(self._queries, self._standing.stands(known))

    def _lowering_by(self, counts: FloatArray) -> FloatArray:
        """What the documents of every group are lowered by, float32, shape (n_queries, n_groups)."""
        return np.where(counts > -np.inf, np.maximum(self._best[:, None] - counts, 0), 0)
