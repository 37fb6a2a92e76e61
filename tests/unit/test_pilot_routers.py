"""Routers that learn from what experts gained on pilots, followed by hand in three directions."""

import numpy as np
import pytest
from tiny_packs import library, linear_expert
from tiny_pilots import X, Y, Z, actions, corpus, picks, routed

from routeret.errors import InputError
from routeret.routing import CentroidRouter, ConstantRouter, NearestPilotRouter, Router, TwoStepRouter

NURSE, CODER = linear_expert("nurse", strength=1.0), linear_expert("coder", strength=0.7)
POOL = [NURSE, CODER]
FROM_GAINS = [NearestPilotRouter.fit, TwoStepRouter.fit, ConstantRouter.best_single]


def two_sets():
    care = corpus("care", [X, X], nurse=[0.2, 0.2], coder=[-0.1, -0.1])
    code = corpus("code", [Y, Y], nurse=[0.0, 0.0], coder=[0.1, 0.1])
    return library(care, code)


def test_the_nearest_pilot_tells_the_expert():
    router = NearestPilotRouter.fit(two_sets(), POOL, n_nearest=1)
    assert isinstance(router, Router)
    assert actions(router, X, Y, X + 0.9 * Y) == [("nurse", 1.0), ("coder", 0.7), ("nurse", 1.0)]
    # As near to all as an empty query: the first pilot of the library is asked.
    assert picks(router, Z, 0 * X) == ["nurse", "nurse"]


def test_the_mean_over_the_nearest_pilots_counts_and_is_the_predicted_gain():
    care = corpus("care", [X, X, Y], nurse=[0.3, -0.1, -0.9], coder=[0.2, 0.2, -0.9])
    router = NearestPilotRouter.fit(library(care), POOL, n_nearest=2)
    assert picks(router, X) == ["coder"]
    np.testing.assert_allclose(routed(router, X).gains, [[0.1, 0.2]], atol=1e-6)
    # All three pilots: (0.3 - 0.1 - 0.9) / 3 and (0.2 + 0.2 - 0.9) / 3 are losses.
    everyone = NearestPilotRouter.fit(library(care), POOL, n_nearest=50)
    assert picks(everyone, X) == ["base"]
    np.testing.assert_allclose(routed(everyone, X).gains, [[-0.7 / 3, -0.5 / 3]], atol=1e-6)


def test_ten_pilots_are_asked_where_nothing_else_is_said():
    care = corpus("care", [X] * 10 + [Y] * 30, nurse=[0.1] * 10 + [-0.9] * 30)
    router = NearestPilotRouter.fit(library(care), [NURSE])
    np.testing.assert_allclose(routed(router, X).gains, [[0.1]], atol=1e-6)


def test_gains_that_cancel_out_leave_the_query_to_the_base():
    care = corpus("care", [X] * 10, nurse=[0.1, -0.1] * 5)
    assert picks(NearestPilotRouter.fit(library(care), [NURSE]), X, Y) == ["base", "base"]


def test_pilots_are_near_by_their_direction_alone():
    care = corpus("care", [0.01 * X, 50 * Y, 0 * X], nurse=[0.1, -0.1, -0.1], coder=[-0.1, 0.1, -0.1])
    router = NearestPilotRouter.fit(library(care), POOL, n_nearest=1)
    assert picks(router, X + 0.5 * Y, 100 * X + 200 * Y) == ["nurse", "coder"]


def test_an_expert_counts_at_its_own_strength_on_the_nearest_pilots():
    # The strengths tried are 0.3, 0.5, 0.7 and 1; the nurse's own is 1, the coder's 0.7.
    care = corpus("care", [X], nurse=[[0.9, 0.9, 0.9, 0.1]], coder=[[0.0, 0.0, 0.2, 0.9]])
    router = NearestPilotRouter.fit(library(care), POOL)
    assert actions(router, X) == [("coder", 0.7)]
    np.testing.assert_allclose(router.gains, [[0.1, 0.2]])


def test_pilots_that_an_expert_was_not_measured_on_are_not_asked():
    nan = float("nan")
    care = corpus("care", [X, 0.9 * X + 0.1 * Y], nurse=[-0.5, 0.1], coder=[nan, 0.0])
    foreign = corpus("foreign", [X], nurse=[-0.9])
    assert picks(NearestPilotRouter.fit(library(foreign, care), POOL, n_nearest=1), X) == ["nurse"]


