"""The router that draws lots."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import THE_BASE, names_of, picked, require_experts, strengths_of
from routeret.types import FloatArray, QueryBatch


@dataclass(frozen=True, slots=True)
class RandomRouter:
    """One expert or the base a query, each as likely as the others.

    The lot is drawn from the seed and the query's text, so a query gets the same one in any order and company.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        seed: another one draws other lots.
    """

    expert_names: tuple[str, ...]
    strengths: FloatArray
    seed: int = 0

    @classmethod
    def fit(cls, experts: Sequence[PoolMember], *, seed: int = 0) -> "RandomRouter":
        """Keep the names.

        Args:
            experts: the pool, at least one.
            seed: another one draws other lots.

        Raises:
            InputError: there is no expert.
        """
        require_experts(experts)
        return cls(names_of(experts), strengths_of(experts), seed)

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: of which only the texts count.
            known: reported in the result; this router does not look at it.
        """
        lots = np.array([self._lot(text) for text in queries.texts], dtype=np.int64)
        return picked(lots + THE_BASE, expert_names=self.expert_names, strengths=self.strengths, known=known)

    def _lot(self, text: str) -> int:
        """A number from 0 to the number of experts."""
        digest = hashlib.blake2b(f"{self.seed} {text}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % (1 + len(self.expert_names))
