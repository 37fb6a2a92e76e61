"""RouterRetriever's router, reimplemented from the paper to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.pilots import STRENGTHS, PilotCorpus, PilotLibrary
from routeret.types import FloatArray, IntArray, QueryBatch

Pooling = Literal["mean", "max"]


@dataclass(frozen=True, slots=True)
class CentroidRouter:
    """One expert a query: the one whose pilot centroids are nearest on the mean (arXiv 2409.02685, section 3).

    Algorithm 1 of the paper: every pilot query belongs to the expert that did best on it; the pilots of one training
    set and one expert are summed up by the centroid of their base embeddings. A query goes to the expert with the
    highest mean similarity over its centroids. There is no abstention. Ties between experts, frequent with nDCG@10,
    go to the expert that was trained on that set; the paper does not say.

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
    ) -> "CentroidRouter":
        """Compute the centroids.

        Args:
            library: only pilots on which every expert was measured are used.
            experts: the pool.
            pool: ``"mean"`` as in the paper, ``"max"`` as in the code that was released with it.
            per_expert: one centroid an expert over all training sets, instead of one a set and expert.

        Raises:
            InputError: no pilot was measured with every expert.
        """
        names = tuple(expert.name for expert in experts)
        members: dict[tuple[str, int], list[FloatArray]] = {}
        for corpus in library.corpora:
            vectors, best = _assigned(corpus, experts)
            for vector, column in zip(vectors, best, strict=True):
                members.setdefault(("" if per_expert else corpus.name, int(column)), []).append(vector)
        if not members:
            raise InputError(f"no pilot was measured with each of the experts {', '.join(names)}; build the pack again")
        centroids = np.stack([np.mean(vectors, axis=0) for vectors in members.values()]).astype(np.float32)
        return cls(
            expert_names=names,
            strengths=np.array([expert.strength for expert in experts], dtype=np.float32),
            centroids=centroids / np.linalg.norm(centroids, axis=1, keepdims=True),
            owners=np.array([column for _, column in members], dtype=np.int64),
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
        weights = np.zeros((n_queries, 1 + n_experts), dtype=np.float32)
        weights[np.arange(n_queries), 1 + pooled.argmax(axis=1)] = 1.0
        return RoutingBatch(
            experts=self.expert_names,
            weights=weights,
            strengths=np.tile(self.strengths, (n_queries, 1)),
            lexical=np.zeros(n_queries, dtype=np.float32),
            gains=np.zeros((n_queries, n_experts), dtype=np.float32),
            held_back=np.zeros(n_queries, dtype=np.bool_),
            corpora=(),
            corpus_probabilities=np.zeros((n_queries, 0), dtype=np.float32),
            known=known,
        )


def _assigned(corpus: PilotCorpus, experts: Sequence[PoolMember]) -> tuple[FloatArray, IntArray]:
    """The pilots measured with every expert, and the column of the expert that did best on each."""
    names = [expert.name for expert in experts]
    if not all(name in corpus.gains for name in names):
        return corpus.vectors[:0], np.zeros(0, dtype=np.int64)
    at = [int(np.argmin(np.abs(np.array(STRENGTHS) - expert.strength))) for expert in experts]
    gains = np.stack([corpus.gains[name][:, column] for name, column in zip(names, at, strict=True)], axis=1)
    measured = np.isfinite(gains).all(axis=1)
    # Argmax takes the first of equals, so the experts of this corpus come first.
    order = np.array(sorted(range(len(names)), key=lambda column: _rank(names[column], corpus)))
    return corpus.vectors[measured], order[gains[measured][:, order].argmax(axis=1)]


def _rank(name: str, corpus: PilotCorpus) -> int:
    home = corpus.home_experts
    return home.index(name) if name in home else len(home)
