"""An expert for one index from labelled queries: what the index does now as arrays, and what is installed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.experts import LinearExpert
from routeret.fusion import weighted_lexical
from routeret.index import Index
from routeret.retriever.searching import Searcher
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary
from routeret.training import TuneOutcome, TuningTask
from routeret.training.scoring import ndcg_of_scores
from routeret.types import FloatArray, IntArray, LabelledQuery, QueryBatch

_BLOCK_QUERIES = 256


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSearch:
    """Labelled queries, searched as the index is searched now.

    Attributes:
        batch: the queries with their base embeddings.
        task: the same as arrays, with the relevant documents and what the index does now.
    """

    batch: QueryBatch
    task: TuningTask

    @classmethod
    def of(cls, queries: Sequence[LabelledQuery], searcher: Searcher) -> "LabelledSearch":
        """Search labelled queries.

        Args:
            queries: their relevant documents are in the index.
            searcher: what searches now.

        Raises:
            InputError: a query is blank or has no relevant document, or there are too few.
            UnknownDocumentError: a relevant document is not in the index.
        """
        index = searcher.index
        rows = index.live_rows
        owners = index.row_documents[rows]
        relevant = _relevant_rows(queries, index, owners)
        base, present, lexical = [], [], []
        for block in searcher.blocks([query.text for query in queries], depth=1):
            routing = searcher.route(block)
            base.append(block.batch.base)
            present.append(searcher.query_vectors(block.batch, routing))
            scores = np.stack([block.lexical.scores(query) for query in range(len(block))])[:, owners]
            best = scores.max(axis=1, initial=0.0)
            lexical.append(weighted_lexical(scores, weights=routing.lexical, best=best))
        task = TuningTask(
            base=_joined(base, dim=index.space.dim),
            present=_joined(present, dim=index.space.dim),
            documents=index.vectors(rows),
            relevant=relevant,
            lexical=_joined(lexical, dim=len(rows)),
            unit_length=index.space.unit_length,
        )
        return cls(QueryBatch(tuple(query.text for query in queries), task.base), task)

    def expert(self, outcome: TuneOutcome, searcher: Searcher) -> LinearExpert:
        """The tuned expert; it knows every document of the index."""
        return LinearExpert(
            name=outcome.report.expert,
            weight=outcome.weight,
            strength=outcome.strength,
            space=searcher.index.space,
            query_tower=searcher.pool.base.query_tower,
            known_documents=searcher.index.content_keys(np.flatnonzero(searcher.index.live_documents)),
            details={"tuned": outcome.report.as_dict()},
        )

    def pilots(self, outcome: TuneOutcome, searcher: Searcher) -> PilotLibrary:
        """The labelled queries as pilots, with the gain of every expert over the base, BM25 beside both.

        The gain of the tuned expert is the cross-validated one, on top of what the index does now.
        """
        task, name = self.task, outcome.report.expert
        base = self._ndcg(task.base)
        gains = {name: outcome.gains + (self._ndcg(task.present) - base)[:, None]}
        for expert in searcher.pool.adapter_by_name.values():
            columns = []
            for strength in STRENGTHS:
                strengths = np.full(len(self.batch), strength, dtype=np.float32)
                columns.append(self._ndcg(expert.encode_queries(self.batch, strengths=strengths)) - base)
            gains[expert.name] = np.stack(columns, axis=1)
        corpus = PilotCorpus(
            name=name,
            texts=self.batch.texts,
            vectors=task.base,
            gains=gains,
            home_experts=(name,),
            source=name,
            is_index=True,
        )
        return PilotLibrary(query_tower=searcher.pool.base.query_tower, corpora=(corpus,))

    def _ndcg(self, vectors: FloatArray) -> FloatArray:
        """nDCG@10 of query vectors with the lexical score of now beside them, shape (n_queries,)."""
        values = np.zeros(len(vectors), dtype=np.float32)
        for start in range(0, len(vectors), _BLOCK_QUERIES):
            part = slice(start, start + _BLOCK_QUERIES)
            scores = vectors[part] @ self.task.documents.T
            if self.task.lexical is not None:
                scores += self.task.lexical[part]
            relevant = self.task.relevant[part]
            grades = [np.ones(len(rows), dtype=np.float32) for rows in relevant]
            values[part] = ndcg_of_scores(scores, relevant=relevant, grades=grades)
        return values


def _relevant_rows(queries: Sequence[LabelledQuery], index: Index, owners: IntArray) -> tuple[IntArray, ...]:
    """The rows, among those whose document numbers are given, of the documents that answer each query."""
    for number, query in enumerate(queries):
        if not query.text.strip() or not query.relevant:
            raise InputError(
                f"labelled query {number} is {query.text!r} with {len(query.relevant)} relevant documents; expected a "
                f"text that is not blank and at least one document"
            )
    ids = list(dict.fromkeys(document for query in queries for document in query.relevant))
    number_by_id = dict(zip(ids, index.numbers(ids).tolist(), strict=True))
    return tuple(
        np.flatnonzero(np.isin(owners, [number_by_id[document] for document in query.relevant])) for query in queries
    )


def _joined(parts: Sequence[FloatArray], *, dim: int) -> FloatArray:
    """Blocks of lines as one float32 array; an empty one where there are none."""
    return np.concatenate([np.zeros((0, dim), dtype=np.float32), *parts], axis=0, dtype=np.float32)
