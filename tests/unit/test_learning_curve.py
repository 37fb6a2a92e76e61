"""What more labelled queries may add: a curve through a few noisy means, against plain numerical integration."""

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from routeret.errors import InputError
from routeret.training import learning_curve as module
from routeret.training.learning_curve import learning_curve

SIZES = [20, 40, 60, 80]


def gains_on(curve, noise=0.1, n=400, seed=0):
    """Per-query gains whose means at the sizes lie on a curve exactly."""
    drawn = np.random.default_rng(seed).normal(scale=noise, size=(n, 1))
    return (np.array([curve(size) for size in SIZES]) + drawn - drawn.mean()).astype(np.float32)


def halving(size):
    return 0.1 * (1 - 1 / (1 + size / 40))


def test_the_means_and_their_errors_are_those_of_the_queries():
    gains = gains_on(halving)
    found = learning_curve(gains, SIZES, n_queries=100, more=100)
    assert found.n_queries == (20, 40, 60, 80)
    np.testing.assert_allclose(found.gains, [0.1 / 3, 0.05, 0.06, 0.2 / 3], atol=1e-6)
    error = np.hypot(gains[:, 0].std(ddof=1) / 20, 0.003)
    np.testing.assert_allclose(found.errors, [error] * 4, rtol=1e-4)


def test_what_is_added_is_what_integration_finds():
    gains = gains_on(halving, noise=0.2, n=100, seed=1)
    found = learning_curve(gains, SIZES, n_queries=100, more=100)
    noise = np.cov(gains.astype(np.float64), rowvar=False) / 100 + 0.003**2 * np.eye(4)
    limits = np.linspace(-0.6, 0.6, 2401)
    added, weights = [], []
    for exponent, scale in product(module._EXPONENTS, module._SCALES):

        def reached(size, exponent=exponent, scale=scale):
            return 1 - (1 + size / scale) ** -exponent

        shares = np.array([reached(size) for size in SIZES])
        likelihood = multivariate_normal.pdf(gains.mean(axis=0) - limits[:, None] * shares, cov=noise)
        weights.append(likelihood * np.exp(-((limits / 0.1) ** 2) / 2))
        added.append(limits * (reached(200) - reached(100)))
    added, weights = np.concatenate(added), np.concatenate(weights)
    order = np.argsort(added)
    below = np.cumsum(weights[order]) / weights.sum()
    low, high = added[order][np.searchsorted(below, [0.05, 0.95])]
    assert found.added == pytest.approx(np.average(added, weights=weights), abs=2e-5)
    assert (found.added_low, found.added_high) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))


def test_clear_means_give_the_curve_they_lie_on():
    gains = gains_on(lambda size: 10 * halving(size), noise=0.01, n=10_000)
    found = learning_curve(gains, SIZES, n_queries=80, more=80)
    # 1 - 1/3 of the limit now, 1 - 1/5 of it then.
    assert found.added == pytest.approx(0.8 - 2 / 3, abs=0.02)
    assert found.added_low < 0.8 - 2 / 3 < found.added_high


def test_what_has_levelled_off_promises_little_and_what_grows_promises_more():
    flat = learning_curve(gains_on(lambda _: 0.03), SIZES, n_queries=100, more=100)
    growing = learning_curve(gains_on(lambda size: 0.001 * size), SIZES, n_queries=100, more=100)
    assert flat.added < 0.006 < growing.added
    assert growing.added_low > 0


def test_no_gain_promises_none():
    found = learning_curve(np.zeros((50, 4), dtype=np.float32), SIZES, n_queries=100, more=100)
    assert found.added == 0
    assert found.added_low == pytest.approx(-found.added_high, abs=1e-8)


def test_more_queries_say_more():
    few = learning_curve(gains_on(halving, noise=0.2, n=50), SIZES, n_queries=100, more=100)
    many = learning_curve(gains_on(halving, noise=0.2, n=5000), SIZES, n_queries=100, more=100)
    assert many.added_high - many.added_low < few.added_high - few.added_low


def test_the_line_begins_at_nothing_and_ends_at_all_queries():
    found = learning_curve(gains_on(halving), SIZES, n_queries=100, more=50)
    first, last = found.line[0], found.line[-1]
    assert (first.n_queries, first.gain, first.low, first.high) == (0, 0, 0, 0)
    assert last.n_queries == 150
    by_number = {point.n_queries: point.gain for point in found.line}
    assert last.gain - by_number[100] == pytest.approx(found.added, abs=1e-9)
    assert all(point.low <= point.gain <= point.high for point in found.line)


def test_in_words_and_as_json():
    found = learning_curve(gains_on(halving), SIZES, n_queries=100, more=100)
    assert str(found).startswith("20 -> +0.033, 40 -> +0.050, 60 -> +0.060, 80 -> +0.067; another 100 may add about +")
    assert json.loads(json.dumps(found.as_dict()))["line"][0]["gain"] == 0


@settings(max_examples=20, deadline=None)
@given(st.floats(-1, 1), st.integers(2, 40), st.integers(1, 500))
def test_turning_the_gains_turns_the_prediction(scale, n, more):
    gains = (scale * np.random.default_rng(n).normal(0.02, 0.1, size=(n, 4))).astype(np.float32)
    one = learning_curve(gains, SIZES, n_queries=100, more=more)
    turned = learning_curve(-gains, SIZES, n_queries=100, more=more)
    assert turned.added == pytest.approx(-one.added, abs=1e-7)
    assert turned.added_low == pytest.approx(-one.added_high, abs=1e-6)
    assert one.added_low <= one.added_high


def test_what_does_not_fit_is_refused():
    gains = gains_on(halving)
    with pytest.raises(InputError, match=r"shape \(400, 4\) for 3 sizes"):
        learning_curve(gains, SIZES[:3], n_queries=100, more=100)
    with pytest.raises(InputError, match="at least 2 queries"):
        learning_curve(gains[:1], SIZES, n_queries=100, more=100)
    for sizes, more in (([20, 20, 60, 80], 100), ([0, 40, 60, 80], 100), (SIZES, 0)):
        with pytest.raises(InputError, match="expected rising numbers from 1 on"):
            learning_curve(gains, sizes, n_queries=100, more=more)
