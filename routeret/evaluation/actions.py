"""All that a router may do with a query if it does one thing: one expert or the base, a strength, a weight of BM25."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from routeret.retriever.pool import Pool
from routeret.routing import STRENGTHS
from routeret.routing.decisions import RoutingBatch
from routeret.types import BASE


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do with a query.

    Attributes:
        expert: who writes its vector, an expert's name or ``"base"``.
        strength: of the expert; 0 for the base.
        lexical: weight of the lexical score; 0 leaves it out.
    """

    expert: str
    strength: float = 0.0
    lexical: float = 0.0


def dense_actions(pool: Pool) -> tuple[Action, ...]:
    """The base, then every expert at its own strength and at every one that routers choose from, without BM25."""
    of_experts = [
        Action(expert.name, strength)
        for expert in pool.experts
        for strength in sorted({*STRENGTHS, float(expert.strength)})
    ]
    return (Action(BASE), *of_experts)


def with_lexical(actions: Sequence[Action], weights: Sequence[float]) -> tuple[Action, ...]:
    """Every action at every weight of the lexical score, those of one action beside each other."""
    return tuple(replace(action, lexical=weight) for action in actions for weight in weights)


def routing_of(actions: Sequence[Action], experts: Sequence[str]) -> RoutingBatch:
    """The decisions that do one thing with each query.

    Args:
        actions: of every query.
        experts: the names in the pool, in its order.
    """
    batch = RoutingBatch.constant(experts, len(actions), weights={BASE: 1.0}, strengths={})
    column_by_name = {name: column for column, name in enumerate((BASE, *experts))}
    weights, strengths = np.zeros_like(batch.weights), np.zeros_like(batch.strengths)
    for line, action in enumerate(actions):
        column = column_by_name[action.expert]
        weights[line, column] = 1.0
        if column:
            strengths[line, column - 1] = action.strength
    lexical = np.array([action.lexical for action in actions], dtype=np.float32)
    return replace(batch, weights=weights, strengths=strengths, lexical=lexical)
