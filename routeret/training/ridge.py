"""Fits the map of a linear expert to a few labelled queries, held small by a ridge; a fraction of a second."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from routeret.errors import InputError, TrainingDivergedError
from routeret.training.losses import many_positives
from routeret.training.recipe_numbers import require_above_zero, require_at_least_zero, require_finite
from routeret.training.training_set import TrainingSet
from routeret.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class RidgeRecipe:
    """How a map is fitted to a few queries; the defaults did best on dev splits, the corpus tuned left out.

    Attributes:
        temperature: what cosines are divided by. Higher than where thousands of queries teach: the loss then looks at
            more documents of every query, which a few queries need.
        ridge: what the square of the map's size costs, over the number of queries.
        stretch: what the fitted map is multiplied by. A ridge that keeps the directions right makes the map too small.
        n_random: documents drawn at random that every query is compared with,
        n_hard: and those that score highest for each query before it is mapped, which all are compared with.
        n_positives: answers drawn a query, at most.
        steps: of the optimiser, at most.
    """

    temperature: float = 0.06
    ridge: float = 30.0
    stretch: float = 1.25
    n_random: int = 500
    n_hard: int = 30
    n_positives: int = 16
    steps: int = 20

    def __post_init__(self) -> None:
        """Refuse settings without a meaning.

        Raises:
            InputError: a setting is outside its range, or no finite number.
        """
        require_finite(self)
        require_above_zero(self, "temperature", "ridge", "stretch", "n_random", "n_positives", "steps")
        require_at_least_zero(self, "n_hard")


def fit_ridge(
    source: TrainingSet, *, recipe: RidgeRecipe | None = None, unit_length: bool = True, seed: int = 0
) -> FloatArray:
    """Fit a map to some queries, all at once.

    It is a multinomial logistic regression over documents with a ridge: the mean over queries of
    :func:`~routeret.training.losses.many_positives`, plus ``ridge / (2 n) ||W||^2``, where queries have length 1. So
    W = A^T Q with the queries Q (the representer theorem: Kimeldorf and Wahba, 1971), and only the n rows of A are
    looked for, by L-BFGS. A query that has nothing in common with the labelled ones is not turned at all, where steps
    of Adam, which are alike in every entry of W, turn it at random.

    Args:
        source: the queries; hard negatives of its own and likely answers are left alone.
        recipe: the defaults where None.
        unit_length: whether vectors of the space have length 1.
        seed: fixes the draws.

    Returns:
        W, stretched, float32, shape (dim, dim); a query q becomes q + s W q.

    Raises:
        InputError: dimensions differ, or all queries are zero.
        TrainingDivergedError: the map came to numbers that are not finite.
    """
    import torch

    recipe = recipe or RidgeRecipe()
    problem = _Problem(source, recipe, np.random.default_rng(seed), unit_length=unit_length)
    rows = torch.zeros(source.queries.shape, requires_grad=True)
    optimizer = torch.optim.LBFGS([rows], max_iter=recipe.steps, history_size=10, line_search_fn="strong_wolfe")

    def loss() -> float:
        optimizer.zero_grad()
        value = problem.loss(rows)
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weight: FloatArray = recipe.stretch * problem.weight(rows.detach())
    if not np.isfinite(weight).all():
        raise TrainingDivergedError(
            f"the map that was fitted to {len(source.queries)} queries of set {source.name!r} is not finite, expected "
            f"finite numbers; look at their vectors, or raise the ridge from {recipe.ridge}"
        )
    return weight


class _Problem:
    """The loss of a map as a function of the rows of A."""

    def __init__(
        self, source: TrainingSet, recipe: RidgeRecipe, rng: np.random.Generator, *, unit_length: bool
    ) -> None:
        import torch

        if source.documents.shape[1] != source.queries.shape[1]:
            raise InputError(
                f"training set {source.name!r} has queries of {source.queries.shape[1]} and documents of "
                f"{source.documents.shape[1]} dimensions; expected the same"
            )
        self._unit_length = unit_length
        positives = [_drawn(rows, recipe.n_positives, rng) for rows in source.positives]
        candidates = _candidates(source, positives, recipe, rng)
        self._queries = torch.from_numpy(np.ascontiguousarray(source.queries, dtype=np.float32))
        products = self._queries @ self._queries.T
        self._size = float(products.diagonal().mean())
        if self._size == 0:
            raise InputError(f"all {len(source.queries)} queries of set {source.name!r} are zero; embed them again")
        self._kernel = products / self._size
        self._documents = torch.from_numpy(np.ascontiguousarray(source.documents[candidates], dtype=np.float32))
        self._companions = None if source.companions is None else torch.from_numpy(source.companions)
        self._added = None
        if source.added_scores is not None:
            self._added = torch.from_numpy(source.added_scores[:, candidates].astype(np.float32))
        self._is_positive = torch.from_numpy(_marked(positives, candidates))
        self._answers = torch.from_numpy(_marked(source.positives, candidates))
        self._scale = source.scale(recipe.temperature, unit_length=unit_length)
        self._ridge = recipe.ridge / len(source.queries)

    def loss(self, rows: "torch.Tensor") -> "torch.Tensor":
        """Of A, shape (n_queries, dim)."""
        shift = self._kernel @ rows
        scores = self._mapped(shift) @ self._documents.T
        if self._added is not None:
            scores = scores + self._added
        error = many_positives(scores / self._scale, self._is_positive, against="negatives", ignored=self._answers)
        return error + self._ridge / 2 * (rows * shift).sum()

    def weight(self, rows: "torch.Tensor") -> FloatArray:
        """The map of A, shape (dim, dim)."""
        weight: FloatArray = (rows.T @ self._queries / self._size).numpy()
        return weight

    def _mapped(self, shift: "torch.Tensor") -> "torch.Tensor":
        mapped = self._unit(self._queries + shift)
        return mapped if self._companions is None else self._unit((mapped + self._companions) / 2)

    def _unit(self, vectors: "torch.Tensor") -> "torch.Tensor":
        import torch

        return torch.nn.functional.normalize(vectors, dim=1) if self._unit_length else vectors


def _drawn(rows: IntArray, most: int, rng: np.random.Generator) -> IntArray:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


def _candidates(
    source: TrainingSet, positives: list[IntArray], recipe: RidgeRecipe, rng: np.random.Generator
) -> IntArray:
    """The rows of the documents that all queries are compared with, rising."""
    n_documents = len(source.documents)
    scores = source.queries @ source.documents.T
    if source.added_scores is not None:
        scores = scores + source.added_scores
    n_hard = min(recipe.n_hard, n_documents)
    hardest = np.argpartition(-scores, n_hard - 1, axis=1)[:, :n_hard] if n_hard else np.zeros(0, dtype=np.int64)
    random = rng.choice(n_documents, min(recipe.n_random, n_documents), replace=False)
    candidates: IntArray = np.unique(np.concatenate([random, hardest.ravel(), *positives]))
    return candidates


def _marked(rows_by_query: tuple[IntArray, ...] | list[IntArray], candidates: IntArray) -> BoolArray:
    """Which candidates are among the rows of every query, shape (n_queries, n_candidates)."""
    return np.stack([np.isin(candidates, rows) for rows in rows_by_query])
