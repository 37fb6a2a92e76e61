"""Routers that decide the same for every query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import THE_BASE, best_action, gain_table, names_of, nothing_measured, require_experts
from routeret.routing.pilots import PilotLibrary
from routeret.types import BASE, FloatArray, QueryBatch


@dataclass(frozen=True, slots=True)
class ConstantRouter:
    """The same decision for every query: what routing by query has to beat.

    Attributes:
        expert_names: the pool, in the order of its columns.
        weights: by expert and ``"base"``; they sum to 1.
        strengths: by expert; one that is not named has strength 0.
    """

    expert_names: tuple[str, ...]
    weights: Mapping[str, float]
    strengths: Mapping[str, float]

    @classmethod
    def mixed(cls, experts: Sequence[PoolMember], *, weights: Mapping[str, float]) -> "ConstantRouter":
        """A mixture of base and experts, every expert at its own strength.

        Args:
            experts: the pool, at least one.
            weights: by expert and ``"base"``; they sum to 1.

        Raises:
            InputError: there is no expert, or one has a weight and is not in the pool.
        """
        require_experts(experts)
        names = names_of(experts)
        if unknown := sorted(set(weights) - {BASE, *names}):
            raise InputError(f"found a weight for {unknown[0]!r}, the pool holds {', '.join(names)}; add the expert")
        return cls(names, weights, {expert.name: expert.strength for expert in experts if weights.get(expert.name)})

    @classmethod
    def uniform(cls, experts: Sequence[PoolMember]) -> "ConstantRouter":
        """The plain mean of the base and all experts.

        Raises:
            InputError: there is no expert.
        """
        names = (BASE, *names_of(experts))
        return cls.mixed(experts, weights=dict.fromkeys(names, 1 / len(names)))

    @classmethod
    def best_single(cls, library: PilotLibrary, experts: Sequence[PoolMember]) -> "ConstantRouter":
        """The one expert and strength with the highest mean gain over all training corpora, or the base if none gains.

        Every corpus counts the same; an expert has gain 0 where it was not measured.

        Raises:
            InputError: no expert was measured on any pilot.
        """
        return cls._alone(experts, gain_table(library, experts).mean(axis=0))

    @classmethod
    def best_on(cls, library: PilotLibrary, experts: Sequence[PoolMember], *, corpus: str) -> "ConstantRouter":
        """The one expert and strength with the highest mean gain on a corpus's own pilots, or the base if none gains.

        Raises:
            InputError: the corpus has no pilots, or no expert was measured on them.
        """
        own = [one for one in library.corpora if one.name == corpus]
        if not own:
            raise nothing_measured(experts, how="any")
        return cls._alone(experts, gain_table(replace(library, corpora=tuple(own)), experts)[0])

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: any.
            known: reported in the result; this router does not look at it.
        """
        constant = RoutingBatch.constant(
            self.expert_names, len(queries), weights=self.weights, strengths=self.strengths
        )
        return replace(constant, known=known)

    @classmethod
    def _alone(cls, experts: Sequence[PoolMember], gains: FloatArray) -> "ConstantRouter":
        names = names_of(experts)
        column, strength = best_action(gains)
        if column == THE_BASE:
            return cls(names, {BASE: 1.0}, {})
        return cls(names, {names[column]: 1.0}, {names[column]: strength})
