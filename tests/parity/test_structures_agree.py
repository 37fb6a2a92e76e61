"""Every way of searching rows against a slow twin: all rows or few, with and without a structure and newer rows."""

from functools import partial
from typing import get_args

import numpy as np
import pytest
import stored_vectors
from stored_vectors import Stored

from routeret.index import segments
from routeret.index.row_format import RowFormat, Storage
from routeret.index.structures import best as best_module
from routeret.index.structures import coded_rows as coded_rows_module
from routeret.index.structures import covered as covered_module
from routeret.index.structures import exact as exact_module
from routeret.index.structures.ann import build
from routeret.index.structures.best import settle, top_k
from routeret.index.structures.coded_rows import CodedRows
from routeret.index.structures.exact import StoredScan, product_candidates
from routeret.index.structures.row_search import RowSearch

DIM = 16

clustered = partial(stored_vectors.clustered, is_half=True)
SHARES = [1.0, 0.5, 0.1, 0.01, 0.001, 0.0001]
FACTORIES = ["SQ8", "IVF16,PQ8x4fs", "PQ8x4fs", "HNSW16,SQ8", "IVF16,SQ8", "PCA12,IVF8,SQ8", "Flat"]


def slow_twin(vectors, queries, k, allowed=None):
    rows, scores = [], []
    possible = [row for row in range(len(vectors)) if allowed is None or allowed[row]]
    for query in queries:
        products = {
            row: np.float32(sum(float(a) * float(b) for a, b in zip(vectors[row], query, strict=True)))
            for row in possible
        }
        best = sorted(possible, key=lambda row: (-products[row], row))[:k]
        rows.append(best)
        scores.append([products[row] for row in best])
    shape = (len(queries), min(k, len(possible)))
    return np.array(rows, dtype=np.int64).reshape(shape), np.array(scores, dtype=np.float32).reshape(shape)


def brute(vectors, queries, k, allowed):
    """The k-th best score of every query, and how many there are at most."""
    scores = queries @ vectors.T
    scores[:, ~allowed] = -np.inf
    n_best = min(k, int(allowed.sum()))
    return n_best, np.sort(scores, axis=1)[:, ::-1][:, n_best - 1]


@pytest.fixture(scope="module")
def large():
    """6,000 rows, the last 500 newer than any structure; row 1 is row 0 again."""
    vectors = clustered(6000)
    vectors[1] = vectors[0]
    return vectors, clustered(40, seed=5)


@pytest.fixture(scope="module")
def searches(large):
    pytest.importorskip("faiss")
    vectors, _ = large
    made = {}
    for factory in FACTORIES:
        ann = build(Stored(vectors[:5500]), factory=factory, probes={"base": clustered(60, seed=3)})
        made[factory] = RowSearch(Stored(vectors), ann)
    return made


