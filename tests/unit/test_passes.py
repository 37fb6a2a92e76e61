"""Which experts are worth a pass of an encoder."""

import numpy as np
import pytest

from routeret.retriever.passes import LEAST_PULL, without_idle_passes
from routeret.routing import RoutingBatch


def routing(weights, strengths):
    constant = RoutingBatch.constant(("linear", "lora"), 1, weights=weights, strengths=strengths)
    return without_idle_passes(constant, {"lora"})


@pytest.mark.parametrize(
    ("weight", "strength", "left"),
    [
        (0.1, 0.1, 0.0),  # pulls by .01
        (0.1, 0.3, 0.1),
        (1.0, LEAST_PULL, 1.0),
        (0.01, 3.0, 0.0),  # no expert pulls further than to its own vector
    ],
)
def test_an_expert_that_hardly_pulls_is_left_to_the_base(weight, strength, left):
    found = routing({"base": 1 - weight, "lora": weight}, {"lora": strength})
    np.testing.assert_allclose(found.weights, [[1 - left, 0, left]], atol=1e-6)


def test_a_product_costs_nothing_and_is_kept():
    found = routing({"base": 0.99, "linear": 0.01}, {"linear": 0.1})
    np.testing.assert_allclose(found.weights, [[0.99, 0.01, 0]], atol=1e-6)


def test_without_costly_experts_nothing_is_looked_at():
    constant = RoutingBatch.constant(("linear",), 2, weights={"base": 1.0}, strengths={})
    assert without_idle_passes(constant, {"lora"}) is constant
