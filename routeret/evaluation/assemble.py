"""From runs or per-query measures of any systems to a report."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from routeret.errors import InputError
from routeret.evaluation.against_oracles import regrets
from routeret.evaluation.clusters import query_clusters
from routeret.evaluation.dataset_report import DECIMALS, Cost, DatasetReport, QueryScores, Stratum
from routeret.evaluation.differences import dataset_differences
from routeret.evaluation.layout import system_order
from routeret.evaluation.oracles import DATASET_ORACLE, QUERY_ORACLE, dataset_oracle, query_oracle
from routeret.evaluation.provenance import Provenance
from routeret.evaluation.report import Report
from routeret.measures import NDCG, PerQuery, mean_measures, measure
from routeret.types import BASE, Qrels, Run


def evaluate_runs(
    runs: Mapping[str, Mapping[str, Run | None]],
    qrels: Mapping[str, Qrels],
    *,
    weights: Mapping[str, Mapping[str, float]] | None = None,
    seen: Mapping[str, Collection[str]] | None = None,
    repeated: Mapping[str, Collection[str]] | None = None,
    actions: Sequence[str] = (),
    drop_self_hits: Collection[str] = (),
    merged: bool = False,
    provenance: Provenance | None = None,
    seed: int = 0,
) -> Report:
    """Measure the runs of any systems on any datasets.

    Where all runs together do not fit into memory, call :func:`routeret.measures.measure` on every run as it is made,
    then :func:`assemble_dataset` and :meth:`Report.from_datasets`.

    Args:
        runs: by dataset and system; a system named ``base`` in every dataset, None for a system that the dataset
            cannot have.
        qrels: by dataset, with the document ids of the runs.
        weights: mean weight of every expert over the queries, by dataset.
        seen: ids of the documents that were training positives, by dataset; a dataset that is left out has no strata
            of them.
        repeated: ids of the queries that nearly equal a training query, by dataset; a dataset that is left out has no
            stratum of fresh queries.
        actions: the systems among which the oracles choose, usually the base and the experts; none: no oracles.
        drop_self_hits: the datasets in which a hit with the query's own id does not count.
        merged: whether one index held all corpora.
        provenance: where the runs come from.
        seed: fixes the bootstrap of the intervals.

    Raises:
        InputError: the datasets of the arguments do not fit, a dataset has no judged query or no ``base``, an action
            is unknown, or a run cannot be measured.
    """
    _require_datasets("qrels", runs.keys() - qrels.keys(), of=qrels)
    named = {"weights": weights, "seen": seen, "repeated": repeated, "drop_self_hits": drop_self_hits}
    for argument, names in named.items():
        _require_datasets("runs", set(names or ()) - runs.keys(), of=runs, named_by=argument)
    datasets = {}
    for dataset, systems in runs.items():
        drop = dataset in drop_self_hits
        per_query = {
            name: None if run is None else measure(run, qrels[dataset], drop_self_hits=drop)
            for name, run in systems.items()
        }
        datasets[dataset] = assemble_dataset(
            per_query,
            qrels[dataset],
            weights=(weights or {}).get(dataset),
            seen=(seen or {}).get(dataset),
            repeated=(repeated or {}).get(dataset),
            actions=actions,
            seed=seed,
        )
    return Report.from_datasets(datasets, merged=merged, provenance=provenance, seed=seed)


def assemble_dataset(
    per_query: Mapping[str, PerQuery | None],
    qrels: Qrels,
    *,
    weights: Mapping[str, float] | None = None,
    seen: Collection[str] | None = None,
    repeated: Collection[str] | None = None,
    actions: Sequence[str] = (),
    costs: Mapping[str, Cost] | None = None,
    seed: int = 0,
) -> DatasetReport:
    """Put the measured systems of one dataset together.

    Args:
        per_query: what :func:`routeret.measures.measure` gave for these qrels, by system; ``base`` must be there.
            None for a system that the dataset cannot have.
        qrels: the judgements that were measured against; they tell the relevant documents for clusters and strata.
        weights: mean weight of every expert over the queries.
        seen: ids of the documents that were training positives; None: not known, so no strata
            of them.
        repeated: ids of the queries that nearly equal a training query
            (:func:`routeret.evaluation.near_duplicates.repeated_queries`); None: not known, so no stratum of fresh
            queries.
        actions: the systems among which the oracles choose; those that are None here are left out.
        costs: what a query costs by system; None: not known.
        seed: fixes the bootstrap of the intervals and the draws of the tests.

    Raises:
        InputError: there is no ``base`` or no judged query, an action is unknown, an oracle's name is taken, or the
            systems were measured on different queries.
    """
    query_ids = _common_queries(per_query, qrels)
    systems = _with_oracles(per_query, actions)
    scores = _scores(systems, query_ids, qrels)
    differences, regret = dataset_differences(scores, seed=seed), regrets(scores)
    gold_seen, gold_unseen = _gold_strata(systems, query_ids, qrels=qrels, seen=seen)
    return DatasetReport(
        n_queries=len(query_ids),
        systems=_means(systems, query_ids),
        diff_to_base={name: differences.get(name) for name in systems},
        weights={name: round(weight, DECIMALS) for name, weight in (weights or {}).items()},
        gold_seen=gold_seen,
        gold_unseen=gold_unseen,
        fresh=None if repeated is None else _stratum(systems, [one for one in query_ids if one not in repeated]),
        n_clusters=len(np.unique(scores.clusters)),
        regret=None if regret is None else {name: regret.get(name) for name in systems},
        costs=costs,
        scores=scores,
    )


def _with_oracles(per_query: Mapping[str, PerQuery | None], actions: Sequence[str]) -> dict[str, PerQuery | None]:
    systems = {name: per_query[name] for name in system_order(per_query)}
    if not actions:
        return systems
    unknown = [name for name in actions if name not in systems]
    if unknown:
        raise InputError(f"unknown action {unknown[0]!r}; the systems are {', '.join(systems)}")
    taken = [name for name in (DATASET_ORACLE, QUERY_ORACLE) if name in systems]
    if taken:
        raise InputError(f"{taken[0]!r} is both a given system and to be derived from the actions; leave out one")
    chosen = {name: values for name in actions if (values := systems[name]) is not None}
    return {**systems, DATASET_ORACLE: dataset_oracle(chosen), QUERY_ORACLE: query_oracle(chosen)}


def _common_queries(systems: Mapping[str, PerQuery | None], qrels: Qrels) -> list[str]:
    base = systems.get(BASE)
    if base is None:
        raise InputError(f"the systems are {', '.join(systems) or 'none'}; expected {BASE!r} to compare with")
    if not base:
        raise InputError("the dataset has 0 judged queries; expected at least one: check the qrels and the split")
    for name, values in systems.items():
        if values is not None and values.keys() != base.keys():
            odd = sorted(values.keys() ^ base.keys())[0]
            raise InputError(
                f"{name!r} and {BASE!r} were measured on different queries ({odd!r} is in one only); "
                "measure all systems with the same qrels"
            )
    if unjudged := base.keys() - qrels.keys():
        raise InputError(f"query {min(unjudged)!r} was measured but is not in the qrels; give those measured against")
    return list(base)


def _means(systems: Mapping[str, PerQuery | None], query_ids: Sequence[str]) -> dict[str, dict[str, float] | None]:
    means: dict[str, dict[str, float] | None] = dict.fromkeys(systems)
    for name, values in systems.items():
        if values is not None:
            mean = mean_measures({query_id: values[query_id] for query_id in query_ids})
            means[name] = {measured: round(value, DECIMALS) for measured, value in mean.items()}
    return means


def _scores(systems: Mapping[str, PerQuery | None], query_ids: Sequence[str], qrels: Qrels) -> QueryScores:
    present = {name: values for name, values in systems.items() if values is not None}
    ndcg = np.array([[values[query_id][NDCG] for values in present.values()] for query_id in query_ids])
    return QueryScores(tuple(present), ndcg, query_clusters(qrels, query_ids))


def _gold_strata(
    systems: Mapping[str, PerQuery | None], query_ids: Sequence[str], *, qrels: Qrels, seen: Collection[str] | None
) -> tuple[Stratum | None, Stratum | None]:
    if seen is None:
        return None, None
    known = frozenset(seen)
    parts: tuple[list[str], list[str]] = [], []
    for query_id in query_ids:
        is_seen = any(grade > 0 and document_id in known for document_id, grade in qrels[query_id].items())
        parts[0 if is_seen else 1].append(query_id)
    return _stratum(systems, parts[0]), _stratum(systems, parts[1])


def _stratum(systems: Mapping[str, PerQuery | None], query_ids: Sequence[str]) -> Stratum | None:
    return Stratum(len(query_ids), _means(systems, query_ids)) if query_ids else None


def _require_datasets(holder: str, missing: Collection[str], *, of: Collection[str], named_by: str = "runs") -> None:
    if missing:
        raise InputError(
            f"dataset {sorted(missing)[0]!r} is in {named_by} but not in {holder}, which has {', '.join(of) or 'none'}"
        )
