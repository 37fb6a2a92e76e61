"""Rounds of a fit: where each is kept on the way, and what they come to together."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from routeret.errors import TrainingDivergedError
from routeret.training.fitting import FitState, Fitted
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.types import FloatArray


def state_of_round(
    first: FitState, number: int, *, weights: Mapping[str, FloatArray], tasks: Sequence[TowerTask]
) -> FitState:
    """Where a round after the first is kept: beside the first one's file, which holds what both have in common.

    Args:
        first: of the first round.
        number: of the round, counted from 0.
        weights: that it begins with.
        tasks: with the hard negatives of the round.
    """
    negatives = [one.hard_negatives for one in tasks if one.hard_negatives is not None]
    settings = {
        "round": number + 1,
        "weights": _digest(*(weights[name].tobytes() for name in sorted(weights))),
        "hard_negatives": _digest(*(rows.tobytes() for rows in negatives)),
    }
    return FitState(_file(first, number), settings=settings)


def files_of_rounds(first: FitState, recipe: TowerRecipe) -> list[Path]:
    """The files that keep the rounds of a fit, the first one's first."""
    return [first.file, *(_file(first, number) for number in range(1, recipe.rounds))]


def remove_states(first: FitState, recipe: TowerRecipe) -> None:
    """Forget what was kept of all rounds."""
    for file in files_of_rounds(first, recipe):
        FitState(file, settings={}).remove()


def joined(former: Fitted, later: Fitted, *, done: int) -> Fitted:
    """What two rounds come to: the better checkpoint, of equal ones the earlier, and the scores of both.

    Args:
        former: of all rounds before.
        later: of one round.
        done: steps of the rounds before.
    """
    scores = {**former.scores, **{done + steps: score for steps, score in later.scores.items()}}
    before = former.scores[former.steps].value
    if later.scores[later.steps].value > before or math.isnan(before):
        return Fitted(done + later.steps, later.weights, scores, later.diverged)
    return Fitted(former.steps, former.weights, scores, later.diverged)


def stopped(former: Fitted, number: int, error: TrainingDivergedError, *, settle: bool) -> Fitted:
    """What the rounds before one come to that diverged before its first checkpoint.

    Args:
        former: of all rounds before.
        number: of the round that diverged, counted from 0.
        error: what it ended with.
        settle: whether the best checkpoint of the rounds before is asked for.

    Raises:
        TrainingDivergedError: it is not asked for.
    """
    words = f"in round {number + 1}, {error}"
    if settle:
        return replace(former, diverged=words)
    value = former.scores[former.steps].value
    raise TrainingDivergedError(
        f"{words}. The rounds before it reached {value:.4f} on dev after {former.steps} steps: make an expert of that "
        f"with --force (force=True)"
    ) from error


def _file(first: FitState, number: int) -> Path:
    return first.file.with_name(f"{first.file.name}-{number + 1}")


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
