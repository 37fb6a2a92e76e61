"""The router that compares a query with words about every expert; it needs no pilots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from routeret.protocols import Encoder, PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import cosines, names_of, picked, require_experts, strengths_of, unit
from routeret.types import FloatArray, QueryBatch

DESCRIPTION = "description"
"""Where the details of an expert say in words what it is for."""


@runtime_checkable
class _Detailed(Protocol):
    @property
    def details(self) -> Mapping[str, Any]: ...


def described(description: str) -> dict[str, str]:
    """The details that keep a description; none where it is empty."""
    return {DESCRIPTION: description} if description else {}


def description_of(expert: PoolMember) -> str:
    """What an expert is for: ``details["description"]``, or else its name in words, ``tax_law`` as "tax law"."""
    details = expert.details if isinstance(expert, _Detailed) else {}
    return str(details.get(DESCRIPTION) or expert.name.replace("_", " ").replace("-", " "))


@dataclass(frozen=True, slots=True)
class DescriptionRouter:
    """One expert a query: the one whose description the base finds most similar.

    The route by a task's description of GLIDER (arXiv 2410.07172) alone, without its learned part: a new expert can be
    routed to before anything was measured with it. There is no abstention. Equally similar experts: the first of the
    pool.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        descriptions: of the experts.
        vectors: float32, shape (n_experts, dim), unit length; the descriptions as the base reads queries.
    """

    expert_names: tuple[str, ...]
    strengths: FloatArray
    descriptions: tuple[str, ...]
    vectors: FloatArray

    @classmethod
    def fit(cls, experts: Sequence[PoolMember], *, base: Encoder) -> "DescriptionRouter":
        """Embed the descriptions.

        Args:
            experts: the pool, at least one; :func:`description_of` tells how each is described.
            base: reads the descriptions, and the queries to come.

        Raises:
            InputError: there is no expert.
        """
        require_experts(experts)
        descriptions = tuple(description_of(expert) for expert in experts)
        vectors = unit(base.encode_queries(descriptions))
        return cls(names_of(experts), strengths_of(experts), descriptions, vectors)

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: reported in the result; this router does not look at it.
        """
        nearest = cosines(queries.base, self.vectors).argmax(axis=1)
        return picked(nearest, expert_names=self.expert_names, strengths=self.strengths, known=known)
