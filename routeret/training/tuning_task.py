"""Labelled queries over an index as arrays: what the index does now, and what it would do with a map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.experts.strength import applied
from routeret.ranges import expanded
from routeret.routing.pilots import LEXICAL_WEIGHTS
from routeret.training.scoring import ndcg_of_scores
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray, IntArray

_SAME_DIRECTION = 0.98
_AVERAGED = 0.5
_BLOCK_QUERIES = 256


@dataclass(frozen=True, slots=True, eq=False)
class TuningTask:
    """Labelled queries with what the index does with them now.

    Attributes:
        base: float32, shape (n_queries, dim); the base's query embeddings.
        present: float32, shape (n_queries, dim); the vectors that the index is searched with now, which are those of
            the base where no expert acts.
        documents: float32, shape (n_rows, dim); a row for every document, or for every span of it.
        relevant: numbers of the relevant documents of every query, at least one each; their rows, where every document
            has one.
        lexical: float32, shape (n_queries, n_rows), 0 to 1; BM25 over the query's best. None where there is none.
        lexical_now: float32, shape (n_queries,); what ``lexical`` is multiplied by now before it is added to the
            cosines. None where there is no ``lexical``.
        lowered: float32, shape (n_queries, n_rows); what the scores of documents are lowered by, now and with a new
            expert, since they stand in a training corpus that the query does not look like. None lowers nothing.
        starts: int64, shape (n_documents,), rising from 0; the first row of every document, where documents are cut
            into spans. As in a search, the best span of a document stands for it. None where every document has one.
        unit_length: whether vectors of the space have length 1.
    """

    base: FloatArray
    present: FloatArray
    documents: FloatArray
    relevant: tuple[IntArray, ...]
    lexical: FloatArray | None = None
    lexical_now: FloatArray | None = None
    lowered: FloatArray | None = None
    starts: IntArray | None = None
    unit_length: bool = True

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together.

        Raises:
            InputError: the shapes do not fit, or there are fewer than two queries.
        """
        n_queries, shape = len(self.base), (len(self.base), len(self.documents))
        if n_queries < 2:
            raise InputError(f"found {n_queries} labelled queries, expected at least 2, better 100, to cross-validate")
        if self.present.shape != self.base.shape or len(self.relevant) != n_queries:
            raise InputError(
                f"base vectors have shape {self.base.shape}, present ones {self.present.shape}, and "
                f"{len(self.relevant)} queries have relevant rows; expected the same number of queries and dimensions"
            )
        for what, scores in (("lexical", self.lexical), ("lowered", self.lowered)):
            if scores is not None and scores.shape != shape:
                raise InputError(f"{what} has shape {scores.shape}, expected {shape}")
        found = None if self.lexical_now is None else self.lexical_now.shape
        if found != (None if self.lexical is None else (n_queries,)):
            raise InputError(f"lexical_now has shape {found}, expected ({n_queries},) with lexical and None without")
        if self.starts is not None:
            _require_rising(self.starts, n_rows=len(self.documents))

    def __len__(self) -> int:
        """How many queries."""
        return len(self.base)

    @property
    def share(self) -> float:
        """What the expert's vector counts beside the present one: all, or half where other experts act already."""
        products = np.einsum("nd,nd->n", self.base, self.present)
        lengths = np.linalg.norm(self.base, axis=1) * np.linalg.norm(self.present, axis=1)
        cosines = products / np.maximum(lengths, np.finfo(np.float32).tiny)
        return 1.0 if cosines.mean() >= _SAME_DIRECTION else _AVERAGED

    @property
    def mean_lexical_weight(self) -> float:
        """The mean weight of the lexical score now."""
        return 0.0 if self.lexical_now is None else float(self.lexical_now.mean(dtype=np.float64))

    def training_set(self, numbers: IntArray, *, lexical: float | None) -> TrainingSet:
        """What an expert is fitted to: some of the queries, by number, with the lexical weight beside it."""
        return TrainingSet(
            name="labelled queries",
            queries=self.base[numbers],
            documents=self.documents,
            positives=tuple(self._rows(self.relevant[number]) for number in numbers),
            companions=None if self.share == 1.0 else self.present[numbers],
            added_scores=self._added(numbers, lexical),
        )

    def ndcg_now(self) -> FloatArray:
        """nDCG@10 of what the index does now, shape (n_queries,)."""
        return self.ndcg_of(self.present, np.arange(len(self)), lexical=None)

    def ndcg_by_lexical_weight(self) -> FloatArray:
        """nDCG@10 of what the index does now with every lexical weight that pilots know, shape (n_queries, n)."""
        numbers = np.arange(len(self))
        return np.stack([self.ndcg_of(self.present, numbers, lexical=weight) for weight in LEXICAL_WEIGHTS], axis=1)

    def ndcg_with(
        self, weight: FloatArray, strengths: Sequence[float], *, numbers: IntArray, lexical: float | None
    ) -> FloatArray:
        """nDCG@10 of some queries with a map, shape (n_numbers, n_strengths).

        Args:
            weight: float32, shape (dim, dim).
            strengths: at which it is applied.
            numbers: of the queries.
            lexical: weight of the lexical score; None keeps what every query has now.
        """
        base = self.base[numbers]
        shift = base @ weight.T
        columns = []
        for strength in strengths:
            at = np.full(len(base), strength, dtype=np.float32)
            vectors = applied(base, shift, strengths=at, unit_length=self.unit_length)
            columns.append(self.ndcg_of(self._beside_present(vectors, numbers), numbers, lexical=lexical))
        return np.stack(columns, axis=1)

    def ndcg_of(self, vectors: FloatArray, numbers: IntArray, *, lexical: float | None) -> FloatArray:
        """nDCG@10 of some queries with any vectors, float32, shape (n_numbers,).

        Args:
            vectors: float32, shape (n_numbers, dim).
            numbers: of the queries.
            lexical: as for :meth:`ndcg_with`.
        """
        values = np.zeros(len(vectors), dtype=np.float32)
        for start in range(0, len(vectors), _BLOCK_QUERIES):
            part = slice(start, start + _BLOCK_QUERIES)
            scores = vectors[part] @ self.documents.T
            added = self._added(numbers[part], lexical)
            if added is not None:
                scores += added
            if self.starts is not None:
                scores = np.maximum.reduceat(scores, self.starts, axis=1)
            relevant = [self.relevant[number] for number in numbers[part]]
            grades = [np.ones(len(rows), dtype=np.float32) for rows in relevant]
            values[part] = ndcg_of_scores(scores, relevant=relevant, grades=grades)
        return values

    def _rows(self, documents: IntArray) -> IntArray:
        """The rows of some documents, by number."""
        if self.starts is None:
            return documents
        counts = np.diff(self.starts, append=len(self.documents))
        return expanded(self.starts[documents], counts[documents])

    def _added(self, numbers: IntArray, lexical: float | None) -> FloatArray | None:
        """What is added to the cosines of some queries, shape (n_numbers, n_rows); None adds nothing."""
        added: FloatArray | None = None
        if self.lexical is not None and self.lexical_now is not None:
            now = self.lexical_now[numbers]
            weights = now if lexical is None else np.full_like(now, lexical)
            added = self.lexical[numbers] * weights[:, None]
        if self.lowered is not None:
            lowered = self.lowered[numbers]
            added = -lowered if added is None else added - lowered
        return added

    def _beside_present(self, vectors: FloatArray, numbers: IntArray) -> FloatArray:
        share = np.float32(self.share)
        if share == 1.0:
            return vectors
        mixed = share * vectors + (1 - share) * self.present[numbers]
        if self.unit_length:
            mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return mixed


def _require_rising(starts: IntArray, *, n_rows: int) -> None:
    if len(starts) == 0 or starts[0] != 0 or starts[-1] >= n_rows or (np.diff(starts) <= 0).any():
        raise InputError(
            f"documents start at rows {starts.tolist()[:5]} of {n_rows}; expected rising rows from 0 on, one a document"
        )
