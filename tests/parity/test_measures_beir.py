"""Measures against BEIR's own evaluation and against pytrec_eval, on random runs."""

import copy

import numpy as np
import pytest
import pytrec_eval

from routeret.measures import ideal_dcg, mean_measures, measure, ndcg

N_DOCUMENTS = 300


def beir_means(run, qrels, *, ignore_identical_ids):
    evaluation = pytest.importorskip("beir.retrieval.evaluation")
    values = evaluation.EvaluateRetrieval.evaluate(
        qrels, copy.deepcopy(run), [10, 100, 1000], ignore_identical_ids=ignore_identical_ids
    )
    ndcg_at, map_at, recall_at, _ = values
    return {"ndcg@10": ndcg_at["NDCG@10"], "map": map_at["MAP@1000"], "recall@100": recall_at["Recall@100"]}


def random_case(seed, *, n_levels):
    """150 queries; few levels of scores give many ties; some hits share the query's id."""
    rng = np.random.default_rng(seed)
    documents = [f"d{row}" if row % 3 else f"q{row}" for row in range(N_DOCUMENTS)]
    run, qrels = {}, {}
    for query in range(150):
        hits = rng.choice(N_DOCUMENTS, size=int(rng.integers(0, 200)), replace=False)
        scores = rng.integers(0, n_levels, size=len(hits)) / n_levels
        run[f"q{query}"] = {documents[row]: float(score) for row, score in zip(hits, scores, strict=True)}
        judged = rng.choice(N_DOCUMENTS, size=int(rng.integers(0, 15)), replace=False)
        grades = rng.integers(0, 4, size=len(judged))
        qrels[f"q{query}"] = {documents[row]: int(grade) for row, grade in zip(judged, grades, strict=True)}
    del qrels["q7"]
    qrels["q8"] = {"d1": 0}
    return run, qrels


@pytest.mark.parametrize("drop_self_hits", [False, True])
@pytest.mark.parametrize("n_levels", [1, 3, 20, 10**6])
@pytest.mark.parametrize("seed", range(3))
def test_means_equal_beir(seed, n_levels, drop_self_hits):
    run, qrels = random_case(seed, n_levels=n_levels)
    ours = mean_measures(measure(run, qrels, drop_self_hits=drop_self_hits))
    theirs = beir_means(run, qrels, ignore_identical_ids=drop_self_hits)
    assert {name: round(ours[name], 5) for name in theirs} == pytest.approx(theirs, abs=1.01e-5)


def test_self_hits_matter_in_these_cases():
    run, qrels = random_case(0, n_levels=3)
    kept, dropped = (mean_measures(measure(run, qrels, drop_self_hits=drop)) for drop in (False, True))
    assert kept != dropped


def test_a_query_that_the_run_lacks_counts_zero_where_beir_leaves_it_out():
    run, qrels = {"q1": {"a": 1.0}}, {"q1": {"a": 1}, "q2": {"b": 1}}
    assert mean_measures(measure(run, qrels))["ndcg@10"] == 0.5
    assert beir_means(run, qrels, ignore_identical_ids=True)["ndcg@10"] == 1.0
    assert beir_means({**run, "q2": {}}, qrels, ignore_identical_ids=True)["ndcg@10"] == 0.5


@pytest.mark.parametrize("n_levels", [1, 3, 10**6])
def test_mrr_equals_pytrec_eval_on_runs_cut_to_ten(n_levels):
    run, qrels = random_case(5, n_levels=n_levels)
    # trec_eval's order: score, then document id, both descending.
    cut = {
        query: dict(sorted(hits.items(), key=lambda hit: (np.float32(hit[1]), hit[0].encode()), reverse=True)[:10])
        for query, hits in run.items()
    }
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)
    ours = measure(run, qrels)
    assert {query: values["mrr@10"] for query, values in ours.items()} == {
        query: values["recip_rank"] for query, values in theirs.items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_fast_ndcg_equals_pytrec_eval(seed):
    run, qrels = random_case(seed, n_levels=10**6)
    expected = measure(run, qrels)
    ranked = np.zeros((len(expected), 10), dtype=np.float32)
    for row, query in enumerate(expected):
        best = sorted(run[query], key=lambda document: run[query][document], reverse=True)[:10]
        ranked[row, : len(best)] = [qrels[query].get(document, 0) for document in best]
    ideal = ideal_dcg([list(qrels[query].values()) for query in expected], 10)
    np.testing.assert_allclose(
        ndcg(ranked, ideal), [values["ndcg@10"] for values in expected.values()], rtol=1e-6, atol=1e-7
    )