def test_two_steps_take_the_best_expert_and_strength_of_the_likeliest_corpus():
    care = corpus("care", [X] * 3, nurse=[[0.0, 0.1, 0.3, 0.2]] * 3, coder=[[0.2, 0.1, 0.0, -0.1]] * 3)
    code = corpus("code", [Y] * 3, nurse=[[-0.1] * 4] * 3, coder=[[0.05, 0.2, 0.1, 0.0]] * 3)
    law = corpus("law", [Z] * 3, nurse=[[0.0, -0.1, -0.2, -0.3]] * 3, coder=[[-0.1] * 4] * 3)
    router = TwoStepRouter.fit(library(care, code, law), POOL)
    assert isinstance(router, Router)
    assert actions(router, X, Y, Z, 0.8 * X + 0.1 * Y) == [("nurse", 0.7), ("coder", 0.5), "base", ("nurse", 0.7)]
    routing = routed(router, X, Z)
    np.testing.assert_allclose(routing.gains, [[0.3, 0.2], [0.0, -0.1]], atol=1e-6)
    assert routing.corpora == ("care", "code", "law")
    assert routing.corpus_probabilities.argmax(axis=1).tolist() == [0, 2]
    np.testing.assert_allclose(routing.corpus_probabilities.sum(axis=1), 1, atol=1e-6)
    assert (routing.strengths.dtype, routing.weights.dtype) == (np.float32, np.float32)


def test_two_steps_with_one_corpus_send_everything_to_its_expert():
    care = corpus("care", [X], nurse=[-0.1], coder=[0.1])
    assert actions(TwoStepRouter.fit(library(care), POOL), X, -X, 0 * X) == [("coder", 0.3)] * 3


def test_two_steps_leave_an_expert_out_where_it_was_not_measured():
    care = corpus("care", [X, X], nurse=[-0.1, -0.1])
    code = corpus("code", [Y, Y], coder=[0.1, 0.1])
    assert picks(TwoStepRouter.fit(library(care, code), POOL), X, Y) == ["base", "coder"]


def test_the_best_single_expert_is_chosen_over_corpora_that_count_alike():
    # At strength 1 the nurse gains (0.6 - 0.2) / 2 = 0.2 and the coder (0.0 + 0.3) / 2 = 0.15; at 0.7 the coder gains
    # (0.0 + 0.5) / 2 = 0.25. Over the ten pilots together the nurse would gain (9 * 0.6 - 0.2) / 10 = 0.52.
    care = corpus("care", [X] * 9, nurse=[[0.0, 0.0, 0.0, 0.6]] * 9, coder=[[0.0] * 4] * 9)
    code = corpus("code", [Y], nurse=[[0.0, 0.0, 0.0, -0.2]], coder=[[0.0, 0.0, 0.5, 0.3]])
    router = ConstantRouter.best_single(library(care, code), POOL)
    assert isinstance(router, Router)
    assert actions(router, X, Y, Z) == [("coder", 0.7)] * 3
    # What was not measured is no gain: the coder keeps 0.25, a half of 0.5.
    without = corpus("care", [X] * 9, nurse=[[0.0, 0.0, 0.0, 0.9]] * 9)
    assert actions(ConstantRouter.best_single(library(without, code), POOL), X) == [("nurse", 1.0)]


def test_the_best_on_a_corpus_is_that_of_its_own_pilots():
    care = corpus("care", [X], nurse=[[0.1, 0.2, 0.2, 0.0]], coder=[[0.2, 0.1, 0.0, 0.0]])
    code = corpus("code", [Y], nurse=[-0.1], coder=[0.0])
    both = library(care, code)
    # Equal gains: the first of the pool at its lowest strength.
    assert actions(ConstantRouter.best_on(both, POOL, corpus="care"), X, Y) == [("nurse", 0.5)] * 2
    assert actions(ConstantRouter.best_on(both, POOL[::-1], corpus="care"), X) == [("coder", 0.3)]
    assert actions(ConstantRouter.best_on(both, POOL, corpus="code"), X) == ["base"]
    with pytest.raises(InputError, match="no pilot was measured with any of the experts nurse, coder"):
        ConstantRouter.best_on(both, POOL, corpus="law")


