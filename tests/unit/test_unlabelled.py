"""The map that an index learns without labels: in two dimensions by hand, and against slow sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeret.errors import InputError
from routeret.fusion import TEACHER_WEIGHT
from routeret.routing.whitening import whitening
from routeret.training.unlabelled import NO_ROW, UnlabelledTask, fit_unlabelled

DIM = 6


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def drawn_task(n_queries=60, *, lexical=None, seed=0, n_candidates=8):
    rng = np.random.default_rng(seed)
    documents = unit(rng.normal(size=(40, DIM)))
    sources = rng.integers(0, 40, n_queries)
    queries = unit(documents[sources] + 0.3 * rng.normal(size=(n_queries, DIM)))
    candidates = np.stack([rng.choice(40, n_candidates, replace=False) for _ in range(n_queries)])
    if lexical is None:
        lexical = rng.random((n_queries, n_candidates)).astype(np.float32)
    return UnlabelledTask(queries, sources, candidates, lexical, documents, lambda rows: documents[rows])


def slow_weight(task):
    """The formulas of the docstring, one pseudo-query after the other."""
    queries, documents = task.queries.astype(float), task.documents.astype(float)
    pulls = []
    for query, rows, lexical in zip(queries, task.candidates, task.lexical, strict=True):
        there = rows != NO_ROW
        vectors = documents[rows[there]]
        own = np.exp(vectors @ query / 0.05)
        fused = np.exp((vectors @ query + TEACHER_WEIGHT * lexical[there]) / 0.05)
        pulls.append((fused / fused.sum() - own / own.sum()) @ vectors)

    def covariance(left, right):
        return sum(np.outer(a, b) for a, b in zip(left - left.mean(0), right - right.mean(0), strict=True)) / len(left)

    def ridged(scatter):
        return scatter + np.trace(scatter) / len(scatter) * np.eye(len(scatter))

    spread = covariance(documents, documents)
    strays = covariance(documents[task.sources] - queries, documents[task.sources] - queries)
    against = np.linalg.inv(ridged(spread / np.trace(spread) + strays / np.trace(strays)))
    against *= np.sqrt((documents**2).sum() / ((documents @ against.T) ** 2).sum())
    pull = (
        np.linalg.inv(ridged(spread))
        @ covariance(np.array(pulls), queries)
        @ np.linalg.inv(ridged(covariance(queries, queries)))
    )
    pull *= np.sqrt((queries**2).sum() / ((queries @ pull.T) ** 2).sum())
    return against - np.eye(DIM) + 0.5 * pull


@pytest.mark.parametrize("seed", range(3))
def test_the_fast_path_agrees_with_slow_sums(seed):
    task = drawn_task(seed=seed, n_queries=130)
    np.testing.assert_allclose(fit_unlabelled(task, strength=0.2).weight, slow_weight(task), rtol=1e-3, atol=1e-4)


def test_missing_candidates_count_for_nothing():
    task = drawn_task(n_candidates=5)
    rows = np.concatenate([task.candidates, np.full((60, 2), NO_ROW)], axis=1)
    lexical = np.concatenate([task.lexical, np.ones((60, 2), dtype=np.float32)], axis=1)
    wider = UnlabelledTask(task.queries, task.sources, rows, lexical, task.documents, task.vectors)
    first, second = fit_unlabelled(task, strength=0.2), fit_unlabelled(wider, strength=0.2)
    np.testing.assert_allclose(first.weight, second.weight, atol=1e-5)
    assert (first.before, first.after) == pytest.approx((second.before, second.after), abs=1e-6)


def test_where_full_text_says_nothing_new_queries_are_pulled_nowhere():
    task = drawn_task(lexical=np.ones((60, 8), dtype=np.float32))
    weight = fit_unlabelled(task, strength=0.2).weight
    np.testing.assert_allclose(weight, weight.T, atol=1e-5)
    outcome = fit_unlabelled(drawn_task(lexical=np.zeros((60, 8), dtype=np.float32)), strength=0.2)
    np.testing.assert_allclose(outcome.weight, weight, atol=1e-5)


def axis_task():
    """Four documents on both sides of two axes; full text prefers the one on the first axis, whatever is asked."""
    documents = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float32)
    queries = unit(np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]], dtype=np.float32))
    candidates = np.array([[0, 2], [1, 2], [0, 3], [1, 3]])
    lexical = np.tile(np.array([1, 0], dtype=np.float32), (4, 1))
    sources = np.array([0, 2, 3, 1])
    return UnlabelledTask(queries, sources, candidates, lexical, documents, lambda rows: documents[rows])


def test_queries_are_pulled_to_the_axis_that_full_text_prefers():
    # Both covariances are even, so only the pull is left: w (1, 0) - w (0, 1) for the query at (1, 1), and so on, with
    # w the share that moves. Its covariance with the queries is a diagonal of w / sqrt(2) and -w / sqrt(2).
    # Brought to the queries' own size, and halved, it is a diagonal of 1/2 and -1/2.
    weight = fit_unlabelled(axis_task(), strength=0.2).weight
    np.testing.assert_allclose(weight, np.diag([0.5, -0.5]), atol=1e-4)


def test_what_is_fitted_to_one_half_is_measured_on_the_other():
    rng = np.random.default_rng(5)
    documents = unit(rng.normal(size=(300, DIM)))
    sources = np.arange(300)
    queries = unit(documents + 0.4 * rng.normal(size=(300, DIM)))
    candidates = np.stack([rng.choice(300, 30, replace=False) for _ in range(300)])
    # Full text likes documents that lie far out on the first axis: half of the documents teach it for the others.
    likes_axis = np.clip(documents[candidates][:, :, 0] * np.sign(queries[:, :1]) * 3, 0, 1).astype(np.float32)
    by_chance = rng.permuted(likes_axis, axis=1)

    def outcome(lexical):
        task = UnlabelledTask(queries, sources, candidates, lexical, documents, lambda rows: documents[rows])
        return fit_unlabelled(task, strength=0.2)

    learned = outcome(likes_axis)
    assert learned.is_better
    assert learned.after > learned.before + 0.01
    assert outcome(by_chance).after < learned.after


def test_before_is_the_agreement_of_the_closed_form_map():
    # One document answers every pseudo-query, and the closed-form map of even documents changes nothing.
    task = axis_task()
    np.testing.assert_allclose(whitening(task.documents), np.zeros((2, 2)), atol=1e-6)
    outcome = fit_unlabelled(task, strength=0.2)
    # Both candidates are among the fused ranking's first ten, so any ranking agrees.
    assert (outcome.before, outcome.after) == (1.0, 1.0)
    assert not outcome.is_better


@given(st.integers(0, 5), st.sampled_from([0.05, 0.2, 1.0]))
def test_the_same_task_gives_the_same_map(seed, strength):
    first = fit_unlabelled(drawn_task(20, seed=seed), strength=strength, seed=seed)
    second = fit_unlabelled(drawn_task(20, seed=seed), strength=strength, seed=seed)
    np.testing.assert_array_equal(first.weight, second.weight)
    assert 0 <= first.before <= 1
    assert 0 <= first.after <= 1
    assert np.isfinite(first.weight).all()


def test_longer_vectors_teach_the_same_directions():
    task = drawn_task()
    longer = UnlabelledTask(
        task.queries * 3,
        task.sources,
        task.candidates,
        task.lexical * 9,
        task.documents * 3,
        lambda rows: task.documents[rows] * 3,
        unit_length=False,
    )
    np.testing.assert_allclose(
        fit_unlabelled(longer, strength=0.2).weight, fit_unlabelled(task, strength=0.2).weight, rtol=1e-3, atol=1e-4
    )


def test_documents_that_are_all_alike_give_a_finite_map():
    documents = np.ones((3, 2), dtype=np.float32)
    task = UnlabelledTask(
        documents,
        np.arange(3),
        np.tile(np.arange(3), (3, 1)),
        np.zeros((3, 3), dtype=np.float32),
        documents,
        lambda rows: documents[rows],
    )
    assert np.isfinite(fit_unlabelled(task, strength=0.2).weight).all()


@pytest.mark.parametrize(
    ("n_queries", "n_sources", "n_lexical", "message"),
    [
        (1, 1, 1, "found 1 pseudo-queries, expected at least 2"),
        (3, 2, 3, "came with 2 sources and 3 lines"),
        (3, 3, 2, "candidates have shape \\(3, 4\\), their BM25 \\(2, 4\\)"),
    ],
)
def test_arrays_that_do_not_fit(n_queries, n_sources, n_lexical, message):
    documents = np.eye(4, dtype=np.float32)
    with pytest.raises(InputError, match=message):
        UnlabelledTask(
            documents[:n_queries],
            np.arange(n_sources),
            np.tile(np.arange(4), (n_queries, 1)),
            np.zeros((n_lexical, 4), dtype=np.float32),
            documents,
            lambda rows: documents[rows],
        )
