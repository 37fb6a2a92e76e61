import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from routeret.errors import InputError
from routeret.significance import (
    PairedTest,
    bootstrap_intervals,
    hierarchical_intervals,
    holm,
    intervals_over_seeds,
    paired_test,
    sign_flip_p_values,
)


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


# --- clusters --------------------------------------------------------------------------------------------------------


def test_clusters_are_drawn_whole():
    # Two clusters with sums 2 and 0 over 2 and 1 rows: a resample is (2 + 2) / 4, (2 + 0) / 3 or 0, in 1/4, 1/2, 1/4.
    test = paired_test([1.0, 1.0, 0.0], clusters=np.array([7, 7, 3]))
    assert (test.mean, test.low, test.high) == (pytest.approx(2 / 3), 0.0, 1.0)
    # One cluster says nothing.
    one = paired_test([1.0, 0.5], clusters=np.array([0, 0]))
    assert (one.mean, one.low, one.high, one.p_value, one.n) == (0.75, 0.75, 0.75, 1.0, 2)


def test_clusters_turn_their_signs_together():
    # Three clusters with sums 0.2, 0.1 and 0.3; of 8 patterns +++ and --- lie as far out.
    differences, clusters = [0.1, 0.1, 0.1, 0.3], np.array(["a", "a", "b", "c"])
    assert paired_test(differences, clusters=clusters).p_value == 2 / 8
    # Four single differences have 16 patterns.
    assert paired_test(differences).p_value == 2 / 16


def test_clusters_of_one_are_the_plain_tests():
    differences = np.random.default_rng(4).normal(size=(40, 2))
    for clusters in (np.arange(40), np.arange(40)[::-1].astype(str)):
        found = bootstrap_intervals(differences, clusters=np.arange(40), seed=2)
        np.testing.assert_allclose(found, bootstrap_intervals(differences, seed=2), rtol=1e-12)
        assert paired_test(differences[:, 0], clusters=clusters).p_value == pytest.approx(
            paired_test(differences[:, 0]).p_value, abs=0.01
        )


def test_equal_queries_in_clusters_are_worth_one_each():
    single = np.random.default_rng(6).normal(size=30)
    repeated, clusters = np.repeat(single, 5), np.repeat(np.arange(30), 5)
    clustered, alone = paired_test(repeated, clusters=clusters), paired_test(single)
    assert [clustered.low, clustered.high, clustered.p_value] == pytest.approx([alone.low, alone.high, alone.p_value])
    pooled = paired_test(repeated)
    assert (pooled.high - pooled.low) * np.sqrt(5) == pytest.approx(alone.high - alone.low, rel=0.1)


def test_p_values_of_columns_are_those_of_single_tests():
    differences = np.random.default_rng(8).normal(0.2, 1.0, size=(30, 3))
    differences[5:, 2] = 0
    together = sign_flip_p_values(differences, seed=1)
    alone = [paired_test(differences[:, column], seed=1).p_value for column in range(3)]
    assert together.tolist() == pytest.approx(alone, abs=1e-12)


# --- corpora ---------------------------------------------------------------------------------------------------------


def test_one_corpus_is_its_own_bootstrap():
    rng = np.random.default_rng(9)
    differences, clusters = rng.normal(size=(25, 2)), rng.integers(0, 8, 25)
    np.testing.assert_array_equal(
        hierarchical_intervals([differences], clusters=[clusters], seed=3),
        bootstrap_intervals(differences, clusters=clusters, seed=3),
    )
    np.testing.assert_array_equal(
        hierarchical_intervals([differences], seed=3), bootstrap_intervals(differences, seed=3)
    )


def test_corpora_are_drawn_with_replacement():
    # Without any difference between queries, two corpora give the means 0, 0.5 and 1 with probability 1/4, 1/2, 1/4.
    found = hierarchical_intervals([np.zeros((50, 1)), np.ones((2, 1))])
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
    # Three corpora: the mean is 0 if the third is never drawn (8/27), and 1 if no other is (1/27, above 2.5 %).
    found = hierarchical_intervals([np.zeros((1, 1)), np.zeros((1, 1)), np.ones((1, 1))])
    assert (found.mean, found.low, found.high) == (pytest.approx(1 / 3), 0.0, 1.0)


