"""Exact search over 8-bit codes: what is found, how rows are added, and that the bound on a score's error holds."""

import numkong
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stored_vectors import Stored, clustered

from routeret.index.row_format import RowFormat
from routeret.index.structures import coded_rows
from routeret.index.structures.best import exact_scores, nearly_kth_best, top_k
from routeret.index.structures.coded_rows import CodedRows

NUMBERS = st.floats(-1000, 1000, width=16)


def slow_twin(vectors, queries, k):
    return top_k(np.stack([exact_scores(vectors, query) for query in queries]), k)


def scored_rows(monkeypatch):
    """Which rows are scored exactly, a list a query, filled while searching."""
    seen = []
    best_of = coded_rows.best_of

    def noted(scored, rows, query, k):
        seen.append(rows.tolist())
        return best_of(scored, rows, query, k)

    monkeypatch.setattr(coded_rows, "best_of", noted)
    return seen


def test_only_rows_that_may_be_among_the_best_are_scored_exactly(monkeypatch):
    monkeypatch.setattr(coded_rows, "_FEW_ROWS", 0)
    seen = scored_rows(monkeypatch)
    # A step is 2/127. The codes score 64, 63 and 62 steps: 1.0079, 0.9921 and 0.9764. What they leave has the lengths
    # 0.0088, 0.0083 and 0.0053, so the rows score 0.9991 at the least, and 1.0005 and 0.9817 at the most.
    vectors = np.array([[1, 2, 0.5], [0.9995, 2, 0.5], [0.98, 2, 0.5]], dtype=np.float32)
    # With their opposites the centre is 0.
    vectors = np.concatenate([vectors, -vectors])
    found = CodedRows.read(Stored(vectors)).search(np.array([[1, 0, 0]], dtype=np.float32), 1)
    assert (found.rows.tolist(), found.scores.tolist()) == ([[0]], [[1.0]])
    assert seen == [[0, 1]]


def test_rows_before_the_first_one_are_not_found():
    vectors = np.array([[9, 9], [1, 0], [0, 1], [1, 0]], dtype=np.float32)
    found = CodedRows.read(Stored(vectors), first=1).search(np.array([[1, 0], [0, 1]], dtype=np.float32), 2)
    assert found.rows.tolist() == [[1, 3], [2, 1]]
    assert found.scores.tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("few_rows", [0, 10])
def test_hidden_rows_are_not_found(few_rows, monkeypatch):
    monkeypatch.setattr(coded_rows, "_FEW_ROWS", few_rows)
    vectors = np.array([[1, 0], [0.5, 0], [0.25, 0], [0.125, 0]], dtype=np.float32)
    coded = CodedRows.read(Stored(vectors))
    allowed = np.array([False, True, False, True])
    query = np.array([[1, 0]], dtype=np.float32)
    assert coded.search(query, 1, allowed=allowed).rows.tolist() == [[1]]
    assert coded.search(query, 9, allowed=allowed).scores.tolist() == [[0.5, 0.125]]
    assert coded.search(query, 9, allowed=np.zeros(4, dtype=np.bool_)).rows.shape == (1, 0)


@pytest.mark.parametrize("period", [2, 8, 20])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_rows_that_are_hidden_in_a_pattern_are_not_found(period, k):
    vectors = clustered(9000)
    allowed = np.arange(9000) % period == 1
    found = CodedRows.read(Stored(vectors)).search(vectors[:5], k, allowed=allowed)
    rows = np.flatnonzero(allowed)
    twin = slow_twin(vectors[rows], vectors[:5], k)
    np.testing.assert_array_equal(found.rows, rows[twin.rows])
    np.testing.assert_array_equal(found.scores, twin.scores)


def test_what_all_rows_have_in_common_costs_no_precision(monkeypatch):
    monkeypatch.setattr(coded_rows, "_FEW_ROWS", 0)
    seen = scored_rows(monkeypatch)
    vectors = clustered(2000)
    # In one step for all of a row, 9 would leave 0.07 for each of the other numbers.
    vectors[:, 3] += 9
    CodedRows.read(Stored(vectors)).search(vectors[:5], 10)
    assert max(len(rows) for rows in seen) < 60


