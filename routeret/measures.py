"""What a run is worth: nDCG@10, MAP, MRR@10, RP@10 and Recall@100 of every query, by trec_eval's rules.

Three rules of trec_eval matter when numbers are compared with those of other tools:

- Hits are ordered by score, not by their order in the run, and scores are compared as float32.
- Equal scores are ordered by document id, the highest id (in UTF-8 bytes) first.
- nDCG has linear gains, grade / log2(rank + 1); grades below 0 count as 0.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from routeret.errors import InputError
from routeret.types import FloatArray, Qrels, Run

NDCG = "ndcg@10"
"""The measure by which systems are compared and chosen."""

MEASURES = (NDCG, "map", "mrr@10", "rp@10", "recall@100")
"""The names of the measures that :func:`measure` gives, in the order of the tables."""

PerQuery = dict[str, dict[str, float]]
"""Values by query id and measure."""

_TREC_NAMES = {NDCG: "ndcg_cut_10", "map": "map", "mrr@10": "recip_rank", "recall@100": "recall_100"}
_TREC_MEASURES = {"ndcg_cut.10", "map", "recip_rank", "P.10", "recall.100"}


def measure(run: Run, qrels: Qrels, *, drop_self_hits: bool = False) -> PerQuery:
    """Give all measures of every judged query.

    The means equal those of BEIR's ``EvaluateRetrieval.evaluate``, which has no RP@10 (see :func:`rp_at_k`), up to its
    rounding to 5 decimals, with one difference: a judged query that the run lacks counts 0 here, where pytrec_eval
    leaves it out of the mean. As there, a query whose judgements are all 0 counts 0, a query with an empty set of
    judgements does not count, and a query of the run without judgements is ignored. ``map`` goes over the whole run:
    give runs of equal depth.

    Args:
        run: scores by query id and document id; higher is better.
        qrels: grades by query id and document id; above 0 is relevant.
        drop_self_hits: drop hits whose document id equals the query id, as BEIR does by default (its
            ``ignore_identical_ids``). Right where the queries are documents of the corpus (ArguAna, Quora), wrong
            where the ids agree by chance.

    Returns:
        For every query id of the qrels, in their order, the values of :data:`MEASURES`, each in 0 to 1.

    Raises:
        InputError: a score is not a number that can be ordered, or a grade is not an integer.
    """
    judged, values = _evaluated(run, qrels, _TREC_MEASURES, drop_self_hits=drop_self_hits)
    return {query_id: _named(values.get(query_id), grades) for query_id, grades in judged.items()}


def rp_at_k(run: Run, qrels: Qrels, *, k: int = 10, drop_self_hits: bool = False) -> dict[str, float]:
    """Give RP@k of every judged query: relevant hits among the first k over the most that could be there.

    The R-precision at k of Unified Work Embeddings (2511.07969) and of WorkRB, hits / min(k, relevant documents). Which
    queries count is as in :func:`measure`: one whose judgements are all 0 counts 0, where WorkRB leaves it out.

    Args:
        run: scores by query id and document id; higher is better.
        qrels: grades by query id and document id; above 0 is relevant.
        k: at least 1.
        drop_self_hits: drop hits whose document id equals the query id.

    Returns:
        For every query id of the qrels, in their order, a value in 0 to 1.

    Raises:
        InputError: k is below 1, a score is not a number that can be ordered, or a grade is not an integer.
    """
    if k < 1:
        raise InputError(f"k is {k}; expected at least 1")
    judged, values = _evaluated(run, qrels, {f"P.{k}"}, drop_self_hits=drop_self_hits)
    return {
        query_id: _r_precision(values[query_id][f"P_{k}"], k, grades) if query_id in values else 0.0
        for query_id, grades in judged.items()
    }


def mean_measures(per_query: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Give the mean of every measure over queries.

    Args:
        per_query: what :func:`measure` gave; at least one query.

    Raises:
        InputError: there is no query, so there is no mean.
    """
    if not per_query:
        raise InputError("a mean over 0 queries was asked for; expected qrels with at least one judged query")
    return {name: math.fsum(values[name] for values in per_query.values()) / len(per_query) for name in MEASURES}


