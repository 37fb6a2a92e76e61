"""Every router of the registry: fitted from the same inputs, deciding by the query alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_packs import ENCODER, QUERIES, library, linear_expert, pilot_corpus
from tiny_pilots import X, Y, Z, picks

from routeret.errors import InputError
from routeret.routing import (
    ROUTERS,
    DescriptionRouter,
    RandomRouter,
    Router,
    RouterInputs,
    fit_router,
)
from routeret.types import QueryBatch

POOL = [linear_expert(name, seed=seed) for seed, name in enumerate(["fruit", "ships", "multitask"])]
TEXTS = [*QUERIES["fruit"], *QUERIES["ships"], "a tax return", "", "ü", "which fruit is red"]
WITHOUT_PILOTS = {"description", "random", "multitask", "average", "uniform"}


def inputs(**changes):
    gains = {
        "fruit": {"fruit": 0.3, "ships": -0.2, "multitask": 0.1},
        "ships": {"fruit": -0.2, "ships": 0.4, "multitask": 0.1},
    }
    pilots = library(*(pilot_corpus(name, values, home=[name]) for name, values in gains.items()))
    return replace(RouterInputs(pilots, POOL, ENCODER, corpus="fruit"), **changes)


@pytest.fixture(scope="module")
def routers():
    return {name: fit_router(name, inputs()) for name in ROUTERS}


def decided(router, texts):
    texts = tuple(texts)
    base = np.zeros((0, ENCODER.space.dim), dtype=np.float32) if not texts else ENCODER.encode_queries(list(texts))
    known = np.linspace(0, 1, 3 * len(texts), dtype=np.float32).reshape(len(texts), 3)
    return router.route(QueryBatch(texts, base), known=known)


@pytest.mark.parametrize("name", ROUTERS)
def test_every_router_decides(routers, name):
    router = routers[name]
    assert isinstance(router, Router)
    assert router.expert_names == ("fruit", "ships", "multitask")
    routing = decided(router, TEXTS)
    assert routing.experts == router.expert_names
    assert routing.weights.shape == (len(TEXTS), 4)
    assert routing.strengths.shape == routing.gains.shape == routing.known.shape == (len(TEXTS), 3)
    np.testing.assert_allclose(routing.weights.sum(axis=1), 1, atol=1e-6)
    assert (routing.weights >= 0).all()
    # Whoever has a weight has a strength.
    assert (routing.strengths[routing.weights[:, 1:] > 0] > 0).all()
    np.testing.assert_array_equal(routing.lexical, 0)
    np.testing.assert_allclose(routing.known.ravel(), np.linspace(0, 1, 3 * len(TEXTS)), atol=1e-6)
    arrays = (routing.weights, routing.strengths, routing.lexical, routing.gains, routing.corpus_probabilities)
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert routing.explain(0).weights
    assert len(decided(router, [])) == 0


@pytest.mark.parametrize("name", ROUTERS)
@settings(deadline=None, max_examples=10)
@given(order=st.permutations(range(len(TEXTS))))
def test_a_decision_depends_on_the_query_alone(routers, name, order):
    together = decided(routers[name], TEXTS)
    shuffled = decided(routers[name], [TEXTS[query] for query in order])
    np.testing.assert_array_equal(shuffled.weights, together.weights[order])
    np.testing.assert_array_equal(shuffled.strengths, together.strengths[order])
    first = order[0]
    alone = decided(routers[name], [TEXTS[first]])
    np.testing.assert_array_equal(alone.weights[0], together.weights[first])
    np.testing.assert_array_equal(alone.strengths[0], together.strengths[first])


@pytest.mark.parametrize("name", ROUTERS)
def test_fitting_again_decides_the_same(routers, name):
    again, before = decided(fit_router(name, inputs()), TEXTS), decided(routers[name], TEXTS)
    np.testing.assert_array_equal(again.weights, before.weights)


@pytest.mark.parametrize("name", ROUTERS)
def test_what_a_router_needs(name):
    bare = inputs(library=library())
    if name in WITHOUT_PILOTS:
        assert len(decided(fit_router(name, bare), TEXTS)) == len(TEXTS)
    else:
        with pytest.raises(InputError, match="pilot"):
            fit_router(name, bare)
    with pytest.raises(InputError, match="none|0 experts"):
        fit_router(name, inputs(experts=[]))


def test_each_is_told_in_one_line_of_its_own():
    lines = [kind.summary for kind in ROUTERS.values()]
    assert len(set(lines)) == len(lines)
    assert all(line and "\n" not in line and len(line) < 110 for line in lines)


def test_an_unknown_router_and_a_pool_without_a_multitask_expert():
    with pytest.raises(InputError, match=r"unknown router 'magic'; there are centroid, centroid_max"):
        fit_router("magic", inputs())
    for name in ("multitask", "average"):
        with pytest.raises(InputError, match="found a weight for 'multitask', the pool holds fruit, ships"):
            fit_router(name, inputs(experts=POOL[:2]))


def test_constants_of_the_registry(routers):
    expected = {
        # (0.3 - 0.2) / 2, (0.4 - 0.2) / 2 and (0.1 + 0.1) / 2: ships and multitask tie, ships is the first of them.
        "best_single": ([0, 0, 1, 0], [0, 0.3, 0]),
        "known_index_expert": ([0, 1, 0, 0], [0.3, 0, 0]),
        "multitask": ([0, 0, 0, 1], [0, 0, 0.5]),
        "average": ([0.5, 0, 0, 0.5], [0, 0, 0.5]),
        "uniform": ([0.25] * 4, [0.5] * 3),
    }
    for name, (weights, strengths) in expected.items():
        routing = decided(routers[name], ["a", "b"])
        np.testing.assert_allclose(routing.weights, [weights] * 2, err_msg=name)
        np.testing.assert_allclose(routing.strengths, [strengths] * 2, err_msg=name)


def test_a_description_is_what_the_details_say_or_the_name_in_words():
    tax = replace(linear_expert("tax_law"), details={"description": "income and duty"})
    router = DescriptionRouter.fit([tax, linear_expert("sea-ships"), linear_expert("old_tax")], base=ENCODER)
    assert router.descriptions == ("income and duty", "sea ships", "old tax")
    texts = ["duty on income", "which ships are at sea", "an old tax"]
    assert decided(router, texts).weights.argmax(axis=1).tolist() == [1, 2, 3]
    slow = ENCODER.encode_queries(texts) @ ENCODER.encode_queries(list(router.descriptions)).T
    assert slow.argmax(axis=1).tolist() == [0, 1, 2]


def test_equal_descriptions_go_to_the_first_expert_and_length_does_not_count():
    names, strengths = ("short", "long", "same"), np.full(3, 0.5, dtype=np.float32)
    router = DescriptionRouter(names, strengths, names, np.stack([X, Y, Y]))
    assert picks(router, 0.1 * X, 90 * Y + X, Z) == ["short", "long", "short"]


def test_lots_are_even_and_hang_on_seed_and_text():
    texts = [f"query {number}" for number in range(3000)]
    drawn = decided(RandomRouter.fit(POOL), texts).weights.argmax(axis=1)
    # A quarter of 3,000 is 750; six standard deviations are 6 * sqrt(3000 * 3 / 16), about 142.
    assert (np.abs(np.bincount(drawn, minlength=4) - 750) < 142).all()
    other = decided(RandomRouter.fit(POOL, seed=1), texts).weights.argmax(axis=1)
    # Two lots agree by chance in a quarter of the queries.
    assert abs((drawn == other).sum() - 750) < 142
    np.testing.assert_array_equal(decided(RandomRouter.fit(POOL), texts[::-1]).weights.argmax(axis=1), drawn[::-1])
