import math

import numpy as np
import pytest

from routeret.errors import InputError
from routeret.fusion import mix_lines, mix_queries, reciprocal_rank_fusion, score_fusion


def floats(*rows):
    return np.array(rows, dtype=np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


def test_a_mixture_is_the_weighted_sum_at_length_one():
    base, expert = floats([1, 0], [1, 0]), floats([0, 1], [0, 1])
    mixed = mix_queries([base, expert], weights=floats([0.5, 0.5], [0.8, 0.6]))
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, [[math.sqrt(0.5), math.sqrt(0.5)], [0.8, 0.6]], atol=1e-7)


def test_a_query_with_one_vector_keeps_it_to_the_last_bit():
    rng = np.random.default_rng(0)
    base, expert = (rng.normal(size=(3, 5)).astype(np.float32) for _ in range(2))
    mixed = mix_queries([base, expert], weights=floats([1, 0], [0, 1], [0.99995, 0.00005]))
    np.testing.assert_array_equal(mixed, [base[0], expert[1], base[2]])


def test_vectors_that_cancel_leave_the_heaviest():
    mixed = mix_queries([floats([1, 0]), floats([-1, 0])], weights=floats([0.5, 0.5]))
    assert mixed.tolist() == [[1, 0]]


def test_queries_may_have_different_numbers_of_lines():
    lines = floats([3, 4], [1, 0], [0, 1], [1, 0], [-1, 0])
    mixed = mix_lines(lines, weights=floats([1, 0.6, 0.8, 0.5, 0.5])[0], ends=[1, 3, 5])
    # One line is kept as it is, and of two that cancel out the first.
    np.testing.assert_array_equal(mixed[[0, 2]], [[3, 4], [1, 0]])
    np.testing.assert_allclose(mixed[1], [0.6, 0.8], rtol=1e-6)


def test_no_query_gives_no_mixture():
    assert mix_queries([np.zeros((0, 3), dtype=np.float32)], weights=np.zeros((0, 1), dtype=np.float32)).shape == (0, 3)


@pytest.mark.parametrize(
    ("vectors", "weights", "message"),
    [
        ([], floats([1]), "0 arrays"),
        ([floats([1, 0])], floats([1, 0]), r"expected \(1, 1\)"),
        ([floats([1, 0])], floats([0]), "no weight at all"),
        ([floats([1, 0]), floats([1, 0])], floats([1.5, -0.5]), "below 0"),
    ],
)
def test_mixing_refuses_what_does_not_fit(vectors, weights, message):
    with pytest.raises(InputError, match=message):
        mix_queries(vectors, weights=weights)


def test_scores_are_added_with_the_best_lexical_score_as_one():
    fused = score_fusion(
        floats([0.5, 0.4, 0.3], [0.5, 0.4, 0.3]),
        floats([0, 2, 8], [1, 0, 0]),
        weights=floats([0.2, 0])[0],
        best=floats([8, 1])[0],
    )
    np.testing.assert_allclose(fused, [[0.5, 0.45, 0.5], [0.5, 0.4, 0.3]], atol=1e-7)


def test_a_query_that_matches_no_word_keeps_its_dense_scores():
    dense = floats([0.1, 0.9])
    fused = score_fusion(dense, floats([0, 0]), weights=floats([5])[0], best=floats([0])[0])
    np.testing.assert_array_equal(fused, dense)


def test_score_fusion_refuses_shapes_that_do_not_fit():
    with pytest.raises(InputError, match="lexical"):
        score_fusion(floats([1, 2]), floats([1]), weights=floats([1])[0], best=floats([1])[0])
    with pytest.raises(InputError, match="weights"):
        score_fusion(floats([1, 2]), floats([1, 2]), weights=floats([1, 1])[0], best=floats([1, 1])[0])


def test_ranks_are_summed_as_the_paper_says():
    found = reciprocal_rank_fusion([ints(7, 3), ints(3, 9)], 10)
    assert found.rows.tolist() == [[3, 7, 9]]
    np.testing.assert_allclose(found.scores, [[1 / 62 + 1 / 61, 1 / 61, 1 / 62]], rtol=1e-6)


def test_a_document_twice_in_one_ranking_counts_once_and_takes_one_rank():
    scores = reciprocal_rank_fusion([ints(5, 5, 6)], 3).scores[0]
    assert scores.tolist() == pytest.approx([1 / 61, 1 / 62])


def test_equal_ranks_keep_the_lower_number_first():
    assert reciprocal_rank_fusion([ints(9), ints(2), ints(4)], 2).rows.tolist() == [[2, 4]]


def test_nothing_to_fuse_gives_nothing():
    assert reciprocal_rank_fusion([], 3).rows.shape == (1, 0)
    assert reciprocal_rank_fusion([ints()], 3).rows.shape == (1, 0)


@pytest.mark.parametrize(("k", "constant"), [(0, 60), (1, -1)])
def test_rank_fusion_refuses(k, constant):
    with pytest.raises(InputError, match="expected k of at least 1"):
        reciprocal_rank_fusion([ints(1)], k, constant=constant)
