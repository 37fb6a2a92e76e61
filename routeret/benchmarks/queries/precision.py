"""What 8-bit arithmetic of queries costs in quality: the same documents, the same queries, both precisions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from routeret.benchmarks.given import IndexVectors
from routeret.benchmarks.queries.material import K
from routeret.benchmarks.truth import exact_run
from routeret.datasets import Dataset
from routeret.encoders.probes import cosines_of
from routeret.measures import NDCG, mean_measures, measure
from routeret.protocols import Encoder

SPLIT = "dev"
"""Test queries are not looked at for a choice."""


def precision_figures(
    index_folder: Path, datasets: Sequence[Dataset], encoders: Mapping[str, Encoder]
) -> list[dict[str, Any]]:
    """For every data set with dev queries, nDCG@10 of either precision, and the cosine between their vectors.

    Args:
        index_folder: holds the documents of all data sets with ids ``<data set>/<id>``.
        datasets: whose documents are searched, each alone and exactly.
        encoders: by precision, ``"float32"`` and ``"int8"``.
    """
    vectors = IndexVectors(index_folder)
    found = []
    for dataset in datasets:
        if SPLIT not in dataset.splits:
            continue
        queries, qrels = dataset.split(SPLIT)
        written = {name: one.encode_queries(list(queries.values())) for name, one in encoders.items()}
        documents = list(dataset.corpus.with_prefix())
        stored = vectors.encode_documents(documents).vectors
        ids = [document.id.removeprefix(f"{dataset.name}/") for document in documents]
        cosines = cosines_of(written["float32"], written["int8"])
        ndcg = {
            name: mean_measures(measure(exact_run(list(queries), one, ids, stored, k=K), qrels))[NDCG]
            for name, one in written.items()
        }
        found.append(
            {
                "dataset": dataset.name,
                "queries": len(queries),
                "ndcg": ndcg,
                "cosine_mean": float(cosines.mean()),
                "cosine_least": float(cosines.min()),
            }
        )
    return found
