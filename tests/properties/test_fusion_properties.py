import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routeret.fusion import NEGLIGIBLE, mix_queries, reciprocal_rank_fusion, score_fusion

rankings = st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=4)
weights = st.floats(0, 1, width=32)
cosines = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8)


def ints(lists):
    return [np.array(values, dtype=np.int64) for values in lists]


def slow_rank_fusion(lists, constant):
    """Scores by document, one document at a time."""
    unique = [list(dict.fromkeys(values)) for values in lists]
    documents = sorted({document for values in unique for document in values})
    return {
        document: math.fsum(1 / (constant + values.index(document) + 1) for values in unique if document in values)
        for document in documents
    }


@given(rankings, st.integers(1, 15), st.integers(0, 60))
def test_rank_fusion_is_its_slow_twin(lists, k, constant):
    found = reciprocal_rank_fusion(ints(lists), k, constant=constant)
    expected = slow_rank_fusion(lists, constant)
    assert len(found.rows[0]) == min(k, len(expected))
    for document, score in zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True):
        assert math.isclose(score, expected[document], rel_tol=1e-6)
    ranked = sorted(expected.values(), reverse=True)[:k]
    np.testing.assert_allclose(found.scores[0], ranked, rtol=1e-6)


@given(rankings, st.integers(1, 15), st.randoms(use_true_random=False))
def test_the_order_of_the_rankings_does_not_matter(lists, k, random):
    shuffled = random.sample(lists, len(lists))
    found, again = (reciprocal_rank_fusion(ints(values), k) for values in (lists, shuffled))
    np.testing.assert_array_equal(found.rows, again.rows)
    np.testing.assert_array_equal(found.scores, again.scores)


@given(rankings, st.integers(0, 12))
def test_one_more_first_place_never_lowers_a_document(lists, document):
    def score(values):
        found = reciprocal_rank_fusion(ints(values), 100)
        return dict(zip(found.rows[0].tolist(), found.scores[0].tolist(), strict=True)).get(document, 0.0)

    assert score([*lists, [document]]) > score(lists)


@given(rankings)
def test_a_repeated_document_counts_once(lists):
    repeated = [[document for document in values for _ in range(2)] for values in lists]
    np.testing.assert_array_equal(
        reciprocal_rank_fusion(ints(lists), 100).scores, reciprocal_rank_fusion(ints(repeated), 100).scores
    )


def test_the_best_lexical_score_counts_its_weight_however_small_it_is():
    smallest = np.float32(1.4e-45)
    dense, lexical = np.zeros((1, 2), dtype=np.float32), np.array([[smallest, 0]], dtype=np.float32)
    fused = score_fusion(dense, lexical, weights=np.array([0.5], dtype=np.float32), best=lexical.max(axis=1))
    np.testing.assert_array_equal(fused, [[0.5, 0.0]])


@given(cosines, weights, st.data())
def test_score_fusion_is_its_slow_twin_and_weight_zero_is_the_dense_ranking(dense, weight, data):
    lexical = data.draw(st.lists(st.floats(0, 50, width=32), min_size=len(dense), max_size=len(dense)))
    best = max(lexical)
    arrays = [np.array([values], dtype=np.float32) for values in (dense, lexical)]
    fused = score_fusion(
        *arrays, weights=np.array([weight], dtype=np.float32), best=np.array([best], dtype=np.float32)
    )[0]
    slow = [cosine + (weight * score / best if best > 0 else 0.0) for cosine, score in zip(dense, lexical, strict=True)]
    np.testing.assert_allclose(fused, slow, atol=1e-5)
    assert all(fused >= np.array(dense, dtype=np.float32))
    if weight == 0:
        np.testing.assert_array_equal(fused, arrays[0][0])


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_a_mixture_is_its_slow_twin_and_does_not_depend_on_the_order(n_vectors, n_queries, seed):
    rng = np.random.default_rng(seed)
    vectors = [rng.normal(size=(n_queries, 3)).astype(np.float32) for _ in range(n_vectors)]
    shares = rng.dirichlet(np.ones(n_vectors), size=n_queries).astype(np.float32)
    mixed = mix_queries(vectors, weights=shares)
    for query in range(n_queries):
        slow = sum(
            float(share) * vector[query].astype(float) for share, vector in zip(shares[query], vectors, strict=True)
        )
        alone = shares[query].max() >= 1 - NEGLIGIBLE
        if not alone and np.linalg.norm(slow) > 1e-3:
            np.testing.assert_allclose(mixed[query], slow / np.linalg.norm(slow), atol=1e-5)
    np.testing.assert_allclose(mixed, mix_queries(vectors[::-1], weights=shares[:, ::-1]), atol=1e-4)
