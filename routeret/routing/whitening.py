"""A map of queries that is computed from the documents of an index alone, without a query or a label."""

import warnings

import numpy as np
from numpy.typing import NDArray

from routeret.types import FloatArray

_Doubles = NDArray[np.float64]

LEAST_VECTORS = 500
"""Fewer documents do not tell how their vectors are spread."""

_CLUSTERS = 8
_PARTS = 4
_LEAST_IN_CLUSTER = 16
_ROUNDS = 20
_RIDGE = 1.0


def whitening(documents: FloatArray, *, seed: int = 0) -> FloatArray:
    """Give the map that turns queries away from the directions in which documents vary much anyway.

    The inverse of a covariance, as in Fisher's discriminant and in whitening (Su et al., arXiv 2103.15316), applied on
    the query's side alone, so that no document changes. The covariance is that within clusters of the documents: where
    an index holds several subjects, the directions that tell them apart are kept. With a ridge of the mean variance, S
    + r I, the map at strength s is ``q + s W q = (1 - s) q + s c (S + r I)^-1 q``, where c keeps the mean length of the
    documents' vectors.

    Args:
        documents: float32, shape (n_documents, dim), at least one, not all of them zero.
        seed: of the first centres of the clusters.

    Returns:
        W, float32, shape (dim, dim).
    """
    vectors = documents.astype(np.float64)
    return turned_against(_within_clusters(vectors, seed=seed), vectors)


def turned_against(scatter: _Doubles, vectors: _Doubles) -> FloatArray:
    """Give the map that turns queries away from the directions in which something scatters.

    Args:
        scatter: a covariance S, shape (dim, dim); only its shape counts, not its size.
        vectors: whose mean length the map keeps, shape (n_vectors, dim), not all of them zero.

    Returns:
        W of ``q + s W q = (1 - s) q + s c (S + r I)^-1 q``, with r the mean variance; float32, shape (dim, dim).
    """
    dim = scatter.shape[0]
    inverse = np.linalg.inv(ridged(scatter))
    second_moment = vectors.T @ vectors / len(vectors)
    scale = np.sqrt(np.trace(second_moment) / np.trace(inverse @ second_moment @ inverse.T))
    weight: FloatArray = (scale * inverse - np.eye(dim)).astype(np.float32)
    return weight


def ridged(scatter: _Doubles) -> _Doubles:
    """A covariance with its mean variance added in every direction, so that it has an inverse."""
    dim = scatter.shape[0]
    ridge = max(_RIDGE * np.trace(scatter) / dim, np.finfo(np.float32).tiny)
    return np.asarray(scatter + ridge * np.eye(dim), dtype=np.float64)


def _within_clusters(vectors: _Doubles, *, seed: int) -> _Doubles:
    """The covariance of vectors around the centres of their clusters, shape (dim, dim).

    Where clusters lie hangs on their first centres, so every fourth vector is clustered by itself, and the four are
    averaged.
    """
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    n_parts = max(1, min(_PARTS, len(vectors) // (_CLUSTERS * _LEAST_IN_CLUSTER)))
    covariance: _Doubles = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(n_parts):
        part = vectors[start::n_parts]
        n_distinct = len({vector.tobytes() for vector in part})
        n_clusters = max(1, min(_CLUSTERS, n_distinct // 2, len(part) // _LEAST_IN_CLUSTER))
        with warnings.catch_warnings():
            # A cluster that has lost all of its vectors stays empty, which does no harm.
            warnings.filterwarnings("ignore", message="One of the clusters is empty")
            centres, labels = kmeans2(part, n_clusters, iter=_ROUNDS, minit="++", rng=rng)
        deviations = part - centres[labels]
        covariance += deviations.T @ deviations / len(vectors)
    return covariance
