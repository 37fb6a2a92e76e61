"""The query vectors that a routing makes in the base's space."""

import numpy as np

from routeret.experts.together import Asked, encode_together
from routeret.fusion import NEGLIGIBLE, mix_queries
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
    weights = np.where(acts, routing.weights[:, 1:], 0)
    # What does not act counts as the base, and where towers have it all, the base stands for the empty space.
    acting_weight = weights.sum(axis=1)
    rest = np.maximum(1 - acting_weight - shares(routing, pool).sum(axis=1), 0)
    of_base = np.where(rest + acting_weight > NEGLIGIBLE, rest, 1)
    acting = np.flatnonzero(acts.any(axis=0))
    queries_of = [np.flatnonzero(acts[:, column]) for column in acting]
    asked = [
        Asked(
            pool.adapter_by_name[routing.experts[column]],
            QueryBatch(tuple(batch.texts[query] for query in queries.tolist()), batch.base[queries]),
            routing.strengths[queries, column],
        )
        for column, queries in zip(acting.tolist(), queries_of, strict=True)
    ]
    vectors = np.repeat(batch.base[None], 1 + len(asked), axis=0)
    for place, (queries, written) in enumerate(zip(queries_of, encode_together(asked), strict=True)):
        vectors[1 + place, queries] = written
    return mix_queries(list(vectors), weights=np.concatenate([of_base[:, None], weights[:, acting]], axis=1))
