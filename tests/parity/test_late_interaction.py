"""Soft late interaction against loops over tokens, at both ends of the temperature and in between."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeret import late_interaction
from routeret.errors import InputError
from routeret.late_interaction import PooledTargets, TokenTargets, soft_late_interaction

TEMPERATURES = [0.0, 0.05, 0.1, 1.0, 30.0, math.inf]


def floats(*rows):
    return np.array(rows, dtype=np.float32)


def unit(array):
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def slow_softmax(values, temperature):
    if temperature == 0:
        is_best = [value == max(values) for value in values]
        return [best / sum(is_best) for best in is_best]
    shares = [math.exp((value - max(values)) / temperature) for value in values]
    return [share / sum(shares) for share in shares]


def slow_pooled(tokens, target, temperature):
    weights = slow_softmax([token @ target for token in tokens], temperature)
    return sum(weight * cosine(token, target) for weight, token in zip(weights, tokens, strict=True))


def slow_tokens(tokens, target, temperature):
    total = 0.0
    for token in tokens:
        weights = slow_softmax([token @ other for other in target], temperature)
        total += sum(weight * cosine(token, other) for weight, other in zip(weights, target, strict=True))
    return total / len(tokens)


def random_case(seed, *, n_targets=40, dim=6):
    """Queries of 1 to 9 tokens, pooled targets, and targets of 1 to 5 tokens; vectors of many lengths."""
    rng = np.random.default_rng(seed)
    queries = [rng.normal(size=(n, dim)).astype(np.float32) for n in (1, 4, 9, 2)]
    counts = rng.integers(1, 6, n_targets)
    tokens = rng.normal(size=(int(counts.sum()), dim)).astype(np.float32)
    return queries, rng.normal(size=(n_targets, dim)).astype(np.float32), tokens, counts


@pytest.fixture(params=[1 << 16, 40], ids=["one block", "many blocks"])
def _block_size(request, monkeypatch):
    monkeypatch.setattr(late_interaction, "_SCORES_AT_ONCE", request.param)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("seed", range(3))
def test_pooled_targets_agree_with_loops(seed, temperature):
    queries, pooled, _, _ = random_case(seed)
    scores = soft_late_interaction(queries, PooledTargets.of(pooled), temperature=temperature)
    expected = [[slow_pooled(tokens, target, temperature) for target in pooled] for tokens in queries]
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("seed", range(3))
def test_token_targets_agree_with_loops(seed, temperature):
    queries, _, tokens, counts = random_case(seed)
    scores = soft_late_interaction(queries, TokenTargets.of(tokens, counts), temperature=temperature)
    parts = np.split(tokens, np.cumsum(counts)[:-1])
    expected = [[slow_tokens(query, target, temperature) for target in parts] for query in queries]
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_pooled_by_hand():
    # Inner products 3 and 0, cosines 1 and 0; at temperature 3 / ln 2 the first weighs twice as much as the second.
    query, targets = floats([3, 0], [0, 1]), PooledTargets.of(floats([1, 0]))
    for temperature, expected in [(0, 1), (3 / math.log(2), 2 / 3), (math.inf, 1 / 2)]:
        assert soft_late_interaction([query], targets, temperature=temperature)[0, 0] == pytest.approx(expected)


def test_tokens_by_hand():
    # The first query token meets the target's first token (cosine 1) and not its second, the other neither.
    query = floats([3, 0, 0], [0, 0, 1])
    targets = TokenTargets.of(floats([1, 0, 0], [0, 1, 0]), np.array([2]))
    for temperature, expected in [(0, 1 / 2), (3 / math.log(2), 1 / 3), (math.inf, 1 / 4)]:
        assert soft_late_interaction([query], targets, temperature=temperature)[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-60, 1e-5])
def test_temperature_towards_zero_is_maxsim(temperature):
    queries, pooled, tokens, counts = random_case(4)
    queries, pooled, tokens = [unit(query) for query in queries], unit(pooled), unit(tokens)
    scores = soft_late_interaction(queries, PooledTargets.of(pooled), temperature=temperature)
    np.testing.assert_allclose(scores, [(query @ pooled.T).max(axis=0) for query in queries], atol=1e-5)
    scores = soft_late_interaction(queries, TokenTargets.of(tokens, counts), temperature=temperature)
    parts = np.split(tokens, np.cumsum(counts)[:-1])
    expected = [[(query @ part.T).max(axis=1).mean() for part in parts] for query in queries]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("temperature", [math.inf, 1e300, 1e7])
def test_uniform_weights_are_mean_similarity(temperature):
    queries, pooled, tokens, counts = random_case(5)
    scores = soft_late_interaction(queries, PooledTargets.of(pooled), temperature=temperature)
    np.testing.assert_allclose(scores, [(unit(query) @ unit(pooled).T).mean(axis=0) for query in queries], atol=1e-5)
    scores = soft_late_interaction(queries, TokenTargets.of(tokens, counts), temperature=temperature)
    parts = np.split(unit(tokens), np.cumsum(counts)[:-1])
    expected = [[(unit(query) @ part.T).mean() for part in parts] for query in queries]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@given(seed=st.integers(0, 10**6), low=st.floats(0, 5, width=32), more=st.floats(0, 5, width=32))
def test_scores_of_unit_vectors_fall_as_the_temperature_rises(seed, low, more):
    queries, pooled, tokens, counts = random_case(seed, n_targets=8)
    queries = [unit(query) for query in queries]
    for targets in (PooledTargets.of(unit(pooled)), TokenTargets.of(unit(tokens), counts)):
        ends = [soft_late_interaction(queries, targets, temperature=end) for end in (0.0, low, low + more, math.inf)]
        assert all((colder >= warmer - 1e-5).all() for colder, warmer in zip(ends, ends[1:], strict=False))
        assert max(np.abs(scores).max() for scores in ends) <= 1 + 1e-5


def test_a_query_of_one_token_is_its_cosine_at_every_temperature():
    token, pooled = floats([2, 1, 0]), floats([1, 0, 0], [0, 3, 0], [0, 0, 1])
    for temperature in TEMPERATURES:
        scores = soft_late_interaction([token], PooledTargets.of(pooled), temperature=temperature)
        np.testing.assert_allclose(scores, [[2 / math.sqrt(5), 1 / math.sqrt(5), 0]], atol=1e-6)
        one_each = TokenTargets.of(pooled, np.ones(3, dtype=np.int64))
        np.testing.assert_allclose(soft_late_interaction([token], one_each, temperature=temperature), scores, atol=1e-6)


def test_at_zero_equal_tokens_share():
    # Both tokens have inner product 1 with the target; cosines 1 and 1/2.
    query, target = floats([1, 0], [1, math.sqrt(3)]), PooledTargets.of(floats([1, 0]))
    assert soft_late_interaction([query], target, temperature=0)[0, 0] == pytest.approx(0.75)
    assert soft_late_interaction([query], target, temperature=1e-9)[0, 0] == pytest.approx(0.75)


@pytest.mark.parametrize("temperature", [0.0, 0.1, math.inf])
def test_candidates_have_the_scores_that_they_have_among_all(temperature):
    queries, pooled, tokens, counts = random_case(6)
    candidates = np.array([[3, 39, 0], [-1, 7, -1], [5, 5, 5], [-1, -1, -1]])
    for targets in (PooledTargets.of(pooled), TokenTargets.of(tokens, counts)):
        whole = soft_late_interaction(queries, targets, temperature=temperature)
        expected = np.where(candidates >= 0, np.take_along_axis(whole, candidates, axis=1), -np.inf)
        scores = soft_late_interaction(queries, targets, temperature=temperature, candidates=candidates)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_nothing_to_score_gives_nothing():
    queries, pooled, tokens, counts = random_case(7)
    nothing = np.zeros((4, 0), dtype=np.int64)
    no_counts = np.zeros(0, dtype=np.int64)
    for targets in (PooledTargets.of(pooled), TokenTargets.of(tokens, counts)):
        assert soft_late_interaction(queries, targets, temperature=1, candidates=nothing).shape == (4, 0)
        assert soft_late_interaction([], targets, temperature=1).shape == (0, 40)
        assert soft_late_interaction([], targets, temperature=1, candidates=nothing[:0]).shape == (0, 0)
    for empty in (PooledTargets.of(pooled[:0]), TokenTargets.of(tokens[:0], no_counts)):
        assert soft_late_interaction(queries, empty, temperature=1).shape == (4, 0)


def test_vectors_of_length_zero_score_zero():
    nought, queries = floats([0, 0]), [floats([0, 0], [0, 0])]
    for temperature in TEMPERATURES:
        assert soft_late_interaction(queries, PooledTargets.of(nought), temperature=temperature).tolist() == [[0]]
        one = TokenTargets.of(nought, np.array([1]))
        assert soft_late_interaction(queries, one, temperature=temperature).tolist() == [[0]]


@pytest.mark.parametrize("temperature", [0.0, 1e-30, 0.1])
def test_long_vectors_stay_in_range(temperature):
    queries, pooled, tokens, counts = random_case(8)
    for targets in (PooledTargets.of(1e9 * pooled), TokenTargets.of(1e9 * tokens, counts)):
        scores = soft_late_interaction([1e9 * query for query in queries], targets, temperature=temperature)
        assert np.abs(scores).max() <= 1 + 1e-5


def test_half_precision_targets_are_scored_in_single():
    queries, pooled, tokens, counts = random_case(9)
    half, half_tokens = pooled.astype(np.float16), tokens.astype(np.float16)
    for single, stored in [
        (PooledTargets.of(half.astype(np.float32)), PooledTargets.of(half)),
        (TokenTargets.of(half_tokens.astype(np.float32), counts), TokenTargets.of(half_tokens, counts)),
    ]:
        scores = soft_late_interaction(queries, stored, temperature=0.1)
        assert scores.dtype == np.float32
        np.testing.assert_array_equal(scores, soft_late_interaction(queries, single, temperature=0.1))


def test_a_target_longer_than_a_block_is_scored_whole(monkeypatch):
    monkeypatch.setattr(late_interaction, "_VECTORS_AT_ONCE", 2)
    queries, _, tokens, _ = random_case(10)
    counts = np.array([5, 1, 1, 3])
    scores = soft_late_interaction(queries, TokenTargets.of(tokens[:10], counts), temperature=1)
    expected = slow_tokens(queries[1], tokens[:5], 1)
    assert scores[1, 0] == pytest.approx(expected, abs=1e-5)


def test_what_does_not_fit_is_refused():
    targets = PooledTargets.of(floats([1, 0], [0, 1]))
    query = floats([1, 1])
    for temperature in (-0.1, math.nan):
        with pytest.raises(InputError, match="temperature"):
            soft_late_interaction([query], targets, temperature=temperature)
    with pytest.raises(InputError, match=r"query 1 has token vectors of shape \(0, 2\)"):
        soft_late_interaction([query, query[:0]], targets, temperature=1)
    with pytest.raises(InputError, match=r"\(n_tokens, 2\)"):
        soft_late_interaction([floats([1, 1, 1])], targets, temperature=1)
    with pytest.raises(InputError, match=r"expected \(1, n_candidates\)"):
        soft_late_interaction([query], targets, temperature=1, candidates=np.zeros((2, 1), dtype=np.int64))
    for row in (-2, 2):
        with pytest.raises(InputError, match="expected 0 to 1"):
            soft_late_interaction([query], targets, temperature=1, candidates=np.array([[row]]))
    with pytest.raises(InputError, match=r"target vectors have shape \(2,\)"):
        PooledTargets.of(query[0])
    for counts in ([2, 0], [1]):
        with pytest.raises(InputError, match="expected 2 together, and at least 1 each"):
            TokenTargets.of(floats([1, 0], [0, 1]), np.array(counts))
