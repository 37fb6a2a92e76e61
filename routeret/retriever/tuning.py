"""An expert for one index from labelled queries: what the index does now as arrays, and what is installed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.experts import LinearExpert
from routeret.experts.sketch import TrainingSketch
from routeret.fusion import weighted_lexical
from routeret.index import Index
from routeret.retriever.searching import Block, Searcher
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary
from routeret.routing.decisions import RoutingBatch
from routeret.training import TuneOutcome, TuningTask
from routeret.types import FloatArray, IntArray, LabelledQuery, QueryBatch

MOST_QUERIES = 2000
"""More labelled queries are refused: a map is solved from a matrix of queries by queries."""

MOST_SCORES = 500_000_000
"""Queries times rows of documents, at most: 2 GB for every matrix of scores that is held."""


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
            InputError: a query is blank or has no relevant document, or there are too few or too many.
            UnknownDocumentError: a relevant document is not in the index.
        """
        index = searcher.index
        rows = index.live_rows
        _require_room(len(queries), n_rows=len(rows))
        owners = index.row_documents[rows]
        numbers, starts = np.unique(owners, return_index=True)
        relevant = _relevant_places(queries, index, numbers)
        base, present, lexical, weights, lowered = [], [], [], [], []
        for block in searcher.blocks([query.text for query in queries], depth=1):
            routing = searcher.route(block)
            base.append(block.batch.base)
            present.append(searcher.query_vectors(block.batch, routing))
            scores = np.stack([block.lexical.scores(query) for query in range(len(block))])[:, owners]
            best = scores.max(axis=1, initial=0.0)
            lexical.append(weighted_lexical(scores, weights=np.ones_like(best), best=best))
            weights.append(routing.lexical)
            lowered.append(_lowered(block, routing, searcher, owners))
        task = TuningTask(
            base=_joined(base, dim=index.space.dim),
            present=_joined(present, dim=index.space.dim),
            documents=index.vectors(rows),
            relevant=relevant,
            lexical=_joined(lexical, dim=len(rows)),
            lexical_now=np.concatenate([np.zeros(0, dtype=np.float32), *weights]),
            lowered=_joined(lowered, dim=len(rows)) if any(part.any() for part in lowered) else None,
            starts=starts if len(starts) < len(rows) else None,
            unit_length=index.space.unit_length,
        )
        return cls(QueryBatch(tuple(query.text for query in queries), task.base), task)

    def expert(self, outcome: TuneOutcome, searcher: Searcher) -> LinearExpert:
        """The tuned expert; it knows every document of the index, and those that are nearly equal."""
        index = searcher.index
        return LinearExpert(
            name=outcome.report.expert,
            weight=outcome.weight,
            strength=outcome.strength,
            space=index.space,
            query_tower=searcher.pool.base.query_tower,
            known_documents=index.content_keys(np.flatnonzero(index.live_documents)),
            details={"tuned": outcome.report.as_dict()},
            sketch=TrainingSketch.of(index.space, documents=[self.task.documents], queries=[self.task.base]),
        )

    def pilots(self, outcome: TuneOutcome, searcher: Searcher) -> PilotLibrary:
        """The labelled queries as pilots, with the gain of every expert over the base, BM25 beside both.

        BM25 has the weight that was chosen, and the gain of the tuned expert is the cross-validated one. Of the lexical
        weights, the gains that are sure are given, so that the router takes the one that was chosen.

        Where no other expert acted, the tuned one stands for all that the index does, so the others are not measured
        and get no weight on such queries: beside it, a little luck of theirs would only take from its strength.
        """
        task, name, lexical = self.task, outcome.report.expert, outcome.report.lexical_weight
        every = np.arange(len(task))
        base = task.ndcg_of(task.base, every, lexical=lexical)
        gains = {name: outcome.gains_over_base}
        others = searcher.pool.adapter_by_name.values() if outcome.share < 1 else ()
        for expert in others:
            columns = []
            for strength in STRENGTHS:
                strengths = np.full(len(self.batch), strength, dtype=np.float32)
                vectors = expert.encode_queries(self.batch, strengths=strengths)
                columns.append(task.ndcg_of(vectors, every, lexical=lexical) - base)
            gains[expert.name] = np.stack(columns, axis=1)
        corpus = PilotCorpus(
            name=name,
            texts=self.batch.texts,
            vectors=task.base,
            gains=gains,
            lexical_gains=outcome.lexical_gains,
            home_experts=(name,),
            source=name,
            is_index=True,
        )
        return PilotLibrary(query_tower=searcher.pool.base.query_tower, corpora=(corpus,))


def _lowered(block: Block, routing: RoutingBatch, searcher: Searcher, owners: IntArray) -> FloatArray:
    """What the scores of all rows are lowered by, shape (n_queries, n_rows); their documents' numbers are given."""
    standing = searcher.standing(block, routing)
    if standing is None:
        return np.zeros((len(block), len(owners)), dtype=np.float32)
    numbers, places = np.unique(owners, return_inverse=True)
    return standing.penalties(numbers)[:, places]


def _require_room(n_queries: int, *, n_rows: int) -> None:
    """Do nothing if so many labelled queries can be held in memory beside the rows of an index."""
    most = min(MOST_QUERIES, MOST_SCORES // max(1, n_rows))
    if n_queries > most:
        raise InputError(
            f"found {n_queries} labelled queries for an index with {n_rows} rows, expected at most {most}, so that "
            f"their scores fit into memory; draw {most} of them at random (routeret tune --limit {most})"
        )


def _relevant_places(queries: Sequence[LabelledQuery], index: Index, numbers: IntArray) -> tuple[IntArray, ...]:
    """The places, among the rising numbers of all documents, of those that answer each query."""
    for place, query in enumerate(queries):
        if _is_text(query.relevant):
            raise InputError(
                f"labelled query {place} has the text {query.relevant!r} as relevant; expected a tuple of document "
                f"ids: ({query.relevant!r},)"
            )
        if not query.text.strip() or not query.relevant:
            raise InputError(
                f"labelled query {place} is {query.text!r} with {query.relevant!r} as relevant; expected a text that "
                f"is not blank and the ids of at least one document"
            )
    ids = list(dict.fromkeys(document for query in queries for document in query.relevant))
    place_by_id = dict(zip(ids, np.searchsorted(numbers, index.numbers(ids)).tolist(), strict=True))
    return tuple(np.unique([place_by_id[document] for document in query.relevant]) for query in queries)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _joined(parts: Sequence[FloatArray], *, dim: int) -> FloatArray:
    """Blocks of lines as one float32 array; an empty one where there are none."""
    return np.concatenate([np.zeros((0, dim), dtype=np.float32), *parts], axis=0, dtype=np.float32)
