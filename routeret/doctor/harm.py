"""What every expert does to the queries whose right documents are known."""

from dataclasses import dataclass

import numpy as np

from routeret.doctor.log import QueryLog
from routeret.evaluation.clusters import query_clusters
from routeret.measures import ideal_dcg, ndcg
from routeret.progress import track
from routeret.retriever.ranking import Ranking
from routeret.retriever.searching import Searcher, candidate_depth, query_parts
from routeret.significance import PairedTest, paired_test
from routeret.types import FloatArray, IntArray

_K = 10


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The queries of a log whose right documents are known.

    Attributes:
        queries: int64, shape (n_labelled,); their numbers in the log.
        texts: the queries.
        relevant: the document numbers that are right for each.
        clusters: int64, shape (n_labelled,); queries with much the same right documents are in one.
    """

    queries: IntArray
    texts: tuple[str, ...]
    relevant: tuple[IntArray, ...]
    clusters: IntArray

    @classmethod
    def of(cls, log: QueryLog, searcher: Searcher) -> "Labels":
        """Look the documents of a log up.

        Raises:
            UnknownDocumentError: a document is not in the index.
        """
        queries = [number for number, documents in enumerate(log.relevant) if documents]
        ids = list(dict.fromkeys(document for query in queries for document in log.relevant[query]))
        number_by_id = dict(zip(ids, searcher.index.numbers(ids).tolist(), strict=True))
        qrels = {str(query): dict.fromkeys(log.relevant[query], 1) for query in queries}
        return cls(
            queries=np.array(queries, dtype=np.int64),
            texts=tuple(log.texts[query] for query in queries),
            relevant=tuple(np.array([number_by_id[one] for one in log.relevant[query]]) for query in queries),
            clusters=query_clusters(qrels, list(qrels)) if queries else np.zeros(0, dtype=np.int64),
        )

    def __len__(self) -> int:
        """How many queries."""
        return len(self.queries)

    @property
    def n_clusters(self) -> int:
        """How many clusters the queries are in."""
        return len(np.unique(self.clusters))


def effects(
    labels: Labels, searcher: Searcher, *, vectors: FloatArray, seed: int = 0, show_progress: bool = False
) -> dict[str, PairedTest]:
    """nDCG@10 of the routed search minus that without one expert, by expert; empty where nothing is labelled.

    Without an expert the router weighs the others as if it had never been there. Queries with much the same right
    documents are drawn together.

    Args:
        labels: the queries.
        searcher: searches the index with the pool.
        vectors: float32, shape (n_labelled, dim); the base's query embeddings.
        seed: fixes the resamples of the intervals.
        show_progress: draw a progress bar on stderr.
    """
    if not len(labels):
        return {}
    differences: dict[str, list[FloatArray]] = {name: [] for name in searcher.pool.names}
    blocks = searcher.blocks(labels.texts, depth=candidate_depth(_K), vectors=vectors)
    n_blocks = sum(1 for _ in query_parts(labels.texts))
    start = 0
    for block in track(blocks, description="searching", total=n_blocks, unit="blocks", show=show_progress):
        relevant = labels.relevant[start : start + len(block)]
        start += len(block)
        routed = _ndcg(searcher.rank(block, searcher.route(block), _K), relevant)
        for name, parts in differences.items():
            without = searcher.rank(block, searcher.route(block, disabled=frozenset({name})), _K)
            parts.append(routed - _ndcg(without, relevant))
    return {
        name: paired_test(np.concatenate(parts), clusters=labels.clusters, seed=seed)
        for name, parts in differences.items()
    }


def _ndcg(ranking: Ranking, relevant: tuple[IntArray, ...]) -> FloatArray:
    """nDCG@10 of every query, float32, shape (n_queries,)."""
    grades = [np.isin(found, right) for found, right in zip(ranking.documents, relevant, strict=True)]
    return ndcg(np.array(grades, dtype=np.float32), ideal_dcg([[1.0] * len(right) for right in relevant], _K))
