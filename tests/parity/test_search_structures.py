"""FAISS, NumPy in blocks, and a slow double-precision twin give the same rows and the same scores."""

import numpy as np
import pytest

from routeret.index import exact as exact_module
from routeret.index.exact import ExactSearch, top_k
from routeret.index.faiss_flat import FaissFlatSearch

pytest.importorskip("faiss")


def slow_twin(vectors, queries, k):
    rows, scores = [], []
    for query in queries:
        products = [
            np.float32(sum(float(a) * float(b) for a, b in zip(vector, query, strict=True))) for vector in vectors
        ]
        best = sorted(range(len(vectors)), key=lambda row: (-products[row], row))[:k]
        rows.append(best)
        scores.append([products[row] for row in best])
    return np.array(rows, dtype=np.int64).reshape(len(queries), -1), np.array(scores, dtype=np.float32)


def both(vectors):
    n_rows, dim = vectors.shape
    blocks = np.array_split(vectors, 3)
    return ExactSearch(blocks, n_rows=n_rows, dim=dim), FaissFlatSearch(blocks, dim=dim)


@pytest.mark.parametrize("n_rows", [1, 2, 50, 300])
@pytest.mark.parametrize("n_queries", [1, 2, 33])
@pytest.mark.parametrize("k", [1, 2, 10, 1000])
def test_all_agree(n_rows, n_queries, k, monkeypatch):
    monkeypatch.setattr(exact_module, "_SCORES_AT_ONCE", 4 * n_rows)
    rng = np.random.default_rng(n_rows + n_queries + k)
    vectors = rng.normal(size=(n_rows, 12)).astype(np.float16).astype(np.float32)
    vectors[rng.integers(n_rows, size=n_rows // 2)] = vectors[0]
    queries = rng.normal(size=(n_queries, 12)).astype(np.float32)
    queries[0] = vectors[0]
    rows, scores = slow_twin(vectors, queries, k)
    for structure in both(vectors):
        found = structure.search(queries, k)
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_array_equal(found.scores, scores)
        assert (found.rows.dtype, found.scores.dtype) == (np.int64, np.float32)


def test_equal_scores_are_cut_by_row_and_not_by_chance():
    vectors = np.tile(np.random.default_rng(0).normal(size=(1, 100)).astype(np.float32), (777, 1))
    vectors[5] *= 2
    for structure in both(vectors):
        for n_queries in (1, 40):
            found = structure.search(np.tile(vectors[:1], (n_queries, 1)), 10)
            assert found.rows.tolist() == [[5, 0, 1, 2, 3, 4, 6, 7, 8, 9]] * n_queries


def test_a_zero_query_gives_the_first_rows():
    vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    for structure in both(vectors):
        assert structure.search(np.zeros((1, 8), dtype=np.float32), 3).rows.tolist() == [[0, 1, 2]]


def test_one_query_scores_as_it_does_in_a_batch():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(500, 384)).astype(np.float32)
    queries = rng.normal(size=(64, 384)).astype(np.float32)
    for structure in both(vectors):
        batch = structure.search(queries, 5)
        for number in (0, 40):
            alone = structure.search(queries[number : number + 1], 5)
            np.testing.assert_array_equal(alone.rows[0], batch.rows[number])
            np.testing.assert_array_equal(alone.scores[0], batch.scores[number])


def test_top_k_by_hand():
    scores = np.array([[1, 3, 3, 2, 3], [0, 0, 0, 0, 0]], dtype=np.float32)
    assert top_k(scores, 2).rows.tolist() == [[1, 2], [0, 1]]
    assert top_k(scores, 9).rows.tolist() == [[1, 2, 4, 3, 0], [0, 1, 2, 3, 4]]
    assert top_k(np.empty((2, 0), dtype=np.float32), 3).rows.shape == (2, 0)