def test_a_mixture_weighs_every_query_alike():
    router = ConstantRouter.mixed(POOL, weights={"base": 0.25, "coder": 0.75})
    routing = routed(router, X, Y)
    np.testing.assert_allclose(routing.weights, [[0.25, 0, 0.75]] * 2)
    np.testing.assert_allclose(routing.strengths, [[0, 0.7]] * 2)
    np.testing.assert_allclose(routed(ConstantRouter.uniform(POOL), X).weights, [[1 / 3] * 3])
    with pytest.raises(InputError, match="found a weight for 'lawyer', the pool holds nurse, coder"):
        ConstantRouter.mixed(POOL, weights={"lawyer": 1.0})


@pytest.mark.parametrize("fit", FROM_GAINS)
def test_one_pilot_is_enough_and_equal_gains_go_to_the_first_expert(fit):
    care = library(corpus("care", [X], nurse=[0.1], coder=[0.1]))
    assert picks(fit(care, POOL), X, Y, 0 * X) == ["nurse"] * 3
    assert picks(fit(care, POOL[::-1]), X) == ["coder"]


@pytest.mark.parametrize("fit", FROM_GAINS)
def test_identical_pilots_with_different_gains_count_by_their_mean(fit):
    care = library(corpus("care", [X] * 4, nurse=[0.4, 0.4, -0.6, -0.6], coder=[0.1, -0.1, 0.1, 0.1]))
    assert picks(fit(care, POOL), X, Y) == ["coder"] * 2


@pytest.mark.parametrize("fit", FROM_GAINS)
def test_the_base_gets_what_no_expert_gains_on(fit):
    care = library(corpus("care", [X, Y], nurse=[0.0, 0.0], coder=[-0.1, -0.1]))
    assert picks(fit(care, POOL), X, Y) == ["base"] * 2


@pytest.mark.parametrize("fit", [*FROM_GAINS, CentroidRouter.fit])
def test_nothing_measured_is_an_error(fit):
    with pytest.raises(InputError, match="no pilot was measured with .* of the experts nurse"):
        fit(library(corpus("care", [X])), [NURSE])
    with pytest.raises(InputError, match=r"the experts \(none\)"):
        fit(two_sets(), [])


def test_at_least_one_pilot_and_one_centroid():
    with pytest.raises(InputError, match="n_nearest is 0, expected at least 1"):
        NearestPilotRouter.fit(two_sets(), POOL, n_nearest=0)
    with pytest.raises(InputError, match="n_centroids is 0, expected at least 1"):
        CentroidRouter.fit(two_sets(), POOL, n_centroids=0)


def test_k_means_gives_a_group_several_centroids():
    care = corpus("care", [X, X, Z, Z, Z], nurse=[0.1] * 5, coder=[0.0] * 5)
    code = corpus("code", [0.8 * X + 0.6 * Y], nurse=[0.0], coder=[0.1])
    one = CentroidRouter.fit(library(care, code), POOL)
    np.testing.assert_allclose(one.centroids, [[2 / 13**0.5, 0, 3 / 13**0.5], [0.8, 0.6, 0]], atol=1e-6)
    # Three centroids were asked for, two different pilots are there.
    several = CentroidRouter.fit(library(care, code), POOL, n_centroids=3, pool="max")
    assert several.owners.tolist() == [0, 0, 1]
    assert sorted(several.centroids[:2].round(5).tolist()) == [[0, 0, 1], [1, 0, 0]]
    assert (several.centroids.dtype, several.owners.dtype) == (np.float32, np.int64)
    assert (picks(one, X), picks(several, X)) == (["coder"], ["nurse"])


def test_more_pilots_than_centroids_are_clustered_alike_every_time():
    vectors = np.random.default_rng(3).normal(size=(40, 3))
    pilots = library(corpus("care", vectors, nurse=[0.1] * 40))
    router = CentroidRouter.fit(pilots, [NURSE], n_centroids=4, seed=1)
    assert router.centroids.shape == (4, 3)
    np.testing.assert_allclose(np.linalg.norm(router.centroids, axis=1), 1, atol=1e-6)
    again = CentroidRouter.fit(pilots, [NURSE], n_centroids=4, seed=1)
    np.testing.assert_allclose(again.centroids, router.centroids, atol=1e-6)


def test_pilots_that_point_away_from_each_other_have_a_centroid_that_is_like_nothing():
    care = corpus("care", [X, -X], nurse=[0.1, 0.1], coder=[0.0, 0.0])
    code = corpus("code", [Y], nurse=[0.0], coder=[0.1])
    router = CentroidRouter.fit(library(care, code), POOL)
    np.testing.assert_array_equal(router.centroids, [[0, 0, 0], [0, 1, 0]])
    assert picks(router, Y, -Y) == ["coder", "nurse"]
