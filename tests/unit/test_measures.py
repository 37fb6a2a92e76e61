import math

import numpy as np
import pytest

from routeret.errors import InputError
from routeret.measures import MEASURES, ideal_dcg, mean_measures, measure, ndcg, rp_at_k

LOG3 = math.log2(3)


def test_all_measures_of_one_query_by_hand():
    # Relevant: a (grade 2) at rank 1, c (grade 1) at rank 3, z (grade 1) not found.
    values = measure({"q": {"a": 0.9, "b": 0.8, "c": 0.7}}, {"q": {"a": 2, "c": 1, "z": 1}})["q"]
    assert tuple(values) == MEASURES
    assert values["ndcg@10"] == pytest.approx((2 + 1 / 2) / (2 + 1 / LOG3 + 1 / 2))
    assert values["map"] == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert values["mrr@10"] == 1.0
    assert values["rp@10"] == pytest.approx(2 / 3)
    assert values["recall@100"] == pytest.approx(2 / 3)


def test_rp_at_10_looks_at_ten_hits():
    # Relevant: 12 documents, of which those at ranks 1 and 10 are among the first ten hits, and that at 11 is not.
    run = {"q": {f"d{rank:02}": -float(rank) for rank in range(1, 21)}}
    qrels = {"q": {"d01": 1, "d10": 3, "d11": 1, **{f"x{number}": 1 for number in range(9)}}}
    assert measure(run, qrels)["q"]["rp@10"] == 2 / 10 == rp_at_k(run, qrels)["q"]


def test_score_decides_and_not_the_order_in_the_run():
    assert measure({"q": {"b": 0.1, "a": 0.2}}, {"q": {"a": 1}})["q"]["mrr@10"] == 1.0


def test_equal_scores_put_the_higher_id_first():
    run = {"q": {"a": 1.0, "b": 1.0}}
    assert measure(run, {"q": {"a": 1}})["q"]["mrr@10"] == 0.5
    assert measure(run, {"q": {"b": 1}})["q"]["mrr@10"] == 1.0
    assert measure({"q": {"z": 1.0, "é": 1.0}}, {"q": {"é": 1}})["q"]["mrr@10"] == 1.0


def test_scores_that_are_equal_as_float32_are_equal():
    assert measure({"q": {"a": 1.00000001, "b": 1.0}}, {"q": {"a": 1}})["q"]["mrr@10"] == 0.5


@pytest.mark.parametrize(("rank", "expected"), [(1, 1.0), (9, 1 / 9), (10, 0.1), (11, 0.0), (12, 0.0)])
def test_mrr_is_cut_after_rank_10(rank, expected):
    run = {"q": {f"d{position:02}": 1.0 - position / 100 for position in range(1, 13)}}
    assert measure(run, {"q": {f"d{rank:02}": 1}})["q"]["mrr@10"] == pytest.approx(expected)


@pytest.mark.parametrize("run", [{}, {"q": {}}, {"other": {"a": 1.0}}])
def test_a_query_without_hits_counts_zero(run):
    assert measure(run, {"q": {"a": 1}}) == {"q": dict.fromkeys(MEASURES, 0.0)}


def test_which_queries_count():
    run = {"hit": {"a": 1.0}, "none_relevant": {"a": 1.0}, "not_judged": {"a": 1.0}, "empty": {"a": 1.0}}
    qrels = {"missing": {"a": 1}, "hit": {"a": 1}, "none_relevant": {"a": 0}, "empty": {}}
    per_query = measure(run, qrels)
    assert list(per_query) == ["missing", "hit", "none_relevant"]
    assert mean_measures(per_query) == dict.fromkeys(MEASURES, pytest.approx(1 / 3))


def test_no_query_has_no_mean():
    assert measure({}, {}) == {}
    with pytest.raises(InputError, match="0 queries"):
        mean_measures({})


def test_self_hits_are_dropped_only_when_asked_and_the_run_stays():
    run = {"x": {"x": 2.0, "a": 1.0}, "only": {"only": 1.0}}
    qrels = {"x": {"a": 1}, "only": {"only": 1}}
    kept, dropped = measure(run, qrels), measure(run, qrels, drop_self_hits=True)
    assert (kept["x"]["mrr@10"], dropped["x"]["mrr@10"]) == (0.5, 1.0)
    assert (kept["only"]["mrr@10"], dropped["only"]["mrr@10"]) == (1.0, 0.0)
    assert run == {"x": {"x": 2.0, "a": 1.0}, "only": {"only": 1.0}}


