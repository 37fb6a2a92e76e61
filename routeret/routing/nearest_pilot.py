"""The router that asks what the experts gained on the pilots nearest to a query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import (
    THE_BASE,
    cosines,
    measured_on_pilots,
    names_of,
    nothing_measured,
    picked,
    strengths_of,
    unit,
)
from routeret.routing.pilots import PilotLibrary
from routeret.types import FloatArray, QueryBatch

NEAREST = 10
"""How many pilots are asked."""


@dataclass(frozen=True, slots=True)
class NearestPilotRouter:
    """One expert a query: the one that gains most on the mean of the nearest pilots, or the base if none gains.

    Pilots of all training sets count alike, by the cosine of their base embedding; of equally near ones the first of
    the library are asked. Of experts that gain the same the first of the pool is picked.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        vectors: float32, shape (n_pilots, dim), unit length; the pilots that every expert was measured on.
        gains: float32, shape (n_pilots, n_experts); at each expert's own strength.
        n_nearest: how many pilots are asked.
    """

    expert_names: tuple[str, ...]
    strengths: FloatArray
    vectors: FloatArray
    gains: FloatArray
    n_nearest: int = NEAREST

    @classmethod
    def fit(
        cls, library: PilotLibrary, experts: Sequence[PoolMember], *, n_nearest: int = NEAREST
    ) -> "NearestPilotRouter":
        """Keep the pilots.

        Args:
            library: only pilots on which every expert was measured are used.
            experts: the pool.
            n_nearest: how many pilots are asked, at least 1; where there are fewer, all of them.

        Raises:
            InputError: no pilot was measured with every expert, or none is to be asked.
        """
        if n_nearest < 1:
            raise InputError(f"n_nearest is {n_nearest}, expected at least 1")
        found = [measured_on_pilots(corpus, experts) for corpus in library.corpora]
        found = [(vectors, gains) for vectors, gains in found if len(vectors)]
        if not found:
            raise nothing_measured(experts)
        vectors, gains = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return cls(names_of(experts), strengths_of(experts), unit(vectors), gains, n_nearest)

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: reported in the result; this router does not look at it.
        """
        order = np.argsort(-cosines(queries.base, self.vectors), axis=1, kind="stable")
        # In double precision gains that cancel out are exactly 0.
        gains = self.gains[order[:, : self.n_nearest]].mean(axis=1, dtype=np.float64)
        columns = np.where(gains.max(axis=1) > 0, gains.argmax(axis=1), THE_BASE)
        decided = picked(columns, expert_names=self.expert_names, strengths=self.strengths, known=known)
        return replace(decided, gains=gains.astype(np.float32))