def test_scores_beyond_single_precision_are_found_as_what_they_are():
    vectors = np.array([[1e20, 0], [-1e20, 0], [1, 0]], dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore", invalid="ignore"):
        patch.setattr(coded_rows, "_FEW_ROWS", 0)
        found = CodedRows.read(Stored(vectors)).search(np.array([[1e20, 0]], dtype=np.float32), 2)
    assert (found.rows.tolist(), found.scores.tolist()) == ([[0, 2]], [[np.inf, np.float32(1e20)]])


def test_a_row_is_coded_again_no_oftener_than_the_number_of_rows_doubles():
    vectors = clustered(1000)
    stored = Stored(vectors)
    coded = CodedRows(Stored(vectors[:0]), 0)
    for n_rows in range(1, 1001):
        part = Stored(vectors[:n_rows])
        coded = coded.grown(part)
        stored.read += part.read
    # Once to be coded, and once for the centre where all are coded.
    assert max(np.bincount(stored.read)) <= 20
    # 1000 is 1111101000 in binary.
    assert [len(part) for part in coded._parts] == [512, 256, 128, 64, 32, 8]
    found = coded.search(vectors[:40], 3)
    twin = slow_twin(vectors, vectors[:40], 3)
    np.testing.assert_array_equal(found.rows, twin.rows)
    np.testing.assert_array_equal(found.scores, twin.scores)


def test_two_may_grow_from_one():
    first = np.ones((2, 3), dtype=np.float32)
    query = np.array([[1, 0, 0]], dtype=np.float32)
    coded = CodedRows.read(Stored(first))
    grown = {value: coded.grown(Stored(np.vstack([first, np.full((1, 3), value)]))) for value in (2.0, 3.0)}
    assert [grown[value].search(query, 1).scores.tolist() for value in (2.0, 3.0)] == [[[2.0]], [[3.0]]]
    assert coded.search(query, 9).rows.tolist() == [[0, 1]]
    assert len(coded.grown(Stored(first))) == 2


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_rows_and_queries_give_what_the_twin_gives(data):
    n_rows, dim, n_queries = (data.draw(st.integers(1, most)) for most in (40, 9, 3))
    vectors = data.draw(arrays(np.float16, (n_rows, dim), elements=NUMBERS)).astype(np.float32)
    queries = data.draw(arrays(np.float16, (n_queries, dim), elements=NUMBERS)).astype(np.float32)
    k = data.draw(st.integers(1, n_rows + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coded_rows, "_FEW_ROWS", 0)
        patch.setattr(coded_rows, "_SCORES_AT_ONCE", n_rows)
        found = CodedRows.read(Stored(vectors)).search(queries, k)
    twin = slow_twin(vectors, queries, k)
    np.testing.assert_array_equal(found.rows, twin.rows)
    np.testing.assert_array_equal(found.scores, twin.scores)


@pytest.mark.parametrize("scale", [1e-38, 1e-6, 1, 1e6, 1e15])
@pytest.mark.parametrize("dim", [1, 3, 64, 384, 1500])
def test_no_score_differs_from_that_of_the_codes_by_more_than_the_bound(dim, scale):
    rng = np.random.default_rng(dim)
    vectors = (scale * rng.normal(size=(600, dim))).astype(np.float32)
    vectors[7] = 0
    vectors[8, 1:] = 0
    queries = np.vstack([rng.normal(size=(5, dim)), np.zeros((1, dim))]).astype(np.float32)
    coded = CodedRows.read(Stored(vectors))
    scores, missed = coded._scores(queries)
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    bounds = lengths[:, None] * coded._errors + missed[:, None]
    centre = vectors.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(coded._centre, centre, rtol=1e-6, atol=1e-44)
    beside = vectors.astype(np.float64) - coded._centre.astype(np.float64)
    assert (np.abs(scores - queries.astype(np.float64) @ beside.T) <= bounds).all()
    # A code is off by half a step at most, a step is a 127th of a row's largest number.
    steps = np.maximum(np.abs(beside).max(axis=1) / 127, np.finfo(np.float32).tiny)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1) + np.linalg.norm(centre)
    assert (coded._errors <= 1.001 * steps / 2 * dim**0.5 + 2e-5 * norms).all()


def test_the_bound_of_the_best_is_one_that_so_many_reach():
    scores = np.random.default_rng(0).normal(size=(3, 2000)).astype(np.float32)
    for k in (1, 5, 50, 2000):
        kth = np.sort(scores, axis=1)[:, ::-1][:, k - 1]
        bounds = nearly_kth_best(scores, k)
        assert (bounds <= kth).all()
        # Half a percent of 2,000 scores at the most stand between the bound and what it is near to.
        assert ((scores >= bounds[:, None]).sum(axis=1) <= k + 10).all()


@pytest.mark.parametrize("n_rows", [1, 17])
@pytest.mark.parametrize("dim", [1, 63, 64, 384, 1000])
def test_the_product_of_bytes_is_that_of_whole_numbers(dim, n_rows):
    rng = np.random.default_rng(dim)
    codes = rng.integers(-127, 128, size=(n_rows, dim), dtype=np.int8)
    codes[0] = -127
    others = np.vstack([rng.integers(-127, 128, size=(5, dim), dtype=np.int8), np.full((1, dim), 127, dtype=np.int8)])
    products = np.asarray(numkong.dots_packed(others, numkong.dots_pack(codes)))
    np.testing.assert_array_equal(products, others.astype(np.int64) @ codes.T.astype(np.int64))
    assert products[-1, 0] == -127 * 127 * dim


def test_every_number_of_half_precision_is_read_as_it_is():
    halves = np.arange(2**16, dtype=np.uint16).view("<f2").reshape(256, 256)
    numbers = RowFormat("fp16", 256).unpacked(halves)
    assert numbers.dtype == np.float32
    np.testing.assert_array_equal(numbers, halves.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(numbers[:, :1]), np.signbit(halves[:, :1]))
