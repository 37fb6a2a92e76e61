"""All systems on one data set: block by block, so that no run has to be held whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from routeret.datasets import Dataset, write_run
from routeret.evaluation.action_oracles import ActionOracles
from routeret.evaluation.assemble import assemble_dataset
from routeret.evaluation.dataset_report import DatasetReport
from routeret.evaluation.indexing import SearchedIndex, query_vectors
from routeret.evaluation.judged_documents import JudgedDocuments, judged_by_number
from routeret.evaluation.near_duplicates import repeated_queries
from routeret.evaluation.null import with_null_oracle
from routeret.evaluation.self_hits import is_itself
from routeret.evaluation.settings import EvaluationSettings
from routeret.evaluation.systems import Systems
from routeret.index import Index
from routeret.measures import PerQuery, measure
from routeret.progress import track
from routeret.retriever.ranking import NONE, Ranking
from routeret.retriever.searching import Searcher, candidate_depth
from routeret.routing.decisions import RoutingBatch
from routeret.types import BASE, LEXICAL, FloatArray, IntArray, Qrels, Run

DEPTH = 100
"""How many documents of every query are measured."""

TRAIN = "train"
"""The split that experts are trained on."""


def score_dataset(
    dataset: Dataset,
    searched: SearchedIndex,
    searcher: Searcher,
    *,
    settings: EvaluationSettings,
    show_progress: bool = False,
) -> DatasetReport:
    """Measure every system on the queries of a data set.

    Args:
        dataset: the data set.
        searched: where its documents are.
        searcher: searches that index with a pool.
        settings: which queries and systems, and what to keep.
        show_progress: draw a progress bar on stderr.

    Raises:
        InputError: a system is unknown.
    """
    systems = Systems(searcher, names=settings.systems)
    queries, judged = dataset.split(settings.split)
    prefix = searched.prefix
    scores = _Scores(
        query_ids=tuple(queries),
        qrels={query: {prefix + one: grade for one, grade in grades.items()} for query, grades in judged.items()},
        id_by_number=dict(
            zip(np.flatnonzero(searched.index.live_documents).tolist(), searched.index.ids(), strict=True)
        ),
        themselves=_themselves(queries, searched),
        keeps_rankings=settings.save_runs is not None,
    )
    texts = list(queries.values())
    vectors = query_vectors(texts, searcher.pool.base, cache=settings.cache)
    oracles = None
    if systems.action_oracles:
        oracles = ActionOracles(searcher, scores.judged_documents(), wanted=systems.action_oracles)
    steps = _steps(scores, systems, searcher, texts, vectors=vectors, dataset=dataset.name, oracles=oracles)
    description = f"evaluating {dataset.name}"
    for _ in track(steps, description=description, total=len(texts), unit="queries", show=show_progress):
        pass
    if oracles is not None and oracles.chooses_by_set:
        _take_chosen(scores, oracles, searcher, texts, vectors=vectors)
    if settings.save_runs is not None:
        scores.save(Path(settings.save_runs) / dataset.name)
    positives = dataset.qrels_by_split.get(TRAIN, {})
    report = assemble_dataset(
        with_null_oracle(scores.per_query),
        scores.qrels,
        weights=scores.mean_weights(),
        seen={prefix + one for grades in positives.values() for one, grade in grades.items() if grade > 0},
        repeated=repeated_queries(queries, [dataset.queries[one] for one in positives if one in dataset.queries]),
        actions=systems.actions,
        costs=systems.costs(),
    )
    return replace(report, n_self=int(np.count_nonzero(scores.themselves != NONE)))


@dataclass(slots=True)
class _Scores:
    """What has been measured so far."""

    query_ids: tuple[str, ...]
    qrels: Qrels
    id_by_number: dict[int, str]
    themselves: IntArray
    keeps_rankings: bool
    per_query: dict[str, PerQuery | None] = field(default_factory=dict)
    rankings: dict[str, list[Ranking]] = field(default_factory=dict)
    weight_sums: dict[str, float] = field(default_factory=dict)

    def take(self, system: str, ranking: Ranking | None, *, start: int) -> None:
        """Measure what a system found for the queries from number ``start`` on."""
        if ranking is None:
            self.per_query[system] = None
            return
        run = self.run(ranking, start=start)
        measured = measure(run, {query: self.qrels[query] for query in run})
        self.per_query[system] = {**(self.per_query.get(system) or {}), **measured}
        if self.keeps_rankings:
            self.rankings.setdefault(system, []).append(ranking)

    def take_weights(self, routing: RoutingBatch) -> None:
        """Count the weights of a part of the queries."""
        sums = dict(zip((BASE, *routing.experts), routing.weights.sum(axis=0, dtype=np.float64), strict=True))
        sums[LEXICAL] = routing.lexical.sum(dtype=np.float64)
        for name, total in sums.items():
            self.weight_sums[name] = self.weight_sums.get(name, 0.0) + float(total)

    def judged_documents(self) -> JudgedDocuments:
        """The relevant documents of all queries as arrays."""
        number_by_id = {document: number for number, document in self.id_by_number.items()}
        return JudgedDocuments.of(judged_by_number(self.query_ids, self.qrels, number_by_id), self.themselves)

    def mean_weights(self) -> dict[str, float]:
        """Mean weight of the base, of every expert and of BM25 over all queries."""
        return {name: total / len(self.query_ids) for name, total in self.weight_sums.items()}

    def run(self, ranking: Ranking, *, start: int) -> Run:
        """A ranking with ids, without the documents that are the queries themselves."""
        run: Run = {}
        for line, (documents, scores) in enumerate(
            zip(ranking.documents.tolist(), ranking.scores.tolist(), strict=True)
        ):
            itself = self.themselves[start + line]
            run[self.query_ids[start + line]] = {
                self.id_by_number[document]: score
                for document, score in zip(documents, scores, strict=True)
                if document not in (NONE, itself)
            }
        return run

    def save(self, folder: Path) -> None:
        """Write every run in TREC form."""
        folder.mkdir(parents=True, exist_ok=True)
        for system, rankings in self.rankings.items():
            run: Run = {}
            for ranking in rankings:
                run.update(self.run(ranking, start=len(run)))
            write_run(folder / f"{system}.trec", run, system=system)


def _steps(
    scores: _Scores,
    systems: Systems,
    searcher: Searcher,
    texts: Sequence[str],
    *,
    vectors: FloatArray,
    dataset: str,
    oracles: ActionOracles | None,
) -> Iterator[None]:
    """Search and measure block by block; gives one item a query, so that progress can be drawn."""
    start = 0
    for block in searcher.blocks(texts, depth=candidate_depth(DEPTH), vectors=vectors):
        routing = searcher.route(block)
        scores.take_weights(routing)
        for system, ranking in systems.rank(block, DEPTH, dataset=dataset, routing=routing):
            scores.take(system, ranking, start=start)
        for system, ranking in oracles.rank(block, DEPTH, start=start) if oracles is not None else ():
            scores.take(system, ranking, start=start)
        start += len(block)
        for _ in range(len(block)):
            yield None


def _take_chosen(
    scores: _Scores, oracles: ActionOracles, searcher: Searcher, texts: Sequence[str], *, vectors: FloatArray
) -> None:
    """Search and measure once more, with the actions that are best over all queries."""
    start = 0
    for block in searcher.blocks(texts, depth=candidate_depth(DEPTH), vectors=vectors):
        for system, ranking in oracles.rank_chosen(block, DEPTH):
            scores.take(system, ranking, start=start)
        start += len(block)


def _themselves(queries: dict[str, str], searched: SearchedIndex) -> IntArray:
    """The number of the document that a query is, for every query; :data:`NONE` where it is none."""
    index: Index = searched.index
    ids = [searched.prefix + query for query in queries]
    numbers = np.full(len(ids), NONE, dtype=np.int64)
    present = np.flatnonzero(index.contains(ids))
    found = index.numbers([ids[position] for position in present])
    texts = list(queries.values())
    for position, number, document in zip(present, found, index.documents(found), strict=True):
        if is_itself(texts[position], document):
            numbers[position] = number
    return numbers
