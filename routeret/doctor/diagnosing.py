"""Reads from a query log how a pool of experts lives."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from routeret.doctor.diagnosis import Diagnosis, ExpertUse
from routeret.doctor.drift import drift_of
from routeret.doctor.harm import Labels, effects
from routeret.doctor.log import QueryLog
from routeret.doctor.observing import Observed, observe
from routeret.errors import InputError
from routeret.retriever import Retriever
from routeret.routing import UtilityRouter
from routeret.significance import PairedTest

ACTS_FROM = 0.01
"""An expert with a weight from here on acts on a query."""

_LIKENESS_BINS = 10


def diagnose(retriever: Retriever, log: QueryLog, *, seed: int = 0, show_progress: bool = False) -> Diagnosis:
    """Route every query of a log and tell how experts and router do.

    Weights, their entropy and the experts that are never chosen are the load diagnosis of HoME (arXiv 2408.05430) for
    experts that collapse. What an expert does for the results is measured only where the log names right documents.

    Args:
        retriever: open; nothing in it changes.
        log: the queries.
        seed: fixes the resamples of the intervals.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: there is no expert, so there is nothing to diagnose.
        UnknownDocumentError: a document of the log is not in the index.
        SpaceMismatchError: the base model has changed since the index or the experts were made.
    """
    index = str(retriever.info()["folder"])
    if not retriever.expert_names:
        raise InputError(
            f"index {index} has no experts, so there is nothing to diagnose; expected at least one: fit one with "
            f"routeret tune {index} --queries labelled.jsonl, or add one with routeret experts add {index} EXPERT"
        )
    searcher = retriever.searcher
    router = searcher.pool.router
    if not isinstance(router, UtilityRouter):
        raise InputError(
            f"index {index} has {len(retriever.expert_names)} experts and no router with pilots, so there is nothing "
            f"to diagnose; remove the experts and add them again with routeret experts remove and add"
        )
    labels = Labels.of(log, searcher)
    observed = observe(searcher, router, log.texts, show_progress=show_progress)
    found = effects(labels, searcher, vectors=observed.base[labels.queries], seed=seed, show_progress=show_progress)
    entropy, query_entropy = entropies(observed.weights)
    return Diagnosis(
        index=index,
        n_queries=len(observed),
        n_labelled=len(labels),
        n_clusters=labels.n_clusters,
        base_weight=float(observed.weights[:, 0].mean(dtype=np.float64)),
        base_wins=float((observed.weights.argmax(axis=1) == 0).mean()),
        experts=uses(observed, found),
        entropy=entropy,
        query_entropy=query_entropy,
        held_back=float(observed.held_back.mean()),
        turned=float(observed.turned.mean()),
        lexical_weight=float(observed.lexical.mean(dtype=np.float64)),
        likeness=tuple(np.histogram(observed.likeness, bins=_LIKENESS_BINS, range=(0.0, 1.0))[0].tolist()),
        drift=drift_of(observed, log.texts),
    )


def uses(observed: Observed, effect_by_expert: Mapping[str, PairedTest]) -> tuple[ExpertUse, ...]:
    """What every expert does for some queries, in the order of the pool.

    Args:
        observed: what the router decided.
        effect_by_expert: what each does to labelled queries; may be empty.
    """
    winners = observed.weights.argmax(axis=1)
    found = []
    for column, name in enumerate(observed.experts):
        weights = observed.weights[:, 1 + column]
        acts = weights >= ACTS_FROM
        found.append(
            ExpertUse(
                name=name,
                weight=float(weights.mean(dtype=np.float64)),
                wins=float((winners == 1 + column).mean()),
                acts=float(acts.mean()),
                strength=_mean_or_none(observed.strengths[acts, column]),
                predicted_gain=_mean_or_none(observed.gains[acts, column]),
                effect=effect_by_expert.get(name),
            )
        )
    return tuple(found)


def entropies(weights: NDArray[np.floating]) -> tuple[float, float]:
    """The entropy of the mean weights, and the mean entropy of the weights of a query, each in 0 to 1.

    Both are relative to the entropy of equal weights. Low and low: one of the pool gets everything. High and low: every
    query has its own. High and high: the router does not tell them apart.

    Args:
        weights: shape (n_queries, n_columns), at least 1 query and 2 columns; rows sum to 1.
    """
    from scipy.stats import entropy

    values = np.asarray(weights, dtype=np.float64)
    n_columns = values.shape[1]
    return float(entropy(values.mean(axis=0), base=n_columns)), float(entropy(values, base=n_columns, axis=1).mean())


def _mean_or_none(values: NDArray[np.floating]) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None
