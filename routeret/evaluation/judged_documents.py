"""The relevant documents of queries as arrays, so that many rankings can be judged at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from routeret.measures import ideal_dcg, ndcg
from routeret.retriever.ranking import NONE
from routeret.types import FloatArray, IntArray, Qrels

DEPTH = 10
"""How many hits count."""

_NOTHING = -2  # no document, and not the one that stands behind the end of a ranking


@dataclass(frozen=True, slots=True, eq=False)
class JudgedDocuments:
    """The relevant documents of some queries.

    Attributes:
        relevant: int64, shape (n_queries, n_most); document numbers, then -2.
        grades: float32, same shape; above 0, then 0.
        ideal: float32, shape (n_queries,); the highest discounted gain of 10 hits.
        themselves: int64, shape (n_queries,); the document that a query is, which does not count, or -1.
    """

    relevant: IntArray
    grades: FloatArray
    ideal: FloatArray
    themselves: IntArray

    @classmethod
    def of(cls, judged: Sequence[Mapping[int, int]], themselves: IntArray) -> "JudgedDocuments":
        """The relevant documents from grades.

        Args:
            judged: grades by document number, of every query; above 0 is relevant.
            themselves: the document that every query is, or -1.
        """
        kept = [{one: grade for one, grade in grades.items() if grade > 0} for grades in judged]
        n_most = max((len(grades) for grades in kept), default=0)
        relevant = np.full((len(kept), n_most), _NOTHING, dtype=np.int64)
        values = np.zeros((len(kept), n_most), dtype=np.float32)
        for line, grades in enumerate(kept):
            relevant[line, : len(grades)] = list(grades)
            values[line, : len(grades)] = list(grades.values())
        return cls(relevant, values, ideal_dcg([list(grades.values()) for grades in kept], DEPTH), themselves)

    def part(self, start: int, end: int) -> "JudgedDocuments":
        """Those of the queries from one number on, up to another."""
        some = slice(start, end)
        return JudgedDocuments(self.relevant[some], self.grades[some], self.ideal[some], self.themselves[some])

    def ndcg(self, documents: IntArray) -> FloatArray:
        """nDCG@10 of a ranking of every query.

        Args:
            documents: int64, shape (n_queries, depth); best first, then -1. Of more than 10, the eleventh counts where
                the query itself is among those before.

        Returns:
            float32, shape (n_queries,).
        """
        # What does not count goes behind the end.
        is_out = (documents == self.themselves[:, None]) | (documents == NONE)
        kept = np.where(is_out, NONE, documents)
        kept = np.take_along_axis(kept, np.argsort(is_out, axis=1, kind="stable"), axis=1)[:, :DEPTH]
        matches = kept[:, :, None] == self.relevant[:, None, :]
        return ndcg(np.einsum("qdr,qr->qd", matches, self.grades).astype(np.float32), self.ideal)

    def ndcg_of_scores(self, query: int, documents: IntArray, scores: FloatArray) -> FloatArray:
        """nDCG@10 of one query by several scores of the same documents.

        Args:
            query: its number.
            documents: document numbers, ascending, each once; the query itself is not among them.
            scores: float32, shape (n_scorings, n_documents); of equal ones the lower document number comes first.

        Returns:
            float32, shape (n_scorings,).
        """
        ranked = np.zeros((len(scores), DEPTH), dtype=np.float32)
        for document, grade in zip(self.relevant[query].tolist(), self.grades[query].tolist(), strict=True):
            place = int(np.searchsorted(documents, document))
            if place == len(documents) or documents[place] != document:
                continue
            own = scores[:, place, None]
            ranks = (scores[:, :place] >= own).sum(axis=1) + (scores[:, place + 1 :] > own).sum(axis=1)
            found = np.flatnonzero(ranks < DEPTH)
            ranked[found, ranks[found]] = grade
        return ndcg(ranked, np.full(len(scores), self.ideal[query], dtype=np.float32))


def judged_by_number(query_ids: Sequence[str], qrels: Qrels, number_by_id: Mapping[str, int]) -> list[dict[int, int]]:
    """Grades by document number of every query; what is not in the index has none."""
    return [
        {number_by_id[document]: grade for document, grade in qrels[query].items() if document in number_by_id}
        for query in query_ids
    ]
