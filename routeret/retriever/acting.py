"""Which experts act on which queries, and how: in the base's space, or in one of their own."""

import numpy as np

from routeret.fusion import NEGLIGIBLE
from routeret.retriever.pool import Pool
from routeret.routing.decisions import RoutingBatch
from routeret.types import BoolArray, FloatArray


def adapting(routing: RoutingBatch, pool: Pool) -> BoolArray:
    """Which expert changes which query in the base's space, shape (n_queries, n_experts)."""
    acts = _acting(routing)
    return acts & ~_is_tower(routing, pool) if pool.tower_by_name else acts


def shares(routing: RoutingBatch, pool: Pool) -> FloatArray:
    """What the towers count in every query's ranking, shape (n_queries, n_experts); 0 for other experts."""
    if not pool.tower_by_name:
        return np.zeros(routing.strengths.shape, dtype=np.float32)
    acts = _acting(routing) & _is_tower(routing, pool)
    found: FloatArray = np.where(acts, routing.weights[:, 1:] * np.minimum(routing.strengths, 1), 0)
    return found.astype(np.float32)


def _acting(routing: RoutingBatch) -> BoolArray:
    """Which expert changes which query, shape (n_queries, n_experts)."""
    acts: BoolArray = (routing.weights[:, 1:] > NEGLIGIBLE) & (routing.strengths > 0)
    return acts


def _is_tower(routing: RoutingBatch, pool: Pool) -> BoolArray:
    """Which experts of a routing have documents of their own, shape (n_experts,)."""
    towers = pool.tower_by_name
    return np.array([name in towers for name in routing.experts], dtype=np.bool_)
