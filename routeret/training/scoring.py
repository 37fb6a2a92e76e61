"""What query vectors are worth on judged queries: nDCG@10 over arrays, without ids or files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.experts.strength import applied
from routeret.index.structures.best import top_k
from routeret.measures import ideal_dcg, ndcg
from routeret.types import FloatArray, IntArray

DEPTH = 10
"""How many hits count."""

_SCORES_AT_ONCE = 1 << 24


@dataclass(frozen=True, slots=True, eq=False)
class JudgedQueries:
    """Queries with grades, over some documents.

    Attributes:
        name: of the set, shown in reports.
        queries: float32, shape (n_queries, dim); the base's query embeddings.
        documents: float32, shape (n_documents, dim).
        relevant: rows of the relevant documents of every query.
        grades: their grades, above 0, in the same order.
    """

    name: str
    queries: FloatArray
    documents: FloatArray
    relevant: tuple[IntArray, ...]
    grades: tuple[FloatArray, ...]

    def ndcg_of(self, vectors: FloatArray) -> FloatArray:
        """nDCG@10 of the queries with other vectors, shape (n_queries,)."""
        return ndcg_of_vectors(vectors, self.documents, relevant=self.relevant, grades=self.grades)

    def ndcg_at_strengths(self, weight: FloatArray, strengths: Sequence[float], *, unit_length: bool) -> FloatArray:
        """nDCG@10 with a linear map at several strengths.

        Args:
            weight: float32, shape (dim, dim).
            strengths: at which it is applied.
            unit_length: whether vectors of the space have length 1.

        Returns:
            float32, shape (n_queries, n_strengths).
        """
        return self.ndcg_of_shift(self.queries @ weight.T, strengths, unit_length=unit_length)

    def ndcg_of_shift(self, shift: FloatArray, strengths: Sequence[float], *, unit_length: bool) -> FloatArray:
        """nDCG@10 with whatever an expert adds to the queries, at several strengths.

        Args:
            shift: float32, shape (n_queries, dim); what is added at strength 1.
            strengths: at which it is applied.
            unit_length: whether vectors of the space have length 1.

        Returns:
            float32, shape (n_queries, n_strengths).
        """
        columns = [
            self.ndcg_of(
                applied(
                    self.queries,
                    shift,
                    strengths=np.full(len(shift), strength, dtype=np.float32),
                    unit_length=unit_length,
                )
            )
            for strength in strengths
        ]
        return np.stack(columns, axis=1)


def ndcg_of_vectors(
    vectors: FloatArray, documents: FloatArray, *, relevant: Sequence[IntArray], grades: Sequence[FloatArray]
) -> FloatArray:
    """Give nDCG@10 of an exact search.

    Args:
        vectors: float32, shape (n_queries, dim).
        documents: float32, shape (n_documents, dim).
        relevant: rows of the relevant documents of every query.
        grades: their grades.

    Returns:
        float32, shape (n_queries,).
    """
    values = np.zeros(len(vectors), dtype=np.float32)
    step = max(1, _SCORES_AT_ONCE // max(1, len(documents)))
    for start in range(0, len(vectors), step):
        part = slice(start, start + step)
        values[part] = ndcg_of_scores(vectors[part] @ documents.T, relevant=relevant[part], grades=grades[part])
    return values


def ndcg_of_scores(scores: FloatArray, *, relevant: Sequence[IntArray], grades: Sequence[FloatArray]) -> FloatArray:
    """Give nDCG@10 of scored documents; equal scores keep the lower row first.

    Args:
        scores: float32, shape (n_queries, n_documents); higher is better.
        relevant: rows of the relevant documents of every query.
        grades: their grades.

    Returns:
        float32, shape (n_queries,).

    Raises:
        InputError: the shapes do not fit.
    """
    if not len(scores) == len(relevant) == len(grades):
        raise InputError(f"{len(scores)} lines of scores came with {len(relevant)} and {len(grades)} judgements")
    best = top_k(scores, DEPTH).rows
    grade_by_row = np.zeros(scores.shape[1], dtype=np.float32)
    ranked = np.zeros(best.shape, dtype=np.float32)
    for query, (rows, values) in enumerate(zip(relevant, grades, strict=True)):
        grade_by_row[rows] = values
        ranked[query] = grade_by_row[best[query]]
        grade_by_row[rows] = 0
    return ndcg(ranked, ideal_dcg([values.tolist() for values in grades], DEPTH))
