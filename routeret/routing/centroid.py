"""RouterRetriever's router, reimplemented from the paper to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import best_by_corpus, names_of, picked, strengths_of, unit
from routeret.routing.pilots import PilotLibrary
from routeret.types import FloatArray, IntArray, QueryBatch

Pooling = Literal["mean", "max"]


@dataclass(frozen=True, slots=True)
class CentroidRouter:
    """One expert a query: the one whose pilot centroids are nearest on the mean (arXiv 2409.02685, section 3).

    Algorithm 1 of the paper: every pilot query belongs to the expert that did best on it; the pilots of one training
    set and one expert are summed up by the centroid of their base embeddings. A query goes to the expert with the
    highest mean similarity over its centroids. There is no abstention. Ties between experts, frequent with nDCG@10,
    go to the expert that was trained on that set; the paper does not say. The paper found several centroids a group, by
    k-means, to do worse than one.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        centroids: float32, shape (n_centroids, dim), unit length.
        owners: int64, shape (n_centroids,); the expert's column.
        pool: how the similarities to one expert's centroids become one number.
    """

    expert_names: tuple[str, ...]
    strengths: FloatArray
    centroids: FloatArray
    owners: IntArray
    pool: Pooling = "mean"

    @classmethod
    def fit(
        cls,
        library: PilotLibrary,
        experts: Sequence[PoolMember],
        *,
        pool: Pooling = "mean",
        per_expert: bool = False,
        n_centroids: int = 1,
        seed: int = 0,
    ) -> "CentroidRouter":
        """Compute the centroids.

        Args:
            library: only pilots on which every expert was measured are used.
            experts: the pool.
            pool: ``"mean"`` as in the paper, ``"max"`` as in the code that was released with it.
            per_expert: one group an expert over all training sets, instead of one a set and expert.
            n_centroids: how many centroids a group gets, by k-means where more than 1; a group with fewer different
                pilots gets one for each.
            seed: where k-means starts.

        Raises:
            InputError: no pilot was measured with every expert, or there are no centroids.
        """
        if n_centroids < 1:
            raise InputError(f"n_centroids is {n_centroids}, expected at least 1")
        members: dict[tuple[str, int], list[FloatArray]] = {}
        for name, (vectors, best) in best_by_corpus(library, experts).items():
            for vector, column in zip(vectors, best, strict=True):
                members.setdefault(("" if per_expert else name, int(column)), []).append(vector)
        centroids = [_centroids(np.stack(vectors), n_centroids, seed=seed) for vectors in members.values()]
        return cls(
            expert_names=names_of(experts),
            strengths=strengths_of(experts),
            centroids=unit(np.concatenate(centroids)),
            owners=np.repeat([column for _, column in members], [len(own) for own in centroids]).astype(np.int64),
            pool=pool,
        )

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: reported in the result; this router does not look at it.
        """
        n_queries, n_experts = len(queries), len(self.expert_names)
        similarity = queries.base @ self.centroids.T
        pooled = np.full((n_queries, n_experts), -np.inf, dtype=np.float32)
        for column in range(n_experts):
            own = similarity[:, self.owners == column]
            if own.shape[1]:
                pooled[:, column] = own.mean(axis=1) if self.pool == "mean" else own.max(axis=1)
        return picked(pooled.argmax(axis=1), expert_names=self.expert_names, strengths=self.strengths, known=known)


def _centroids(vectors: FloatArray, n_centroids: int, *, seed: int) -> FloatArray:
    """The mean of some vectors, or the means of their clusters, shape (at most n_centroids, dim)."""
    # What differs less than this k-means cannot tell apart in single precision.
    n_clusters = 1 if n_centroids == 1 else min(n_centroids, len(np.unique(vectors.round(4), axis=0)))
    if n_clusters == 1:
        return np.asarray(vectors.mean(axis=0, keepdims=True), dtype=np.float32)
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(n_clusters, n_init=10, random_state=seed).fit(vectors).cluster_centers_, dtype=np.float32)
