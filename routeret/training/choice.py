"""Choosing, on dev queries, the weights and the strength of a linear expert."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.routing.pilots import STRENGTHS
from routeret.training.embedded import EmbeddedSplit
from routeret.training.gains import ndcg_of
from routeret.training.linear import Checkpoint
from routeret.types import FloatArray


@dataclass(frozen=True, slots=True)
class DevSet:
    """The queries on which a choice is made.

    Attributes:
        documents: float32, shape (n_documents, dim).
        split: the queries.
        base: float32, shape (n_queries,); nDCG@10 of the base on each query.
    """

    documents: FloatArray
    split: EmbeddedSplit
    base: FloatArray

    @classmethod
    def of(cls, documents: FloatArray, split: EmbeddedSplit) -> "DevSet":
        """The dev set of a split, with the base measured on it."""
        return cls(documents, split, dense_ndcg(split.queries, documents, split))

    def gains(self, weight: FloatArray, strength: float) -> FloatArray:
        """nDCG@10 of a linear expert minus the base's, float32, shape (n_queries,)."""
        return dense_ndcg(moved(self.split.queries, weight, strength), self.documents, self.split) - self.base


@dataclass(frozen=True, slots=True)
class Choice:
    """The weights and strength with the highest mean gain.

    Attributes:
        steps: after how many optimisation steps the weights stood.
        strength: one of :data:`STRENGTHS`.
        weight: float32, shape (dim, dim).
        gains: for every dev set, float32, shape (n_queries,).
        mean_gain: the mean over dev sets of their mean gains.
    """

    steps: int
    strength: float
    weight: FloatArray
    gains: tuple[FloatArray, ...]
    mean_gain: float


def choose(checkpoints: Sequence[Checkpoint], dev_sets: Sequence[DevSet]) -> Choice:
    """The best of all weights at all strengths; the earlier weights and the lower strength where two are equal.

    Args:
        checkpoints: at least one, in the order of their steps.
        dev_sets: at least one; each counts the same.
    """
    best: Choice | None = None
    for checkpoint in checkpoints:
        for strength in STRENGTHS:
            gains = tuple(dev.gains(checkpoint.weight, strength) for dev in dev_sets)
            mean = float(np.mean([own.mean() for own in gains]))
            if best is None or mean > best.mean_gain:
                best = Choice(checkpoint.steps, strength, checkpoint.weight, gains, mean)
    if best is None:
        raise InputError("no checkpoint was given; expected at least one")
    return best


def moved(queries: FloatArray, weight: FloatArray, strength: float) -> FloatArray:
    """The queries after a linear expert, float32, of unit length."""
    return unit_length(queries + strength * (queries @ weight.T))


def unit_length(vectors: FloatArray) -> FloatArray:
    """The vectors at length 1, float32; a zero vector stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def dense_ndcg(queries: FloatArray, documents: FloatArray, split: EmbeddedSplit) -> FloatArray:
    """nDCG@10 of every query of a split when these vectors search these documents."""
    return ndcg_of(lambda block: queries[block] @ documents.T, positives=split.positives, grades=split.grades)
