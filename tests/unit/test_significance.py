import numpy as np
import pytest
from scipy.stats import permutation_test

from routeret.errors import InputError
from routeret.significance import PairedTest, bootstrap_intervals, paired_test


def test_no_and_one_difference():
    assert paired_test([]) == PairedTest(mean=0.0, low=0.0, high=0.0, p_value=1.0, n=0)
    assert paired_test([0.25]) == PairedTest(mean=0.25, low=0.25, high=0.25, p_value=1.0, n=1)


def test_exact_p_value_by_hand():
    # Of 8 sign patterns of three equal differences only +++ and --- lie as far out.
    assert paired_test([0.1, 0.1, 0.1]).p_value == 2 / 8
    # 0.3 + 0.1 = 0.4: ++, --, of 4; zeros change nothing.
    assert paired_test([0.3, 0.1, 0.0, 0.0]).p_value == 2 / 4
    # Mean 0: every pattern lies at least as far out.
    assert paired_test([0.1, -0.1]).p_value == 1.0
    assert paired_test([0.0, 0.0]).p_value == 1.0


def test_interval_of_two_differences_by_hand():
    # Resamples of {0, 1} have mean 0, 0.5, 1 with probability 1/4, 1/2, 1/4.
    test = paired_test([0.0, 1.0])
    assert (test.mean, test.low, test.high) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("n", [10, 40])
def test_p_value_equals_scipy(n):
    differences = np.random.default_rng(3).normal(0.3, 1.0, n)
    theirs = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=50_000, rng=0).pvalue
    assert paired_test(differences).p_value == pytest.approx(theirs, abs=1e-12 if n == 10 else 0.015)


def test_interval_agrees_with_the_normal_one_for_many_differences():
    differences = np.random.default_rng(0).normal(0.02, 0.3, 4000)
    test = paired_test(differences)
    half = 1.96 * differences.std() / np.sqrt(len(differences))
    assert test.low == pytest.approx(test.mean - half, abs=5e-4)
    assert test.high == pytest.approx(test.mean + half, abs=5e-4)
    assert test.n == 4000


def test_clear_difference_has_the_smallest_p_value():
    assert paired_test(np.full(100, 0.1)).p_value == 1 / 10_001


def test_seed_fixes_everything_and_the_input_stays():
    differences = np.random.default_rng(1).normal(size=50)
    before = differences.copy()
    assert paired_test(differences, seed=4) == paired_test(differences, seed=4)
    assert paired_test(differences, seed=4) != paired_test(differences, seed=5)
    np.testing.assert_array_equal(differences, before)


def test_columns_equal_single_tests():
    differences = np.random.default_rng(2).normal(size=(30, 3)).astype(np.float32)
    intervals = bootstrap_intervals(differences, seed=7)
    for column in range(3):
        test = paired_test(differences[:, column], seed=7)
        assert [test.mean, test.low, test.high] == pytest.approx([values[column] for values in intervals])


def test_interval_equals_a_loop_over_resamples():
    differences = np.random.default_rng(5).normal(size=12)
    rng = np.random.default_rng(0)
    means = [differences[rng.integers(0, 12, size=12)].mean() for _ in range(10_000)]
    test = paired_test(differences, seed=0)
    assert [test.low, test.high] == pytest.approx(np.percentile(means, [2.5, 97.5]))


def test_bad_input():
    with pytest.raises(InputError, match=r"\(2, 2\)"):
        paired_test(np.zeros((2, 2)))
    with pytest.raises(InputError, match="difference 1 of column 0 is nan"):
        paired_test([0.0, float("nan")])
    with pytest.raises(InputError, match="at least one row"):
        bootstrap_intervals(np.zeros((0, 2)))
