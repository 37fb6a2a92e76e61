"""Which training corpus a query looks like."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.types import FloatArray

_SEED = 0
_MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class CorpusGuess:
    """A logistic regression from a base query embedding to its training corpus.

    Attributes:
        coefficients: float32, shape (n_corpora, dim).
        intercepts: float32, shape (n_corpora,).
    """

    coefficients: FloatArray
    intercepts: FloatArray

    @classmethod
    def fit(cls, vectors: Sequence[FloatArray], *, regularisation: float) -> "CorpusGuess":
        """Learn from the pilots of every corpus; each corpus counts the same, however many pilots it has.

        Args:
            vectors: for every corpus float32, shape (n_pilots, dim); n_pilots differ.
            regularisation: inverse strength C of the regression.
        """
        n_corpora = len(vectors)
        if n_corpora < 2:
            dim = vectors[0].shape[1] if vectors else 0
            return cls(np.zeros((n_corpora, dim), dtype=np.float32), np.zeros(n_corpora, dtype=np.float32))
        from sklearn.linear_model import LogisticRegression

        labels = np.repeat(np.arange(n_corpora), [len(own) for own in vectors])
        model = LogisticRegression(
            C=regularisation, class_weight="balanced", max_iter=_MAX_ITERATIONS, random_state=_SEED
        ).fit(np.concatenate(vectors), labels)
        coefficients, intercepts = model.coef_, model.intercept_
        if n_corpora == 2:
            # scikit-learn keeps one row for two classes: the second's logit against the first's.
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercepts)
        return cls(coefficients.astype(np.float32), intercepts.astype(np.float32))

    def probabilities(self, queries: FloatArray) -> FloatArray:
        """Probability of every corpus given the query, float32, shape (n_queries, n_corpora); rows sum to 1."""
        if not len(self.intercepts):
            return np.zeros((len(queries), 0), dtype=np.float32)
        logits = queries @ self.coefficients.T + self.intercepts
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)

    def without(self, corpora: Sequence[int]) -> "CorpusGuess":
        """The guess as if some corpora could not be it: what it gave them is shared among the others in proportion.

        Args:
            corpora: their numbers.
        """
        intercepts = self.intercepts.copy()
        intercepts[list(corpora)] = -np.inf
        return CorpusGuess(self.coefficients, intercepts)
