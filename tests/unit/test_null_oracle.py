"""The query oracle over random maps, beside which a query oracle over experts has to be seen."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_packs import DIM, ENCODER, linear_expert

from routeret.evaluation.null import null_pool, with_null_oracle
from routeret.measures import NDCG
from routeret.retriever.pool import Pool
from routeret.types import QueryBatch

EXPERTS = (linear_expert("fruit", seed=1, strength=0.7), linear_expert("ships", seed=2))
POOL = Pool(ENCODER, EXPERTS, lexical_weight=0.3)


class Other:
    """An expert that is no linear map."""

    name = "other"


def test_a_random_map_changes_every_query_as_much_as_the_expert_and_elsewhere():
    queries = np.random.default_rng(0).normal(size=(20, DIM)).astype(np.float32)
    for expert, null in zip(EXPERTS, null_pool(POOL).experts, strict=True):
        assert (null.name, null.strength) == (expert.name, expert.strength)
        learned, drawn = queries @ expert.weight.T, queries @ null.weight.T
        lengths = np.linalg.norm(learned, axis=1)
        np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), lengths, rtol=2e-3)
        cosines = (learned * drawn).sum(axis=1) / lengths**2
        # Of unit vectors drawn in 32 dimensions the mean over 20 is above 0.5 about never.
        assert abs(cosines.mean()) < 0.5


def test_maps_are_drawn_from_the_seed_and_one_for_each_expert():
    twins = Pool(ENCODER, (EXPERTS[0], replace(EXPERTS[0], name="twin")))
    one, two = (expert.weight for expert in null_pool(twins, seed=5).experts)
    again, _ = (expert.weight for expert in null_pool(twins, seed=5).experts)
    other, _ = (expert.weight for expert in null_pool(twins, seed=6).experts)
    np.testing.assert_array_equal(again, one)
    assert np.abs(two - one).max() > 0.1
    assert np.abs(other - one).max() > 0.1


def test_the_null_keeps_the_base_and_leaves_the_pool_as_it_was():
    null = null_pool(POOL)
    assert (null.base, null.router, null.lexical_weight) == (ENCODER, None, 0.3)
    np.testing.assert_array_equal(POOL.experts[0].weight, linear_expert("fruit", seed=1).weight)
    base = ENCODER.encode_queries(["a red apple"])
    nothing = np.zeros(1, dtype=np.float32)
    np.testing.assert_array_equal(null.experts[0].encode_queries(QueryBatch(("",), base), strengths=nothing), base)


@pytest.mark.parametrize("experts", [(), (Other(),), (*EXPERTS, Other())])
def test_a_pool_with_another_kind_of_expert_has_no_null(experts):
    assert null_pool(Pool(ENCODER, experts)) is None


def test_the_oracle_takes_the_best_of_base_and_maps_for_every_query():
    def scores(*values):
        return {f"q{number}": {NDCG: value} for number, value in enumerate(values)}

    measured = {
        "base": scores(0.5, 0.2, 0.3),
        "expert:fruit": scores(1.0, 1.0, 1.0),
        "null:fruit": scores(0.4, 0.6, 0.1),
        "null:ships": scores(0.1, 0.7, 0.3),
        "known_index": None,
    }
    found = with_null_oracle(measured)
    assert found == {
        "base": measured["base"],
        "expert:fruit": measured["expert:fruit"],
        "known_index": None,
        "query_oracle_null": scores(0.5, 0.7, 0.3),
    }
    without = {"base": measured["base"], "query_oracle_null": None}
    assert with_null_oracle(without) == without