@pytest.mark.parametrize("n_rows", [0, 1, 2, 50, 300])
@pytest.mark.parametrize("n_queries", [0, 1, 2, 33])
@pytest.mark.parametrize("k", [1, 2, 10, 1000])
@pytest.mark.parametrize("few_rows", [0, 256])
def test_exact_search_agrees_with_the_twin(n_rows, n_queries, k, few_rows, monkeypatch):
    monkeypatch.setattr(coded_rows_module, "_FEW_ROWS", few_rows)
    for module in (coded_rows_module, exact_module):
        monkeypatch.setattr(module, "_SCORES_AT_ONCE", 4 * max(1, n_rows))
    rng = np.random.default_rng(n_rows + n_queries + k)
    vectors = rng.normal(size=(n_rows, DIM)).astype(np.float16).astype(np.float32)
    if n_rows:
        vectors[rng.integers(n_rows, size=n_rows // 2)] = vectors[0]
    queries = rng.normal(size=(n_queries, DIM)).astype(np.float32)
    for allowed in (None, rng.random(n_rows) < 0.4, rng.random(n_rows) < 0.03, np.zeros(n_rows, dtype=np.bool_)):
        rows, scores = slow_twin(vectors, queries, k, allowed)
        search = RowSearch(Stored(vectors))
        found = search.search(queries, k, allowed=allowed)
        search.prepare()
        coded = search.search(queries, k, allowed=allowed)
        kept = None if allowed is None else np.flatnonzero(allowed)
        streamed = settle(StoredScan(Stored(vectors), kept), queries, k)
        for result in (found, coded, streamed):
            np.testing.assert_array_equal(result.rows, rows)
            np.testing.assert_array_equal(result.scores, scores)
            assert (result.rows.dtype, result.scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("is_bounded", [True, False])
@pytest.mark.parametrize("n_queries", [1, 5])
@pytest.mark.parametrize("k", [1, 7, 50, 100, 403])
def test_the_best_products_are_those_that_sorting_gives(k, n_queries, is_bounded, monkeypatch):
    monkeypatch.setattr(exact_module, "_BOUNDED_COLUMNS", 0 if is_bounded else 404)
    monkeypatch.setattr(best_module, "_LEAST_GROUP", 1)
    rng = np.random.default_rng(k)
    # Whole numbers, so that many products are equal.
    vectors, queries = (rng.integers(-2, 3, size=(n, DIM)).astype(np.float32) for n in (403, n_queries))
    products = queries @ vectors.T
    rows, scores = product_candidates(vectors, queries, k)
    np.testing.assert_array_equal(np.sort(scores, axis=1), np.sort(products, axis=1)[:, 403 - k :])
    np.testing.assert_array_equal(scores, np.take_along_axis(products, rows, axis=1))
    assert [len(set(line)) for line in rows.tolist()] == [k] * n_queries


@pytest.mark.parametrize("share", SHARES)
def test_exact_search_agrees_for_every_share_of_allowed_rows(large, share):
    vectors, queries = large
    allowed = np.random.default_rng(8).random(len(vectors)) < share
    allowed[77] = True
    found = CodedRows.read(Stored(vectors)).search(queries[:2], 10, allowed=allowed)
    rows, scores = slow_twin(vectors, queries[:2], 10, allowed)
    np.testing.assert_array_equal(found.rows, rows)
    np.testing.assert_array_equal(found.scores, scores)


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("reads_few", [True, False])
def test_structures_agree_for_every_share_of_allowed_rows(large, searches, factory, share, reads_few, monkeypatch):
    if not reads_few:
        # Ask the structure also where the allowed rows would be read.
        monkeypatch.setattr(covered_module, "_FEW_ROWS", 0)
        monkeypatch.setattr(covered_module, "_FEW_SHARE", 10**9)
    vectors, queries = large
    allowed = np.random.default_rng(8).random(len(vectors)) < share
    allowed[77] = True
    n_best, kth = brute(vectors, queries, 10, allowed)
    for n_queries in (1, 40):
        found = searches[factory].search(queries[:n_queries], 10, allowed=allowed)
        assert found.rows.shape == (n_queries, n_best)
        assert allowed[found.rows].all()
        assert (np.diff(found.scores, axis=1) <= 0).all()
        assert all(len(set(line)) == n_best for line in found.rows.tolist())
        exact = np.einsum("qkd,qd->qk", vectors[found.rows].astype(np.float64), queries[:n_queries].astype(np.float64))
        np.testing.assert_array_equal(found.scores, exact.astype(np.float32))
        if reads_few and allowed.sum() <= 2000:
            assert (found.scores[:, -1] >= kth[:n_queries] - 1e-6).all()
        if n_queries == 40:
            assert np.mean(found.scores >= kth[:, None] - 1e-6) >= 0.98


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_filter_against_the_query_loses_nothing(large, searches, factory):
    vectors, queries = large
    query = queries[:1]
    scores = (vectors @ query[0]).astype(np.float32)
    for share in (0.95, 0.5, 0.2):
        allowed = scores < np.quantile(scores, share)
        n_best, kth = brute(vectors, query, 10, allowed)
        found = searches[factory].search(query, 10, allowed=allowed)
        assert found.rows.shape == (1, n_best)
        assert np.mean(found.scores >= kth[:, None] - 1e-6) >= 0.9


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("k", [1, 200, 5999, 7000])
def test_structures_agree_for_every_k(large, searches, factory, k):
    vectors, queries = large
    n_best, kth = brute(vectors, queries, k, np.ones(len(vectors), dtype=np.bool_))
    found = searches[factory].search(queries, k)
    assert found.rows.shape == (40, n_best)
    assert np.mean(found.scores >= kth[:, None] - 1e-6) >= 0.97


def test_no_queries_give_no_rows(searches):
    for search in searches.values():
        found = search.search(np.empty((0, DIM), dtype=np.float32), 5)
        assert found.rows.shape == (0, 5)


def test_equal_scores_keep_the_older_row(large, searches):
    vectors, _ = large
    for search in searches.values():
        newer = np.vstack([vectors, vectors[:1]])
        found = search.extended(Stored(newer)).search(vectors[:1], 3)
        assert found.rows[0].tolist() == [0, 1, 6000]


def test_a_zero_query_gives_the_first_rows():
    vectors = np.random.default_rng(0).normal(size=(100, DIM)).astype(np.float32)
    found = RowSearch(Stored(vectors)).search(np.zeros((1, DIM), dtype=np.float32), 3)
    assert found.rows.tolist() == [[0, 1, 2]]


def test_one_query_scores_as_it_does_in_a_batch():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(500, DIM)).astype(np.float32)
    queries = rng.normal(size=(64, DIM)).astype(np.float32)
    search = RowSearch(Stored(vectors))
    batch = search.search(queries, 5)
    for number in (0, 40):
        alone = search.search(queries[number : number + 1], 5)
        np.testing.assert_array_equal(alone.rows[0], batch.rows[number])
        np.testing.assert_array_equal(alone.scores[0], batch.scores[number])


@pytest.mark.parametrize("storage", get_args(Storage))
def test_stored_rows_score_as_their_vectors_do(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 4)
    row_format = RowFormat(storage, DIM)
    packed = row_format.packed(np.random.default_rng(2).normal(size=(10, DIM)).astype(np.float32))
    appender = segments.SegmentAppender(tmp_path, space="s", row_format=row_format)
    appended = appender.append(packed, segments.tail_behind(None, None, next_file=0))
    query = np.random.default_rng(3).normal(size=DIM).astype(np.float32)
    for shown, n_rows in ((appended.segments, 10), (appended.segments[:1], 4)):
        stored = segments.StoredVectors(tmp_path, shown, row_format=row_format, n_rows=n_rows)
        rows = np.array([n_rows - 1, 0, 2, 2])
        expected = [slow_twin(vector[None, :], query[None, :], 1)[1][0, 0] for vector in stored.take(rows)]
        found = stored.scores(rows, query)
        assert (found.tolist(), found.dtype) == (expected, np.float32)
        assert stored.scores(rows[:0], query).shape == (0,)


def test_top_k_by_hand():
    scores = np.array([[1, 3, 3, 2, 3], [0, 0, 0, 0, 0]], dtype=np.float32)
    assert top_k(scores, 2).rows.tolist() == [[1, 2], [0, 1]]
    assert top_k(scores, 9).rows.tolist() == [[1, 2, 4, 3, 0], [0, 1, 2, 3, 4]]
    assert top_k(np.empty((2, 0), dtype=np.float32), 3).rows.shape == (2, 0)
