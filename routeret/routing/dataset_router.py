"""The router that asks which training set a query is nearest to, a baseline of RouterRetriever's paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import names_of, picked, strengths_of, unit
from routeret.routing.pilots import PilotLibrary
from routeret.routing.training_corpus import NO_OWNER, TrainingCorpus, owners_of
from routeret.types import FloatArray, IntArray, QueryBatch

Comparison = Literal["centroid", "samples"]

SAMPLES = 100
"""How many pilots stand for a training set, as in the paper."""


@dataclass(frozen=True, slots=True)
class DatasetRouter:
    """One expert a query: the one trained on the set whose sample queries are nearest.

    The DatasetRouter that arXiv 2409.02685 compares with (table 1). A query is compared with up to 100 queries of every
    training set, and goes to the most special expert of the nearest set. How well experts do is not looked at, and
    there is no abstention. Sets as near as each other: the first of the library.

    By default a set is its samples' centroid at unit length, as a group of pilots is for the centroids of Algorithm 1.
    The other choice, the mean of the similarities to the samples, is the same product with the centroid at its own
    length, which is the shorter the more a set's queries differ: a narrow set then takes queries that belong to a
    broad one.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        corpora: names of the training sets, those that an expert of the pool was trained on.
        centroids: float32, shape (n_corpora, dim); the mean of each set's samples, every sample of unit length.
        owners: int64, shape (n_corpora,); the expert's column.
    """

    expert_names: tuple[str, ...]
    strengths: FloatArray
    corpora: tuple[str, ...]
    centroids: FloatArray
    owners: IntArray

    @classmethod
    def fit(
        cls,
        library: PilotLibrary,
        experts: Sequence[PoolMember],
        *,
        compare: Comparison = "centroid",
        n_samples: int = SAMPLES,
        seed: int = 0,
    ) -> "DatasetRouter":
        """Sample the training sets.

        Args:
            library: pilots, measured or not; sets that no expert of the pool was trained on are left out.
            experts: the pool.
            compare: a query with the samples' ``"centroid"``, or with all ``"samples"``, of which the mean counts.
            n_samples: how many pilots of a set at most, at least 1; a set with fewer gives all of them.
            seed: which pilots.

        Raises:
            InputError: no set of the library was trained on by an expert of the pool, or there are no samples.
        """
        if n_samples < 1:
            raise InputError(f"n_samples is {n_samples}, expected at least 1")
        names = names_of(experts)
        owners = owners_of([TrainingCorpus.of(corpus) for corpus in library.corpora], names)
        owned = [corpus for corpus, owner in zip(library.corpora, owners, strict=True) if owner != NO_OWNER]
        if not owned:
            raise InputError(
                f"none of the experts {', '.join(names) or '(none)'} was trained on a set with pilots; "
                "build the pack again"
            )
        rng = np.random.default_rng(seed)
        means = np.stack([unit(_sample(corpus.vectors, n_samples, rng)).mean(axis=0) for corpus in owned])
        return cls(
            expert_names=names,
            strengths=strengths_of(experts),
            corpora=tuple(corpus.name for corpus in owned),
            centroids=(unit(means) if compare == "centroid" else means).astype(np.float32),
            owners=owners[owners != NO_OWNER],
        )

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: reported in the result; this router does not look at it.
        """
        # A query's own length scales all of its similarities alike.
        nearest = (queries.base @ self.centroids.T).argmax(axis=1)
        return picked(self.owners[nearest], expert_names=self.expert_names, strengths=self.strengths, known=known)


def _sample(vectors: FloatArray, n_samples: int, rng: np.random.Generator) -> FloatArray:
    return vectors if len(vectors) <= n_samples else vectors[rng.choice(len(vectors), n_samples, replace=False)]