def ndcg(ranked_grades: FloatArray, ideal: FloatArray) -> FloatArray:
    """Give nDCG of ranked grades, the fast twin of trec_eval's ``ndcg_cut`` for training loops and routers.

    Args:
        ranked_grades: float32, shape (n_queries, k); the grade of the document at every rank, best rank first,
            0 where it is not judged.
        ideal: float32, shape (n_queries,); what :func:`ideal_dcg` gives for the same k.

    Returns:
        float32, shape (n_queries,), in 0 to 1; 0 where ``ideal`` is 0.

    Raises:
        InputError: the shapes do not fit.
    """
    if ranked_grades.ndim != 2 or ideal.shape != ranked_grades.shape[:1]:
        raise InputError(
            f"ranked_grades has shape {ranked_grades.shape} and ideal {ideal.shape}; "
            "expected (n_queries, k) and (n_queries,)"
        )
    gains = np.maximum(ranked_grades, 0).astype(np.float64) @ _discounts(ranked_grades.shape[1])
    return np.divide(gains, ideal, out=np.zeros(len(gains)), where=ideal > 0).astype(np.float32)


def ideal_dcg(grades: Sequence[Sequence[float]], k: int) -> FloatArray:
    """Give the highest discounted gain that k hits can have.

    Args:
        grades: for every query the grades of its judged documents, in any order.
        k: how many ranks count; at least 1.

    Returns:
        float32, shape (n_queries,); 0 for a query without a relevant document.

    Raises:
        InputError: k is below 1.
    """
    if k < 1:
        raise InputError(f"k is {k}; expected at least 1")
    discounts = _discounts(k)
    best = (sorted((grade for grade in judged if grade > 0), reverse=True)[:k] for judged in grades)
    return np.array([np.dot(gains, discounts[: len(gains)]) for gains in best], dtype=np.float32)


def _evaluated(
    run: Run, qrels: Qrels, trec_measures: set[str], *, drop_self_hits: bool
) -> tuple[Qrels, dict[str, dict[str, float]]]:
    """The judged queries, and what pytrec_eval gives for those of them that the run has hits for."""
    import pytrec_eval

    judged = {query_id: grades for query_id, grades in qrels.items() if grades}
    found = {query_id: run[query_id] for query_id in judged if run.get(query_id)}
    if drop_self_hits:
        found = {query_id: _without(query_id, hits) for query_id, hits in found.items()}
    for query_id, hits in found.items():
        _require_numbers(query_id, hits)
    try:
        values: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(judged, trec_measures).evaluate(found)
    except TypeError as error:
        raise InputError(
            f"pytrec_eval cannot read the run or the qrels: {error}; scores must be Python floats and grades Python "
            "integers: convert NumPy values with float() and int()"
        ) from error
    return judged, values


def _discounts(k: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 1.0 / np.log2(np.arange(2, k + 2, dtype=np.float64))


def _without(document_id: str, hits: dict[str, float]) -> dict[str, float]:
    if document_id not in hits:
        return hits
    return {other: score for other, score in hits.items() if other != document_id}


def _require_numbers(query_id: str, hits: dict[str, float]) -> None:
    if not math.isnan(sum(hits.values())):
        return
    # The sum is also not a number where the hits hold both infinities, which can be ordered.
    broken = [document_id for document_id, score in hits.items() if math.isnan(score)]
    if broken:
        raise InputError(
            f"query {query_id!r} scores document {broken[0]!r} with NaN; expected a number: "
            "drop the hit or fix the system that scored it"
        )


def _r_precision(precision: float, k: int, grades: Mapping[str, int]) -> float:
    """Precision at k, made relative to the most that k hits can have."""
    n_relevant = sum(grade > 0 for grade in grades.values())
    return round(precision * k) / max(1, min(k, n_relevant))


def _named(values: Mapping[str, float] | None, grades: Mapping[str, int]) -> dict[str, float]:
    if values is None:
        return dict.fromkeys(MEASURES, 0.0)
    named = {name: float(values[trec_name]) for name, trec_name in _TREC_NAMES.items()}
    named["rp@10"] = _r_precision(values["P_10"], 10, grades)
    # trec_eval has no cut-off for the reciprocal rank; a value below that of rank 10 is a first hit after rank 10.
    if named["mrr@10"] < 1 / 10.5:
        named["mrr@10"] = 0.0
    return {name: named[name] for name in MEASURES}