def test_two_stages_equal_a_loop_over_resamples():
    rng = np.random.default_rng(11)
    corpora = [rng.normal(place, 1.0, size=n) for place, n in enumerate((6, 20, 9, 12))]
    clusters = [np.arange(len(one)) // 2 for one in corpora]
    means = []
    for _ in range(3_000):
        drawn_means = []
        for corpus in rng.integers(0, 4, 4):
            groups = [corpora[corpus][clusters[corpus] == label] for label in range(clusters[corpus].max() + 1)]
            drawn = rng.integers(0, len(groups), len(groups))
            drawn_means.append(np.concatenate([groups[group] for group in drawn]).mean())
        means.append(np.mean(drawn_means))
    found = hierarchical_intervals([one[:, None] for one in corpora], clusters=clusters)
    assert found.mean[0] == pytest.approx(np.mean([one.mean() for one in corpora]))
    assert [found.low[0], found.high[0]] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.08)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.floats(-2, 2), st.integers(0, 5))
def test_an_interval_moves_with_its_values(sizes, shift, seed):
    rng = np.random.default_rng(seed)
    corpora = [rng.normal(size=(size, 2)) for size in sizes]
    before = hierarchical_intervals(corpora, seed=seed)
    after = hierarchical_intervals([one + shift for one in corpora], seed=seed)
    np.testing.assert_allclose(np.subtract(after, before), shift, atol=1e-9)
    assert (before.low <= before.mean + 1e-9).all()
    assert (before.mean <= before.high + 1e-9).all()


def test_bad_corpora_and_clusters():
    with pytest.raises(InputError, match="0 corpora"):
        hierarchical_intervals([])
    with pytest.raises(InputError, match="1 corpora with clusters for 2"):
        hierarchical_intervals([np.ones((1, 1))], clusters=[np.zeros(1), np.zeros(1)])
    with pytest.raises(InputError, match=r"\[1, 2\] columns"):
        hierarchical_intervals([np.ones((1, 1)), np.ones((1, 2))])
    with pytest.raises(InputError, match=r"clusters have shape \(1,\); expected one label a difference, \(2,\)"):
        bootstrap_intervals(np.ones((2, 1)), clusters=np.zeros(1))


# --- families of comparisons -----------------------------------------------------------------------------------------


def test_holm_by_hand():
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, of which the last may not be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="a p-value is"):
            holm([0.5, wrong])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values):
    adjusted = holm(p_values)
    assert all(value <= changed <= 1 for value, changed in zip(p_values, adjusted, strict=True))
    assert not p_values or min(adjusted) == min(1.0, min(p_values) * len(p_values))
    bonferroni = [min(1.0, value * len(p_values)) for value in p_values]
    assert all(changed <= most for changed, most in zip(adjusted, bonferroni, strict=True))
    by_value = sorted(zip(p_values, adjusted, strict=True))
    assert [changed for _, changed in by_value] == sorted(changed for _, changed in by_value)


# --- several trainings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [None, [np.array([0, 0, 1, 2]), np.array([5, 5, 5])]])
def test_one_training_gives_the_hierarchical_intervals(clusters):
    rng = np.random.default_rng(0)
    corpora = [rng.normal(size=(4, 2)), rng.normal(size=(3, 2))]
    found = intervals_over_seeds([one[:, :, None] for one in corpora], clusters=clusters, seed=2)
    for one, other in zip(found, hierarchical_intervals(corpora, clusters=clusters, seed=2), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_interval_over_two_trainings_by_hand():
    # The first training has 0 on every query and the second 1: means 0, 0.5 and 1 in a quarter, a half, a quarter.
    corpus = np.tile([0.0, 1.0], (5, 1, 1))
    found = intervals_over_seeds([corpus, corpus])
    assert (found.mean[0], found.low[0], found.high[0]) == (0.5, 0.0, 1.0)
    # Trainings that agree leave only corpora and queries to chance.
    corpora = [np.repeat(np.arange(4.0)[:, None, None], 3, axis=2), np.ones((2, 1, 3))]
    same = hierarchical_intervals([one[:, :, 0] for one in corpora])
    np.testing.assert_allclose(intervals_over_seeds(corpora), same, rtol=1e-12)


def test_the_trainings_drawn_are_the_same_for_every_corpus():
    # All of the spread is between trainings: 20 corpora narrow nothing, since a training counts on all of them.
    found = intervals_over_seeds([np.array([[[0.0, 1.0]]])] * 20)
    assert (found.low[0], found.high[0]) == (0.0, 1.0)


def test_trainings_of_other_shapes_are_refused():
    for corpora in ([], [np.ones((2, 1))], [np.ones((2, 1, 0))], [np.ones((2, 1, 2)), np.ones((2, 1, 3))]):
        with pytest.raises(InputError, match="expected .n_queries, n_columns, n_trainings."):
            intervals_over_seeds(corpora)
