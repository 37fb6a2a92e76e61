"""Which training corpus a query looks like, and how like it is to that corpus at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.types import FloatArray

_NEIGHBOURS = 5
_LEAST_LIKE, _LIKE_ENOUGH = 0.02, 0.3
_SEED = 0
_MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class CorpusGuess:
    """A logistic regression from a base query embedding to its training corpus, with a similarity gate.

    Attributes:
        coefficients: float32, shape (n_corpora, dim).
        intercepts: float32, shape (n_corpora,).
        floors: float32, shape (n_corpora,); a query less similar to a corpus than this is nothing like it.
        ceilings: float32, shape (n_corpora,); a query more similar than this is like it without reserve.
    """

    coefficients: FloatArray
    intercepts: FloatArray
    floors: FloatArray
    ceilings: FloatArray

    @classmethod
    def fit(cls, vectors: Sequence[FloatArray], *, regularisation: float) -> "CorpusGuess":
        """Learn from the pilots of every corpus; each corpus counts the same, however many pilots it has.

        Args:
            vectors: for every corpus float32, shape (n_pilots, dim); n_pilots differ.
            regularisation: inverse strength C of the regression.
        """
        limits = [_own_similarity(own) for own in vectors]
        floors = np.array([floor for floor, _ in limits], dtype=np.float32)
        ceilings = np.array([ceiling for _, ceiling in limits], dtype=np.float32)
        n_corpora = len(vectors)
        if n_corpora < 2:
            dim = vectors[0].shape[1] if vectors else 0
            zeros = np.zeros((n_corpora, dim), dtype=np.float32)
            return cls(zeros, np.zeros(n_corpora, dtype=np.float32), floors, ceilings)
        from sklearn.linear_model import LogisticRegression

        labels = np.repeat(np.arange(n_corpora), [len(own) for own in vectors])
        model = LogisticRegression(
            C=regularisation, class_weight="balanced", max_iter=_MAX_ITERATIONS, random_state=_SEED
        ).fit(np.concatenate(vectors), labels)
        coefficients, intercepts = model.coef_, model.intercept_
        if n_corpora == 2:
            # scikit-learn keeps one row for two classes: the second's logit against the first's.
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercepts)
        return cls(coefficients.astype(np.float32), intercepts.astype(np.float32), floors, ceilings)

    def probabilities(self, queries: FloatArray) -> FloatArray:
        """Probability of every corpus given the query, float32, shape (n_queries, n_corpora); rows sum to 1."""
        if not len(self.intercepts):
            return np.zeros((len(queries), 0), dtype=np.float32)
        logits = queries @ self.coefficients.T + self.intercepts
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)

    def likeness(self, queries: FloatArray, vectors: Sequence[FloatArray]) -> FloatArray:
        """How like a query is to each corpus: 0 nothing like its pilots, 1 like them without reserve.

        Args:
            queries: float32, shape (n_queries, dim).
            vectors: the pilots that the guess was fitted on.

        Returns:
            float32, shape (n_queries, n_corpora).
        """
        likeness = np.zeros((len(queries), len(vectors)), dtype=np.float32)
        for column, own in enumerate(vectors):
            similarity = _mean_of_nearest(queries @ own.T)
            width = max(float(self.ceilings[column] - self.floors[column]), 1e-6)
            likeness[:, column] = np.clip((similarity - self.floors[column]) / width, 0.0, 1.0)
        return likeness


def _own_similarity(vectors: FloatArray) -> tuple[float, float]:
    """How similar the pilots of one corpus are to each other: nearly the least, and clearly enough."""
    if len(vectors) < 2:
        return 0.0, 1.0
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = _mean_of_nearest(similarity, n_columns=len(vectors) - 1)
    return float(np.quantile(nearest, _LEAST_LIKE)), float(np.quantile(nearest, _LIKE_ENOUGH))


def _mean_of_nearest(similarity: FloatArray, *, n_columns: int | None = None) -> FloatArray:
    n_nearest = min(_NEIGHBOURS, similarity.shape[1] if n_columns is None else n_columns)
    nearest = np.partition(similarity, -n_nearest, axis=1)[:, -n_nearest:]
    return np.asarray(nearest.mean(axis=1), dtype=np.float32)
