"""Routers that learn to tell which expert does best on a query, two baselines of RouterRetriever's paper."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import best_by_corpus, names_of, picked, strengths_of
from routeret.routing.pilots import PilotLibrary
from routeret.routing.settings import RouterSettings
from routeret.types import FloatArray, IntArray, QueryBatch

REGULARISATION = RouterSettings().regularisation
"""Inverse strength C of the regressions where nothing else is asked for: that of the utility router."""

_MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True)
class _LinearRouter:
    """One expert a query: the one with the highest linear score.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        coefficients: float32, shape (n_experts, dim).
        intercepts: float32, shape (n_experts,); minus infinity for an expert that did best on no pilot.
    """

    expert_names: tuple[str, ...]
    strengths: FloatArray
    coefficients: FloatArray
    intercepts: FloatArray

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: reported in the result; this router does not look at it.
        """
        # Softmax and the logistic function keep the order, so the highest logit is the highest probability.
        best = (queries.base @ self.coefficients.T + self.intercepts).argmax(axis=1)
        return picked(best, expert_names=self.expert_names, strengths=self.strengths, known=known)


@dataclass(frozen=True, slots=True)
class ClassificationHeadRouter(_LinearRouter):
    """One expert a query: the likeliest class of one multi-class logistic regression on the base's query embedding.

    The ClassificationHeadRouter that arXiv 2409.02685 compares with (table 1). Every pilot is labelled with the expert
    that did best on it, as for the centroids. Experts are weighed by how many pilots they did best on; one that did
    best on none is never picked. Equally likely experts: the first of the pool.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        coefficients: float32, shape (n_experts, dim).
        intercepts: float32, shape (n_experts,); minus infinity for an expert that did best on no pilot.
    """

    @classmethod
    def fit(
        cls, library: PilotLibrary, experts: Sequence[PoolMember], *, regularisation: float = REGULARISATION
    ) -> "ClassificationHeadRouter":
        """Learn from the pilots; seconds.

        Args:
            library: only pilots on which every expert was measured are used.
            experts: the pool.
            regularisation: inverse strength C of the regression; by default that of the utility router.

        Raises:
            InputError: no pilot was measured with every expert, or the regularisation is not above 0.
        """
        vectors, best = _labelled(library, experts)
        coefficients, intercepts = _never_picked(len(experts), vectors.shape[1])
        seen = np.unique(best)
        coefficients[seen], intercepts[seen] = _logits(vectors, best, regularisation=regularisation)
        return cls(names_of(experts), strengths_of(experts), coefficients, intercepts)


@dataclass(frozen=True, slots=True)
class ExpertClassifierRouter(_LinearRouter):
    """One expert a query: the one whose own classifier is surest that it does best.

    The ExpertClassifierRouter that arXiv 2409.02685 compares with (table 1): one binary logistic regression an expert
    on the base's query embedding, each fitted without the others. Labels and ties are those of
    :class:`ClassificationHeadRouter`.

    Attributes:
        expert_names: the pool, in the order of its columns.
        strengths: float32, shape (n_experts,); the strength that did best on each expert's dev queries.
        coefficients: float32, shape (n_experts, dim).
        intercepts: float32, shape (n_experts,); minus infinity for an expert that did best on no pilot.
    """

    @classmethod
    def fit(
        cls, library: PilotLibrary, experts: Sequence[PoolMember], *, regularisation: float = REGULARISATION
    ) -> "ExpertClassifierRouter":
        """Learn from the pilots; seconds.

        Args:
            library: only pilots on which every expert was measured are used.
            experts: the pool.
            regularisation: inverse strength C of the regressions; by default that of the utility router.

        Raises:
            InputError: no pilot was measured with every expert, or the regularisation is not above 0.
        """
        vectors, best = _labelled(library, experts)
        coefficients, intercepts = _never_picked(len(experts), vectors.shape[1])
        for column in np.unique(best):
            rows, offsets = _logits(vectors, (best == column).astype(np.int64), regularisation=regularisation)
            # Of the two answers the last is yes. An expert that did best on all pilots has no other and no rival.
            coefficients[column], intercepts[column] = rows[-1], offsets[-1]
        return cls(names_of(experts), strengths_of(experts), coefficients, intercepts)


def _labelled(library: PilotLibrary, experts: Sequence[PoolMember]) -> tuple[FloatArray, IntArray]:
    """All pilots that every expert was measured on, and the column of the best expert on each."""
    found = best_by_corpus(library, experts).values()
    return np.concatenate([vectors for vectors, _ in found]), np.concatenate([best for _, best in found])


def _never_picked(n_experts: int, dim: int) -> tuple[FloatArray, FloatArray]:
    return np.zeros((n_experts, dim), dtype=np.float32), np.full(n_experts, -np.inf, dtype=np.float32)


def _logits(vectors: FloatArray, labels: IntArray, *, regularisation: float) -> tuple[FloatArray, FloatArray]:
    """Coefficients, shape (n_labels, dim), and intercepts, shape (n_labels,), of every label that occurs, in order."""
    if not regularisation > 0:
        raise InputError(f"regularisation is {regularisation}, expected more than 0")
    if len(np.unique(labels)) == 1:
        return np.zeros((1, vectors.shape[1]), dtype=np.float32), np.zeros(1, dtype=np.float32)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=regularisation, max_iter=_MAX_ITERATIONS).fit(vectors, labels)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(intercepts) == 1:
        # scikit-learn keeps one row for two labels: the second's logit against the first's.
        coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercepts)
    return coefficients.astype(np.float32), intercepts.astype(np.float32)
