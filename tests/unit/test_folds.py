"""Folds of labelled queries: none has a twin on the other side."""

import numpy as np
import pytest

from routeret.errors import InputError
from routeret.training import folds
from routeret.training.folds import folds_of


def directions(n, *, dim=16, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [512, 7])
def test_queries_that_differ_by_rounding_share_a_fold(monkeypatch, block):
    monkeypatch.setattr(folds, "_BLOCK", block)
    queries = directions(60)
    twins = queries + np.float32(1e-7) * np.random.default_rng(1).choice([-1, 1], size=queries.shape)
    twins = twins.astype(np.float32)
    assert (twins != queries).any(axis=1).sum() == 60
    found = folds_of(np.concatenate([queries, twins]), seed=3)
    np.testing.assert_array_equal(found[:60], found[60:])
    assert np.bincount(found).tolist() == [24] * 5  # 60 pairs, 12 in every fold


def test_a_chain_of_nearly_equal_queries_is_one():
    # Steps of 0.003 in angle: a cosine of 1 - 4.5e-6 to the next one, of 1 - 1.8e-5 to the next but one.
    angles = np.array([0, 0.003, 0.006, 1.0, 2.0])
    queries = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    for seed in range(5):
        found = folds_of(queries, seed=seed)
        assert found[0] == found[1] == found[2]
        assert sorted({found[0], found[3], found[4]}) == [0, 1, 2]


def test_queries_that_only_resemble_each_other_are_two():
    # An angle of 0.01 is a cosine of 1 - 5e-5.
    queries = np.array([[1, 0], [np.cos(0.01), np.sin(0.01)]], dtype=np.float32)
    assert sorted(folds_of(queries, seed=0)) == [0, 1]


def test_vectors_need_not_have_length_one_and_none_is_a_query_of_its_own():
    queries = np.array([[3, 0], [0.5, 0], [0, 0], [0, 0], [0, 2]], dtype=np.float32)
    found = folds_of(queries, seed=0)
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert len(set(found.tolist())) == 3


def test_the_same_query_alone_is_refused():
    queries = np.tile(directions(1), (3, 1)) * np.float32(1 + 1e-7) ** np.arange(3, dtype=np.float32)[:, None]
    with pytest.raises(InputError, match="all 3 labelled queries are the same"):
        folds_of(queries, seed=0)
