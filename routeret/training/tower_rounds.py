"""Rounds of a fit: where each is kept on the way, and what they come to together."""

import glob
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from routeret.training.divergence import FitDivergedError, not_taken, taken
from routeret.training.fitting import FitState, Fitted
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.types import FloatArray


def begun(first: FitState) -> FitState:
    """The state of the first round of a fit that begins, which names the files of later ones where it is refused.

    Where the first round is not kept, nobody can say what later ones went on from, so they are forgotten.
    """
    if not first.file.exists():
        for file in _later_files(first):
            FitState(file, settings={}).remove()
    return FitState(first.file, settings=first.settings, others=_later_files(first))


def state_of_round(
    first: FitState, number: int, *, weights: Mapping[str, FloatArray], tasks: Sequence[TowerTask]
) -> FitState:
    """Where a round after the first is kept: beside the first one's file, with its settings and what it begins with.

    Args:
        first: of the first round.
        number: of the round, counted from 0.
        weights: that it begins with.
        tasks: with the hard negatives of the round.
    """
    negatives = [one.hard_negatives for one in tasks if one.hard_negatives is not None]
    settings = {
        **first.settings,
        "round": number + 1,
        "weights": _digest(*(weights[name].tobytes() for name in sorted(weights))),
        "hard_negatives": _digest(*(rows.tobytes() for rows in negatives)),
    }
    return FitState(_file(first, number), settings=settings, others=[first.file, *_later_files(first)])


def files_of_rounds(first: FitState, recipe: TowerRecipe) -> list[Path]:
    """The files that keep the rounds of a fit, the first one's first."""
    return [first.file, *(_file(first, number) for number in range(1, recipe.rounds))]


def remove_states(first: FitState, recipe: TowerRecipe) -> None:
    """Forget what was kept of all rounds, also of more rounds than the recipe has."""
    for file in dict.fromkeys([*files_of_rounds(first, recipe), *_later_files(first)]):
        FitState(file, settings={}).remove()


def joined(former: Fitted, later: Fitted, *, number: int, done: int) -> Fitted:
    """What two rounds come to: the better checkpoint, of equal ones the earlier, and the scores of both.

    Args:
        former: of all rounds before.
        later: of one round.
        number: of that round, counted from 0.
        done: steps of the rounds before.

    Returns:
        Steps count through the rounds; where the later one diverged, it is named.
    """
    scores = {**former.scores, **{done + steps: score for steps, score in later.scores.items()}}
    diverged = None if later.diverged is None else _in_round(later.diverged, number, done=done)
    if later.score > former.score or math.isnan(former.score):
        return Fitted(done + later.steps, later.weights, scores, diverged)
    return Fitted(former.steps, former.weights, scores, diverged)


def stopped(former: Fitted, error: FitDivergedError, *, number: int, done: int) -> Fitted:
    """What the rounds before one come to that diverged before its first checkpoint.

    Args:
        former: of all rounds before.
        error: what the round ended with.
        number: of that round, counted from 0.
        done: steps of the rounds before.
    """
    return replace(former, diverged=_in_round(error.found, number, done=done))


def settled(fitted: Fitted, *, settle: bool, kept: Sequence[Path]) -> Fitted:
    """A fit of all rounds; where it diverged, ``diverged`` says which checkpoint was taken all the same.

    Args:
        fitted: what the rounds come to.
        settle: whether the best checkpoint is asked for where it diverged.
        kept: files that keep what was good.

    Raises:
        TrainingDivergedError: it diverged, and the best checkpoint is not asked for.
    """
    if fitted.diverged is None:
        return fitted
    if not settle:
        raise not_taken(fitted.diverged, steps=fitted.steps, score=fitted.score, kept=kept)
    return replace(fitted, diverged=taken(fitted.diverged, steps=fitted.steps, score=fitted.score))


def _in_round(found: str, number: int, *, done: int) -> str:
    return f"in round {number + 1}, with {done} steps before it, {found}"


def _file(first: FitState, number: int) -> Path:
    return first.file.with_name(f"{first.file.name}-{number + 1}")


def _later_files(first: FitState) -> list[Path]:
    """The files of later rounds that are there, in order."""
    # An expert may be called like this one's file, so the file of its training may begin with the name of this one.
    name = re.compile(re.escape(first.file.name) + r"-(\d+)")
    files = first.file.parent.glob(f"{glob.escape(first.file.name)}-[0-9]*")
    found = [(int(match[1]), file) for file in files if (match := name.fullmatch(file.name))]
    return [file for _, file in sorted(found)]


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
