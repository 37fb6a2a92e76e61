"""MAP and RP@10 against WorkRB's own functions, over whole score matrices as WorkRB has them."""

import numpy as np
import pytest

from routeret.measures import mean_measures, measure, rp_at_k

ranking = pytest.importorskip("workrb.metrics.ranking")


def random_case(seed, *, n_queries=30, n_targets=60):
    """Scores of all targets, no two equal within a query, and 1 to 25 relevant targets a query."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.linspace(-1, 1, n_targets, dtype=np.float32), (n_queries, 1)), axis=1)
    relevant = [rng.choice(n_targets, rng.integers(1, 26), replace=False).tolist() for _ in range(n_queries)]
    return scores, relevant


def as_run(scores):
    return {
        f"q{row}": {f"d{column}": float(score) for column, score in enumerate(line)} for row, line in enumerate(scores)
    }


def as_qrels(relevant):
    return {f"q{row}": {f"d{column}": 1 for column in columns} for row, columns in enumerate(relevant)}


@pytest.mark.parametrize("seed", range(5))
def test_map_and_rp_equal_workrb(seed):
    scores, relevant = random_case(seed)
    theirs = ranking.calculate_ranking_metrics(scores, relevant, metrics=("map", "rp@1", "rp@5", "rp@10", "rp@100"))
    run, qrels = as_run(scores), as_qrels(relevant)
    # trec_eval sums in single precision.
    ours = mean_measures(measure(run, qrels))
    assert ours["map"] == pytest.approx(theirs["map"], abs=1e-6)
    assert ours["rp@10"] == pytest.approx(theirs["rp@10"], abs=1e-12)
    for k in (1, 5, 10, 100):
        assert np.mean(list(rp_at_k(run, qrels, k=k).values())) == pytest.approx(theirs[f"rp@{k}"], abs=1e-12)


def test_mrr_equals_workrb_where_the_first_hit_is_among_ten():
    scores, relevant = random_case(9)
    theirs = [ranking.calculate_ranking_metrics(scores[[row]], [relevant[row]], ("mrr",))["mrr"] for row in range(30)]
    ours = [values["mrr@10"] for values in measure(as_run(scores), as_qrels(relevant)).values()]
    assert ours == pytest.approx([value if value >= 0.1 else 0 for value in theirs])


def test_grades_count_as_relevant_from_one_on_in_both():
    scores = np.array([[0.9, 0.8, 0.7, 0.6]], dtype=np.float32)
    theirs = ranking.calculate_ranking_metrics(scores, [[0, 1, 3]], ("map", "rp@2"), pos_label_relevance=[[2, 0, 1]])
    run, qrels = as_run(scores), {"q0": {"d0": 2, "d1": 0, "d3": 1}}
    assert rp_at_k(run, qrels, k=2)["q0"] == theirs["rp@2"] == 1 / 2
    assert measure(run, qrels)["q0"]["map"] == pytest.approx(theirs["map"]) == pytest.approx((1 + 2 / 4) / 2)


def test_a_query_without_a_relevant_target_counts_zero_where_workrb_leaves_it_out():
    scores = np.array([[0.9, 0.8], [0.9, 0.8]], dtype=np.float32)
    assert ranking.calculate_ranking_metrics(scores, [[0], []], ("rp@10",))["rp@10"] == 1
    assert rp_at_k(as_run(scores), {"q0": {"d0": 1}, "q1": {"d0": 0}}) == {"q0": 1.0, "q1": 0.0}
