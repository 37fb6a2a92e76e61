"""Gains, how sure they are, and the mixture they make, against what a person computes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_pilots import X, Y, corpus

from routeret.routing import STRENGTHS, PilotLibrary
from routeret.routing.gain_table import GainTable
from routeret.routing.mixing import mixed


def table(*, shrinkage=0.0):
    library = PilotLibrary(
        "0" * 16,
        (
            corpus("care", [X, X], home=("nurse",), nurse=[0.1, 0.3], coder=[0.0, -0.2]),
            corpus("code", [Y, Y], home=("coder",), coder=[0.4, 0.4]),
        ),
    )
    return GainTable.fit(library, ["nurse", "coder"], shrinkage=shrinkage)


def test_means_errors_and_rates():
    found = table()
    np.testing.assert_allclose(found.means[:, :, 0], [[0.2, -0.1], [0.0, 0.4]], atol=1e-6)
    # Of two numbers the standard error of the mean is half their distance; of equal ones, and of none, it is 0.
    np.testing.assert_allclose(found.errors[:, :, 0], [[0.1, 0.1], [0.0, 0.0]], atol=1e-6)
    # nurse gained on both of care, coder on none of care and both of code: 2/3 on the mean, which stands where nothing
    # was measured.
    np.testing.assert_allclose(found.rates[:, :, 0], [[1, 0], [2 / 3, 1]], atol=1e-6)


def test_few_pilots_are_shrunk():
    found = table(shrinkage=2.0)
    np.testing.assert_allclose(found.means[0, :, 0], [0.1, -0.05], atol=1e-6)
    np.testing.assert_allclose(found.errors[0, :, 0], [0.05, 0.05], atol=1e-6)
    np.testing.assert_allclose(found.rates[0, :, 0], [(1 + 2 / 3) / 2, (0 + 2 / 3) / 2], atol=1e-6)


def test_a_query_between_two_corpora():
    found = table()
    half = np.array([[0.5, 0.5]], dtype=np.float32)
    np.testing.assert_allclose(found.expected(half)[0, :, 0], [0.1, 0.15], atol=1e-6)
    # nurse: .2 +- .1 or 0: half of .04 + .01, minus .01. coder: -.1 +- .1 or .4: half of .02 + .16, minus .0225.
    np.testing.assert_allclose(found.variances(half)[0, :, 0], [0.015, 0.0675], atol=1e-6)
    np.testing.assert_allclose(found.gaining(half)[0, :, 0], [5 / 6, 1 / 2], atol=1e-6)


def test_some_experts_of_the_table():
    part = table().of_experts([1])
    np.testing.assert_allclose(part.means[:, 0, 0], [-0.1, 0.4], atol=1e-6)
    assert part.errors.shape == part.rates.shape == (2, 1, len(STRENGTHS))


def gains_of(*experts):
    return np.array([[[gain] * len(STRENGTHS) for gain in experts]], dtype=np.float32)


def test_the_softmax_by_hand():
    gains = gains_of(0.0, -1.0)
    gains[0, 0] = [0.0, 0.0, np.log(2), np.log(4)]
    weights, strengths = mixed(gains, temperature=1.0)
    # The base counts 1, the first expert 2 at strength .7 and 4 at 1; what promises nothing counts nothing.
    np.testing.assert_allclose(weights, [[1 / 7, 6 / 7, 0]], atol=1e-6)
    np.testing.assert_allclose(strengths, [[(2 * 0.7 + 4 * 1.0) / 6, 0]], atol=1e-6)


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=0, max_size=6),
    st.floats(0.001, 10),
)
def test_weights_sum_to_1_and_a_low_temperature_overflows_nothing(experts, temperature):
    weights, strengths = mixed(gains_of(*experts).reshape(1, len(experts), len(STRENGTHS)), temperature=temperature)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert (weights >= 0).all()
    assert ((strengths >= 0) & (strengths <= 1 + 1e-6)).all()
    assert all(weight == 0 for weight, gain in zip(weights[0, 1:], experts, strict=True) if gain <= 0)
