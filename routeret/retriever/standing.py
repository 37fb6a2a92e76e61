"""Lowers documents of training corpora that a query does not look like, beside those of corpora that it does."""

from collections.abc import Callable

import numpy as np

from routeret.experts.sketch import sorted_once
from routeret.retriever.known_documents import Groups
from routeret.retriever.ranking import NONE, Ranking, ScoredDocuments
from routeret.routing.standing import CorpusStanding
from routeret.types import BoolArray, FloatArray, IntArray

_NOTHING = np.finfo(np.float32).min
"""What no corpus counts."""

_NOT_COUNTED = -1
"""Stands for the column of a group that no document asked for so far is of."""

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
            groups_of: gives the groups of documents.
        """
        self._standing = standing
        self._groups_of = groups_of
        self._queries = np.arange(len(first.numbers))[:, None]
        self._column_by_group = np.zeros(0, dtype=np.int64)
        self._counts: FloatArray = np.zeros((len(first.numbers), 0), dtype=np.float32)
        counts = self._counted(self._queries, first)
        self._best: FloatArray = counts.max(axis=1, initial=_NOTHING)
        self.acts: BoolArray = self._best > _NOTHING

    def lowered(self, ranking: Ranking, queries: IntArray) -> Ranking:
        """A ranking of some queries with the documents lowered, best first again; itself where none is lowered.

        Args:
            ranking: a line a query.
            queries: their numbers in the block.
        """
        penalties = self._penalties(queries[:, None], ranking.documents)
        penalties[ranking.documents == NONE] = 0
        lines = np.flatnonzero(penalties.any(axis=1))
        if len(lines) == 0:
            return ranking
        found = Ranking(ranking.documents.copy(), ranking.rows.copy(), ranking.scores - penalties)
        for line in lines.tolist():
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
        counts = self._counted(queries, self._groups_of(documents))
        return np.where(counts > -np.inf, np.maximum(self._best[queries] - counts, 0), 0)

    def _counted(self, queries: int | IntArray, groups: Groups) -> FloatArray:
        """What the corpora of documents count for queries; the shapes are brought together."""
        columns = self._columns(groups)
        counts: FloatArray = self._counts[queries, columns]
        return counts

    def _columns(self, groups: Groups) -> IntArray:
        """Where the groups of documents stand in the counts; those that are new are counted for all queries."""
        n_more = len(groups.known) - len(self._column_by_group)
        if n_more > 0:
            self._column_by_group = np.append(self._column_by_group, np.full(n_more, _NOT_COUNTED))
        columns = self._column_by_group[groups.numbers]
        if columns.min(initial=0) == _NOT_COUNTED:
            new = sorted_once(groups.numbers[columns == _NOT_COUNTED])
            self._column_by_group[new] = self._counts.shape[1] + np.arange(len(new))
            counts = self._standing.of(self._queries, self._standing.stands(groups.known[new]))
            self._counts = np.concatenate([self._counts, counts], axis=1)
            columns = self._column_by_group[groups.numbers]
        return columns
