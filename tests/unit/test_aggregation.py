import numpy as np
import pytest

from routeret.chunking import aggregate
from routeret.errors import InputError


def floats(*values):
    return np.array(values, dtype=np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


SCORES = floats(0.25, 0.75, 0.5, 1.0, 0.125, 0.25)
OWNERS = ints(3, 3, 3, 3, 5, 9)


def test_the_best_span_gives_the_score():
    found = aggregate(SCORES, OWNERS)
    assert found.documents.tolist() == [3, 5, 9]
    assert found.scores.tolist() == [1.0, 0.125, 0.25]
    assert found.best_spans.tolist() == [3, 4, 5]
    assert (found.documents.dtype, found.scores.dtype, found.best_spans.dtype) == (np.int64, np.float32, np.int64)


def test_the_mean_takes_the_three_best_or_all_of_fewer():
    found = aggregate(SCORES, OWNERS, how="mean_top3")
    assert found.scores.tolist() == [0.75, 0.125, 0.25]
    assert found.best_spans.tolist() == [3, 4, 5]
    assert aggregate(floats(-1, -0.5), ints(0, 0), how="mean_top3").scores.tolist() == [-0.75]


def test_of_equal_spans_the_first_is_the_best():
    assert aggregate(floats(0, 1, 1, 1), ints(0, 0, 0, 1)).best_spans.tolist() == [1, 3]


@pytest.mark.parametrize("how", ["best", "mean_top3"])
def test_no_span_gives_no_document(how):
    found = aggregate(floats(), ints(), how=how)
    assert (found.documents.size, found.scores.size, found.best_spans.size) == (0, 0, 0)
    assert found.scores.dtype == np.float32


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="'max' is unknown; known are best, mean_top3"):
        aggregate(SCORES, OWNERS, how="max")
    with pytest.raises(InputError, match=r"shape \(6,\), owners \(2,\)"):
        aggregate(SCORES, ints(1, 2))
    with pytest.raises(InputError, match="do not ascend"):
        aggregate(floats(1, 2), ints(2, 1))
