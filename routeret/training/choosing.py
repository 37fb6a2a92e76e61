"""Which fit, at which strength, does best on dev; and what that choice is worth on queries that did not make it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.routing.pilots import STRENGTHS
from routeret.training.linear import Checkpoint
from routeret.training.scoring import JudgedQueries
from routeret.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DevScores:
    """nDCG@10 of the dev queries of one set.

    Attributes:
        name: of the set.
        base: float32, shape (n_queries,).
        options: float32, shape (n_queries, n_fits, n_strengths); what has been fitted, at several strengths.
    """

    name: str
    base: FloatArray
    options: FloatArray

    @property
    def gains(self) -> FloatArray:
        """Every option minus the base, shape (n_queries, n_fits, n_strengths)."""
        return self.options - self.base[:, None, None]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The option that gains most on the mean over sets.

    Attributes:
        fit: its number on the second axis of the scores.
        strength: at which it does best.
        gain: mean over sets of the mean gain on their dev queries; it is flattered by having been chosen.
        gains: by set, float32, shape (n_queries,); the gain of every dev query with the option that does best on the
            other half of the dev queries, which flatters nothing.
        chosen: by set, float32, shape (n_queries,); the gain with this option.
    """

    fit: int
    strength: float
    gain: float
    gains: tuple[FloatArray, ...]
    chosen: tuple[FloatArray, ...]


def score_checkpoints(
    checkpoints: Sequence[Checkpoint],
    dev: Sequence[JudgedQueries],
    *,
    strengths: Sequence[float] = STRENGTHS,
    unit_length: bool = True,
) -> list[DevScores]:
    """Give nDCG@10 of every checkpoint at every strength.

    Args:
        checkpoints: of one fit.
        dev: the dev queries of every set.
        strengths: that are tried.
        unit_length: whether vectors of the space have length 1.
    """
    return [
        DevScores(
            name=judged.name,
            base=judged.ndcg_of(judged.queries),
            options=np.stack(
                [judged.ndcg_at_strengths(point.weight, strengths, unit_length=unit_length) for point in checkpoints],
                axis=1,
            ),
        )
        for judged in dev
    ]


def choose(scores: Sequence[DevScores], *, strengths: Sequence[float] = STRENGTHS, seed: int = 0) -> Choice:
    """Choose fit and strength by the mean over sets of the mean gain on dev.

    Options that are equal give the earlier fit, and then the weaker strength.

    Args:
        scores: of at least one set; all of the same fits.
        strengths: the third axis of the scores.
        seed: how the dev queries are halved.

    Raises:
        InputError: there is no set.
    """
    if not scores:
        raise InputError("no set has dev queries; give at least one, or let some of the train queries stand for them")
    rng = np.random.default_rng(seed)
    halves = [rng.permutation(len(one.base)) % 2 == 0 for one in scores]
    best = _best_option(scores, [np.ones(len(half), dtype=np.bool_) for half in halves])
    by_half = [_best_option(scores, halves), _best_option(scores, [~half for half in halves])]
    honest = [
        np.where(half, one.gains[(slice(None), *by_half[1])], one.gains[(slice(None), *by_half[0])])
        for one, half in zip(scores, halves, strict=True)
    ]
    chosen = [one.gains[(slice(None), *best)] for one in scores]
    return Choice(
        fit=best[0],
        strength=float(strengths[best[1]]),
        gain=float(np.mean([gains.mean() for gains in chosen])),
        gains=tuple(honest),
        chosen=tuple(chosen),
    )


def mean_gain(scores: Sequence[DevScores]) -> FloatArray:
    """The mean over sets of the mean gain of every option, shape (n_fits, n_strengths); at least one set.

    Rounded, so that options that differ in the last bit only are equal.
    """
    by_set: FloatArray = np.stack([one.gains.mean(axis=0) for one in scores])
    mean: FloatArray = np.round(by_set.mean(axis=0), 9)
    return mean


def _best_option(scores: Sequence[DevScores], used: Sequence[BoolArray]) -> tuple[int, int]:
    """Fit and strength that gain most on some of the dev queries."""
    kept = [
        DevScores(one.name, one.base[queries], one.options[queries])
        for one, queries in zip(scores, used, strict=True)
        if queries.any()
    ]
    if not kept:
        return 0, 0
    mean = mean_gain(kept)
    fit, strength = np.unravel_index(int(np.argmax(mean)), mean.shape)
    return int(fit), int(strength)
