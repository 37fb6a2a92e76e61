"""A map from a few queries, held small by a ridge: against plain gradient descent on the whole matrix."""

import numpy as np
import pytest
import torch

from routeret.errors import InputError, TrainingDivergedError
from routeret.training.losses import many_positives
from routeret.training.ridge import RidgeRecipe, fit_ridge
from routeret.training.training_set import TrainingSet


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def some_set(n=6, n_documents=12, dim=5, scale=1.0, **changes):
    rng = np.random.default_rng(0)
    queries = (scale * unit(rng.normal(size=(n, dim)))).astype(np.float32)
    documents = (scale * unit(rng.normal(size=(n_documents, dim)))).astype(np.float32)
    positives = tuple(np.array([number, n + number % 3], dtype=np.int64) for number in range(n))
    return TrainingSet("some", queries, documents, positives, **changes)


def plain_fit(source, recipe, unit_length):
    """Adam on every entry of W, the loss over all documents written out."""
    queries, documents = torch.from_numpy(source.queries), torch.from_numpy(source.documents)
    is_positive = torch.zeros(len(queries), len(documents), dtype=torch.bool)
    for number, rows in enumerate(source.positives):
        is_positive[number, torch.from_numpy(rows)] = True
    weight = torch.zeros(queries.shape[1], queries.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.05)
    size = queries.square().sum(dim=1).mean()
    scale = source.scale(recipe.temperature, unit_length=unit_length)

    def unit_of(vectors):
        return torch.nn.functional.normalize(vectors, dim=1) if unit_length else vectors

    for step in range(500):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 500)
        mapped = unit_of(queries + queries @ weight.T)
        if source.companions is not None:
            mapped = unit_of((mapped + torch.from_numpy(source.companions)) / 2)
        scores = mapped @ documents.T
        if source.added_scores is not None:
            scores = scores + torch.from_numpy(source.added_scores)
        loss = many_positives(scores / scale, is_positive, against="negatives")
        loss = loss + recipe.ridge / (2 * len(queries)) * size * weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return weight.detach().numpy()


@pytest.mark.parametrize("case", ["plain", "added", "companions", "long"])
def test_it_finds_what_gradient_descent_on_the_whole_matrix_finds(case):
    rng = np.random.default_rng(1)
    changes = {
        "plain": {},
        "added": {"added_scores": rng.random((6, 12)).astype(np.float32)},
        "companions": {"companions": unit(rng.normal(size=(6, 5)))},
        "long": {"scale": 3.0},
    }[case]
    source, recipe = some_set(**changes), RidgeRecipe(temperature=0.3, ridge=10.0, steps=200, stretch=1.0)
    unit_length = case != "long"
    found = fit_ridge(source, recipe=recipe, unit_length=unit_length)
    np.testing.assert_allclose(found, plain_fit(source, recipe, unit_length), atol=2e-3)


def test_what_has_nothing_in_common_with_the_queries_is_not_turned():
    queries = np.eye(6, dtype=np.float32)[:3]
    documents = unit(np.random.default_rng(0).normal(size=(9, 6)))
    source = TrainingSet("three", queries, documents, tuple(np.array([number]) for number in range(3)))
    weight = fit_ridge(source)
    assert np.abs(weight[:, :3]).max() > 0.01
    np.testing.assert_array_equal(weight[:, 3:], np.zeros((6, 3)))


def test_a_higher_ridge_gives_a_smaller_map():
    sizes = [np.linalg.norm(fit_ridge(some_set(), recipe=RidgeRecipe(ridge=ridge))) for ridge in (1, 10, 100)]
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_the_map_is_stretched_after_it_is_fitted():
    plain = fit_ridge(some_set(), recipe=RidgeRecipe(stretch=1.0))
    np.testing.assert_allclose(fit_ridge(some_set(), recipe=RidgeRecipe(stretch=1.5)), 1.5 * plain, rtol=1e-6)


def test_documents_that_nobody_drew_count_if_they_score_high():
    source = some_set(n_documents=400)
    few = RidgeRecipe(n_random=1, n_hard=400)
    every = RidgeRecipe(n_random=400, n_hard=0)
    np.testing.assert_allclose(fit_ridge(source, recipe=few), fit_ridge(source, recipe=every), atol=1e-4)
    # All that counts is among the highest hundred: the others' share of the softmax is small.
    some = fit_ridge(source, recipe=RidgeRecipe(n_random=1, n_hard=100))
    assert np.linalg.norm(some - fit_ridge(source, recipe=every)) < 0.2 * np.linalg.norm(some)


def test_a_seed_fixes_the_draws():
    source, recipe = some_set(n_documents=200), RidgeRecipe(n_random=20, n_hard=1, n_positives=1)
    first, again, other = (fit_ridge(source, recipe=recipe, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_cannot_be_fitted_is_refused():
    source = some_set()
    with pytest.raises(InputError, match="queries of 5 and documents of 4 dimensions"):
        fit_ridge(TrainingSet("some", source.queries, source.documents[:, :4], source.positives))
    with pytest.raises(InputError, match="all 6 queries of set 'some' are zero"):
        fit_ridge(TrainingSet("some", 0 * source.queries, source.documents, source.positives))
    with pytest.raises(TrainingDivergedError, match="6 queries of set 'some' is not finite"):
        fit_ridge(some_set(added_scores=np.full((6, 12), np.inf, dtype=np.float32)))
    with pytest.raises(InputError, match="ridge"):
        RidgeRecipe(ridge=0.0)
    with pytest.raises(InputError, match="n_hard"):
        RidgeRecipe(n_hard=-1)