def test_nan_is_named():
    with pytest.raises(InputError, match="query 'q' scores document 'b' with NaN"):
        measure({"q": {"a": 1.0, "b": math.nan}}, {"q": {"a": 1}})


def test_infinite_scores_can_be_ordered():
    run = {"q": {"low": -math.inf, "high": math.inf, "a": 0.0}}
    assert measure(run, {"q": {"a": 1}})["q"]["mrr@10"] == 0.5


def test_numpy_values_are_refused_with_the_next_step():
    with pytest.raises(InputError, match=r"float\(\)"):
        measure({"q": {"a": np.float32(1)}}, {"q": {"a": 1}})  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"int\(\)"):
        measure({"q": {"a": 1.0}}, {"q": {"a": np.int64(1)}})  # type: ignore[dict-item]


def test_ndcg_by_hand():
    ideal = ideal_dcg([[1, 2], [], [0], [1]], 2)
    np.testing.assert_allclose(ideal, [2 + 1 / LOG3, 0, 0, 1], rtol=1e-6)
    ranked = np.array([[1, 2], [0, 0], [0, 0], [0, 1]], dtype=np.float32)
    values = ndcg(ranked, ideal)
    assert values.dtype == ideal.dtype == np.float32
    np.testing.assert_allclose(values, [(1 + 2 / LOG3) / (2 + 1 / LOG3), 0, 0, 1 / LOG3], rtol=1e-6)


def test_ideal_counts_only_the_best_k():
    np.testing.assert_allclose(ideal_dcg([[1, 3, 2]], 1), [3])
    np.testing.assert_allclose(ideal_dcg([[1, 3, 2]], 5), [3 + 2 / LOG3 + 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(ideal_dcg([[-1, 1]], 2), [1])


def test_ndcg_of_no_query_and_of_wrong_shapes():
    assert ndcg(np.empty((0, 10), np.float32), ideal_dcg([], 10)).shape == (0,)
    with pytest.raises(InputError, match=r"\(2, 3\)"):
        ndcg(np.zeros((2, 3), np.float32), np.zeros(3, np.float32))
    with pytest.raises(InputError, match="k is 0"):
        ideal_dcg([[1]], 0)


def test_rp_at_k_by_hand():
    run = {"q": {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}}
    # Relevant: a at rank 1, d at rank 4, z not found; at most min(k, 3) could be there.
    qrels = {"q": {"a": 2, "d": 1, "z": 1, "b": 0}}
    assert [rp_at_k(run, qrels, k=k)["q"] for k in (1, 2, 3, 4, 10)] == pytest.approx([1, 1 / 2, 1 / 3, 2 / 3, 2 / 3])
    assert rp_at_k(run, qrels) == rp_at_k(run, qrels, k=10)


def test_rp_at_k_orders_hits_as_the_other_measures_do():
    run = {"q": {"z": 1.0, "é": 1.00000001, "a": 2.0}}
    assert rp_at_k(run, {"q": {"é": 1}}, k=2) == {"q": 1.0}
    assert rp_at_k(run, {"q": {"z": 1}}, k=2) == {"q": 0.0}


def test_rp_at_k_counts_the_queries_that_the_other_measures_count():
    run = {"hit": {"a": 1.0}, "unjudged": {"a": 1.0}, "none_relevant": {"a": 1.0}, "empty": {"a": 1.0}, "no_hits": {}}
    qrels = {"missing": {"a": 1}, "hit": {"a": 1}, "none_relevant": {"a": 0, "b": -1}, "empty": {}, "no_hits": {"a": 1}}
    assert rp_at_k(run, qrels) == {"missing": 0.0, "hit": 1.0, "none_relevant": 0.0, "no_hits": 0.0}
    assert rp_at_k({"x": {"x": 2.0, "a": 1.0}}, {"x": {"a": 1}}, k=1, drop_self_hits=True) == {"x": 1.0}
    assert rp_at_k({}, {}) == {}


def test_rp_at_k_refuses():
    with pytest.raises(InputError, match="k is 0"):
        rp_at_k({}, {}, k=0)
    with pytest.raises(InputError, match="with NaN"):
        rp_at_k({"q": {"a": math.nan}}, {"q": {"a": 1}})
