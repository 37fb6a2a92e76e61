"""Passes of encoders that pay for themselves, and those that do not."""

from collections.abc import Set
from dataclasses import replace

import numpy as np

from routeret.routing.decisions import RoutingBatch

LEAST_PULL = 0.02
"""From this weight times strength on, a pass of an encoder is worth making. A weaker expert moves a query by less than
a fiftieth of the way to its own vector."""


def without_idle_passes(routing: RoutingBatch, costly: Set[str]) -> RoutingBatch:
    """The decisions without the experts whose part does not pay for a pass of an encoder; the base gets their weight.

    Args:
        routing: decisions.
        costly: names of the experts that need a pass of their own.
    """
    if costly.isdisjoint(routing.experts):
        return routing
    needs_pass = np.array([name in costly for name in routing.experts], dtype=np.bool_)
    weights = routing.weights.copy()
    pulls = weights[:, 1:] * np.minimum(routing.strengths, 1)
    idle = needs_pass & (weights[:, 1:] > 0) & (pulls < LEAST_PULL)
    weights[:, 0] += np.where(idle, weights[:, 1:], 0).sum(axis=1)
    weights[:, 1:][idle] = 0
    return replace(routing, weights=weights)
