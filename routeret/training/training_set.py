"""The queries that an expert of the base's space is fitted to, with what answers them and what does not."""

from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Queries with the documents that answer them, among the documents that could.

    Attributes:
        name: shown in messages.
        queries: float32, shape (n_queries, dim); the base's query embeddings.
        documents: float32, shape (n_documents, dim).
        positives: rows of the relevant documents of every query, at least one each.
        companions: float32, shape (n_queries, dim); vectors that the expert's are averaged with before they are
            scored. None scores the expert's alone.
        added_scores: float32, shape (n_queries, n_documents); added to every cosine, for example a weighted lexical
            score, so that the expert learns what the sum lacks. None adds nothing.
        hard_negatives: int64, shape (n_queries, n); rows of documents that are like the answers of a query and are
            none, -1 where there are fewer. They are candidates whenever their query is asked. None leaves them out.
        ignored_above: float32, shape (n_queries,); a document whose inner product with the base's query is higher is
            likely to be an answer that nobody marked, so it is no negative of that query. None ignores nothing.
        query_ids: of the queries, for messages. None calls them by number.
    """

    name: str
    queries: FloatArray
    documents: FloatArray
    positives: tuple[IntArray, ...]
    companions: FloatArray | None = None
    added_scores: FloatArray | None = None
    hard_negatives: IntArray | None = None
    ignored_above: FloatArray | None = None
    query_ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        n_queries, n_documents = len(self.queries), len(self.documents)
        if n_queries == 0 or len(self.positives) != n_queries:
            raise InputError(
                f"training set {self.name!r} has {n_queries} queries and positives of {len(self.positives)}; "
                f"expected at least one query, and its positives"
            )
        for number, rows in enumerate(self.positives):
            if len(rows) == 0 or rows.min() < 0 or rows.max() >= n_documents:
                raise InputError(
                    f"query {number} of training set {self.name!r} has positives {rows.tolist()[:5]}; expected at "
                    f"least one row from 0 to {n_documents - 1}"
                )
        for what, values in (("hard negatives", self.hard_negatives), ("limits of answers", self.ignored_above)):
            if values is not None and len(values) != n_queries:
                raise InputError(
                    f"training set {self.name!r} has {n_queries} queries and {what} of {len(values)}; mine them for "
                    f"this set"
                )

    def hard_rows(self, batch: IntArray) -> IntArray:
        """Rows of the hard negatives of some queries, one after the other; none where there are no hard negatives."""
        if self.hard_negatives is None:
            return np.zeros(0, dtype=np.int64)
        rows: IntArray = self.hard_negatives[batch]
        return rows[rows >= 0]

    def scale(self, temperature: float, *, unit_length: bool) -> float:
        """What inner products are divided by where cosines would be divided by a temperature.

        Args:
            temperature: meant for cosines; inner products of longer vectors differ by more.
            unit_length: whether vectors of the space have length 1.
        """
        if unit_length:
            return temperature
        return temperature * _mean_length(self.queries) * _mean_length(self.documents)


def _mean_length(vectors: FloatArray) -> float:
    return float(np.linalg.norm(vectors, axis=1).mean())
