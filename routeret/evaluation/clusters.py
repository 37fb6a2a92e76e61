"""Which queries of a data set depend on each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from routeret.types import IntArray, Qrels

SHARED = 0.5
"""Two queries are in one cluster from this share of relevant documents on that they have in common."""

_BLOCK = 1_000  # rows of the product that are held at once


def query_clusters(qrels: Qrels, query_ids: Sequence[str]) -> IntArray:
    """Give the number of every query's cluster: queries with much the same relevant documents are in one.

    Such queries succeed and fail together, so resampling must draw them together. Two queries are linked if they have
    at least half of their relevant documents in common (those of both over those of either), and a cluster is a
    connected component of these links. Linking all that share one document would put nearly all queries of a set with
    many relevant documents a query into one cluster, from which no interval could be told. A query without a relevant
    document is a cluster of its own.

    Args:
        qrels: grades by query id and document id; above 0 is relevant.
        query_ids: the queries, all of them judged.

    Returns:
        int64, shape (n_queries,); numbers from 0 on.
    """
    from scipy.sparse import coo_array, csr_array
    from scipy.sparse.csgraph import connected_components

    relevant = [frozenset(document for document, grade in qrels[one].items() if grade > 0) for one in query_ids]
    # Many queries have the very same relevant documents; each set counts once.
    number_by_set = {documents: number for number, documents in enumerate(dict.fromkeys(relevant))}
    column_by_document: dict[str, int] = {}
    columns = [column_by_document.setdefault(one, len(column_by_document)) for found in number_by_set for one in found]
    sizes = np.array([len(documents) for documents in number_by_set], dtype=np.int64)
    n_sets = len(sizes)
    rows = np.repeat(np.arange(n_sets), sizes)
    holds = csr_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(n_sets, len(column_by_document)))
    links = [_links(holds, sizes, start) for start in range(0, n_sets, _BLOCK)]
    pairs = np.concatenate([np.empty((2, 0), dtype=np.int64), *links], axis=1)
    graph = coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(n_sets, n_sets))
    _, cluster_by_set = connected_components(graph, directed=False)
    clusters = np.array([cluster_by_set[number_by_set[documents]] for documents in relevant], dtype=np.int64)
    return _apart(clusters, [not documents for documents in relevant])


def _links(holds: Any, sizes: IntArray, start: int) -> IntArray:  # noqa: ANN401 - a sparse array
    """The pairs of sets that are linked, of a block of sets with all; ``holds`` has a 1 for every document of a set."""
    common = (holds[start : start + _BLOCK] @ holds.T).tocoo()
    rows, columns = common.row + start, common.col
    is_linked = common.data >= SHARED * (sizes[rows] + sizes[columns] - common.data)
    return np.stack([rows[is_linked], columns[is_linked]]).astype(np.int64)


def _apart(clusters: IntArray, is_alone: Sequence[bool]) -> IntArray:
    """The clusters with queries without a relevant document each in its own."""
    alone = np.flatnonzero(is_alone)
    clusters[alone] = len(clusters) + np.arange(len(alone))
    return np.unique(clusters, return_inverse=True)[1].astype(np.int64)
