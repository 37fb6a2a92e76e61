"""The query vectors that a routing makes in the base's space."""

import numpy as np

from routeret.experts.together import encode_together
from routeret.fusion import NEGLIGIBLE, mix_lines
from routeret.retriever.acting import adapting, shares
from routeret.retriever.pool import Pool
from routeret.routing.decisions import RoutingBatch
from routeret.types import FloatArray, QueryBatch


def mixed_queries(batch: QueryBatch, routing: RoutingBatch, pool: Pool) -> FloatArray:
    """The weighted sums of what base and experts write, float32, shape (n_queries, dim).

    Args:
        batch: the queries.
        routing: for these queries; a query all on the base keeps its base vector.
        pool: holds the routing's experts.
    """
    acts = adapting(routing, pool)
    if not acts.any():
        return batch.base
    of_experts = np.where(acts, routing.weights[:, 1:], 0)
    acting_weight = of_experts.sum(axis=1, keepdims=True)
    # What does not act counts as the base.
    of_base = np.maximum(1 - acting_weight, 0)
    if pool.tower_by_name:
        of_base = np.maximum(of_base - shares(routing, pool).sum(axis=1, keepdims=True), 0)
        # Where towers have it all, the base stands for the empty space.
        of_base[of_base + acting_weight <= NEGLIGIBLE] = 1
    weights = np.concatenate([of_base, of_experts], axis=1)
    strengths = np.concatenate([np.zeros_like(of_base), routing.strengths], axis=1)
    queries, columns = np.nonzero(weights)
    lines_by_column: dict[int, list[int]] = {}
    for line, column in enumerate(columns.tolist()):
        lines_by_column.setdefault(column, []).append(line)
    lines_by_column.pop(0, None)
    asked = [(pool.adapter_by_name[routing.experts[column - 1]], lines) for column, lines in lines_by_column.items()]
    return mix_lines(
        encode_together(batch, asked, queries=queries, strengths=strengths[queries, columns]),
        weights=weights[queries, columns],
        ends=np.bincount(queries).cumsum().tolist(),
    )
