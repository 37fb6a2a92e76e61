"""How far gains are to be believed, and where a router went less far than they say; by hand."""

import numpy as np
import pytest

from routeret.routing import RoutingBatch
from routeret.routing.calibration import Calibration
from routeret.routing.gain_table import GainTable
from routeret.routing.prospects import Prospects
from routeret.routing.restraint import Restraint

LOG_3 = np.log(3)


def floats(values):
    return np.array(values, dtype=np.float32)


def prospects(trust):
    """One expert on two corpora, at its best at the second strength, 0.5; what the others say is far off."""
    off = [9.0, 0.0, 9.0, 9.0]
    table = GainTable(
        means=floats([[np.add(off, [0, 0.4, 0, 0])], [off]]),
        errors=floats([[np.add(off, [0, 0.1, 0, 0])], [np.add(off, [0, 0.2, 0, 0])]]),
        rates=floats([[[0, 0.8, 0, 0]], [[0, 0.4, 0, 0]]]),
    )
    calibration = Calibration(
        coefficients=floats([1.0, LOG_3, 2 * LOG_3]), intercept=0.0, unknown_errors=floats([9, 0.5, 9, 9])
    )
    gains, probabilities = floats([[[0.0, 0.1, 0.05, 0.0]]]), floats([[0.25, 0.75]])
    return Prospects(gains, probabilities, floats([[trust]]), table, calibration)


@pytest.mark.parametrize(
    ("trust", "error"),
    [
        # The mean of the squares is .25 * (.4² + .1²) + .75 * .2² = .0725, the square of the mean .1².
        (1.0, 0.0625**0.5),
        (0.0, 0.5),
        (0.5, (0.5 * 0.0625 + 0.5 * 0.25) ** 0.5),
    ],
)
def test_the_error_is_that_of_the_table_as_far_as_the_documents_are_known(trust, error):
    np.testing.assert_allclose(prospects(trust).errors, [[error]], rtol=1e-5)


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
def test_the_chance_is_that_of_the_rate_or_of_the_strength(trust):
    # It gains on .25 * .8 + .75 * .4 = half of the queries, so the odds are even; both sides add log 3.
    np.testing.assert_allclose(prospects(trust).helps, [[0.75]], rtol=1e-5)


def test_whoever_lost_most_is_named_where_little_is_left_of_what_was_wanted():
    # Wanted: .5 * 1 + .4 * .5 = .7. The first query keeps .5 + .04, the second .5 + .19, 99 %.
    weights, wanted = floats([[0.5, 0.4]] * 2), floats([[1.0, 0.5]] * 2)
    restraint = Restraint(weights, wanted, floats([[1.0, 0.1], [1.0, 0.475]]))
    assert restraint.held_back.tolist() == [True, False]
    assert restraint.most.tolist() == [1, 1]


def test_what_is_constant_holds_nothing_back():
    assert RoutingBatch.constant(["a"], 2, weights={"a": 1.0}, strengths={"a": 1.0}).held_back.tolist() == [False] * 2
