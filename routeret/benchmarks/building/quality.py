"""What other arithmetic costs in quality: the same queries over the vectors that every side wrote."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from routeret.benchmarks.truth import exact_run
from routeret.datasets import Dataset
from routeret.encoders.probes import cosines_of
from routeret.measures import NDCG, mean_measures, measure
from routeret.types import FloatArray, Qrels

SPLIT = "dev"
"""Test queries are not looked at for a choice."""

K = 10
"""How deep rankings are judged."""


def judged_queries(dataset: Dataset, ids: Sequence[str]) -> tuple[dict[str, str], Qrels]:
    """The dev queries that some of the documents answer, and their judgements of those; none without a dev split.

    Args:
        dataset: has the queries.
        ids: of the documents, ``<data set>/<id>``.
    """
    if SPLIT not in dataset.splits:
        return {}, {}
    texts, qrels = dataset.split(SPLIT)
    known = set(ids)
    kept: Qrels = {}
    for query_id, grades in qrels.items():
        found = {f"{dataset.name}/{one}": grade for one, grade in grades.items()}
        here = {one: grade for one, grade in found.items() if one in known}
        if any(grade > 0 for grade in here.values()):
            kept[query_id] = here
    return {query_id: texts[query_id] for query_id in kept}, kept


def dataset_quality(
    name: str, qrels: Qrels, queries: FloatArray, ids: Sequence[str], vectors: Mapping[str, FloatArray]
) -> dict[str, Any]:
    """nDCG@10 over the documents of a data set, searched exactly, by who wrote their vectors.

    Args:
        name: of the data set; the other documents are left out.
        qrels: judgements in the order of the queries.
        queries: their vectors, float32, shape (n_queries, dim).
        ids: of all documents, in the order of their vectors.
        vectors: by side, float32, shapes (n_documents, dim).
    """
    rows = np.array([row for row, one in enumerate(ids) if one.startswith(f"{name}/")], dtype=np.int64)
    own = [ids[row] for row in rows.tolist()]
    runs = {side: exact_run(list(qrels), queries, own, written[rows], k=K) for side, written in vectors.items()}
    ndcg = {side: mean_measures(measure(run, qrels))[NDCG] for side, run in runs.items()}
    return {"dataset": name, "documents": len(own), "queries": len(qrels), "ndcg": ndcg}


def cosine_figures(vectors: FloatArray, plain: FloatArray) -> dict[str, float]:
    """The mean and the least cosine of vectors with those that plain wrote of the same documents."""
    cosines = cosines_of(vectors, plain)
    return {"cosine_mean": float(cosines.mean()), "cosine_least": float(cosines.min())}


def ndcg_figures(quality: Sequence[Mapping[str, Any]], side: str, plain: str) -> dict[str, float]:
    """The mean nDCG@10 of the data sets, how far it is from plain's, and the same where most is lost.

    Args:
        quality: what :func:`dataset_quality` gave; empty gives nothing.
        side: whose.
        plain: what it is compared with.
    """
    if not quality:
        return {}
    scores = [one["ndcg"][side] for one in quality]
    differences = [one["ndcg"][side] - one["ndcg"][plain] for one in quality]
    return {
        "ndcg": float(np.mean(scores)),
        "ndcg_difference": float(np.mean(differences)),
        "ndcg_difference_least": float(min(differences)),
    }
