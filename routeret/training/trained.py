"""An expert fitted to data sets and chosen on their dev queries, of either kind, before anything of it is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.encoders import TorchEncoder
from routeret.errors import InputError, TrainingDivergedError
from routeret.experts import LinearExpert, LoraExpert
from routeret.protocols import Encoder
from routeret.training.choosing import Choice, DevScores, choose, score_checkpoints
from routeret.training.fitting import FitState
from routeret.training.linear import Checkpoint, LinearFitDivergedError, LinearRecipe, fit_linear
from routeret.training.lora import AskedSet, LoraRecipe, fit_lora
from routeret.training.material import Material
from routeret.training.query_negatives import with_negatives
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray, QueryBatch


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """An expert with how it was chosen.

    Attributes:
        expert: without details.
        scores: of everything that was fitted, on dev.
        choice: what of it was taken.
        steps: of the fit that was taken.
        settings: the recipe, and what was chosen of it.
        states: of the fits, to be removed when the expert is written.
        diverged: what became of fits that ended before their last step, in words; none where all went well.
    """

    expert: LinearExpert | LoraExpert
    scores: list[DevScores]
    choice: Choice
    steps: int
    settings: dict[str, Any]
    states: tuple[FitState, ...] = ()
    diverged: tuple[str, ...] = ()


def require_layers(base: Encoder) -> TorchEncoder:
    """The base, if an adapter fits into it.

    Raises:
        InputError: it is no model with layers.
    """
    if not isinstance(base, TorchEncoder):
        raise InputError(
            f"a LoRA expert adapts the layers of a transformer, found a {type(base).__name__} as the base; choose a "
            f"model, or the kind 'linear'"
        )
    return base


def trained_linear(
    name: str, material: Material, recipe: LinearRecipe, *, seed: int, show_progress: bool, settle: bool = False
) -> Trained:
    """A linear expert; steps and strength are chosen on dev.

    Args:
        name: of the expert.
        material: what it is fitted to and measured on.
        recipe: how it is fitted.
        seed: fixes every draw.
        show_progress: draw progress bars on stderr.
        settle: take what was fitted before a loss that is not finite, where a checkpoint was reached in that round or
            in one before it.

    Raises:
        TrainingDivergedError: a loss is not finite, and ``settle`` does not ask for, or there is no checkpoint before
            it; the round and the batch are named.
    """
    space = material.encoder.space

    def fitted(sets: Sequence[TrainingSet], _round: int) -> Trained:
        diverged: tuple[str, ...] = ()
        checkpoints: Sequence[Checkpoint]
        try:
            checkpoints = fit_linear(
                sets,
                anchors=material.anchors.vectors,
                recipe=recipe,
                unit_length=space.unit_length,
                seed=seed,
                show_progress=show_progress,
            )
        except LinearFitDivergedError as error:
            if not (settle and error.checkpoints):
                raise
            checkpoints, diverged = error.checkpoints, (str(error),)
        scores = score_checkpoints(checkpoints, material.dev, unit_length=space.unit_length)
        choice = choose(scores, seed=seed)
        chosen = checkpoints[choice.fit]
        expert = LinearExpert(
            name=name,
            weight=chosen.weight,
            strength=choice.strength,
            space=space,
            query_tower=material.encoder.query_tower,
            known_documents=material.known_documents,
            sketch=material.sketch,
        )
        return Trained(expert, scores, choice, chosen.steps, {"recipe": recipe.as_dict()}, diverged=diverged)

    return _in_rounds(material, recipe, fitted, settle=settle)


def trained_lora(
    name: str, material: Material, recipe: LoraRecipe, *, out: Path, seed: int, show_progress: bool
) -> Trained:
    """A LoRA expert, attached to its base; learning rate, steps and strength are chosen on dev.

    A training that was interrupted goes on when the same call is repeated, from files beside ``out``. A learning rate
    whose loss is not finite counts with the checkpoints that it reached; a round after the first in which none reached
    one leaves the expert of the round before.

    Args:
        name: of the expert.
        material: what it is fitted to and measured on; its encoder is a transformer.
        recipe: how it is fitted.
        out: the folder of the expert, after which the states of the fits are called.
        seed: fixes every draw.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: the base has no layers to adapt.
        TrainingDivergedError: a loss is not finite, and in the first round no learning rate reached a checkpoint; the
            batch is named.
        ArtifactError: beside ``out`` is the state of an interrupted training with other settings, of any round.
    """
    base = require_layers(material.encoder)
    rounds = _states(out, recipe, settings={"recipe": recipe.as_dict(), "seed": seed, **material.digests})
    begun: list[FitState] = []
    asked = [division.train.texts for division in material.divisions]

    def fitted(sets: Sequence[TrainingSet], number: int) -> Trained:
        begun.extend(rounds[number].values())
        found = fit_lora(
            base,
            [AskedSet(texts, training) for texts, training in zip(asked, sets, strict=True)],
            dev=[(one.dev.texts, judged) for one, judged in zip(material.divisions, material.dev, strict=True)],
            anchors=material.anchors,
            recipe=recipe,
            seed=seed,
            states=rounds[number],
            show_progress=show_progress,
        )
        choice = choose(found.scores, seed=seed)
        chosen = found.fits[choice.fit]
        expert = LoraExpert(
            name=name,
            adapter=chosen.adapter,
            strength=choice.strength,
            space=base.space,
            query_tower=base.query_tower,
            known_documents=material.known_documents,
            sketch=material.sketch,
        )
        return Trained(
            expert.attached(base),
            found.scores,
            choice,
            chosen.steps,
            {"recipe": recipe.as_dict(), "learning_rate": chosen.learning_rate},
            diverged=tuple(f"learning rate {rate:g}: {message}" for rate, message in found.diverged.items()),
        )

    return replace(_in_rounds(material, recipe, fitted, settle=True), states=tuple(begun))


def _states(out: Path, recipe: LoraRecipe, *, settings: Mapping[str, Any]) -> list[dict[float, FitState]]:
    """Where the fits of every round are kept, by learning rate; looked at before anything is trained.

    Raises:
        ArtifactError: one that is kept is damaged, or of other settings; all files of the training are named.
    """
    stems = [out.name, *(f"{out.name}-round{number + 1}" for number in range(1, recipe.rounds))]
    named = [
        {
            rate: FitState.beside(
                out.with_name(f"{stem}-{rate:g}"), settings={**settings, "rate": rate, "round": number + 1}
            )
            for rate in recipe.learning_rates
        }
        for number, stem in enumerate(stems)
    ]
    files = [state.file for states in named for state in states.values()]
    rounds = [
        {rate: FitState(state.file, settings=state.settings, others=files) for rate, state in states.items()}
        for states in named
    ]
    for states in rounds:
        for state in states.values():
            state.read()
    return rounds


def _in_rounds(
    material: Material,
    recipe: LinearRecipe | LoraRecipe,
    fitted: Callable[[Sequence[TrainingSet], int], Trained],
    *,
    settle: bool,
) -> Trained:
    """The expert of the last round; from the second on, the expert of the round before gives negatives, too.

    Where a round after the first gives none, since it diverged, the expert of the round before is the last one.

    Raises:
        TrainingDivergedError: the first round gives none, or ``settle`` does not ask for an expert of a training that
            diverged.
    """
    sets = with_negatives(material, recipe)
    trained = fitted(sets, 0)
    # Where nothing was mined, every round would be the same.
    n_rounds = 1 if all(one.hard_negatives is None for one in sets) else recipe.rounds
    for number in range(1, n_rounds):
        before = trained
        sets = with_negatives(material, recipe, written=_train_queries(material, before.expert))
        try:
            trained = fitted(sets, number)
        except TrainingDivergedError as error:
            trained = _stopped(before, number, error, settle=settle)
            break
        messages = tuple(f"round {number + 1}: {message}" for message in trained.diverged)
        trained = replace(trained, diverged=before.diverged + messages)
    if trained.diverged:
        return replace(trained, settings={**trained.settings, "diverged": list(trained.diverged)})
    return trained


def _stopped(before: Trained, number: int, error: TrainingDivergedError, *, settle: bool) -> Trained:
    """What came of the rounds before one that gave no expert.

    Raises:
        TrainingDivergedError: it is not asked for.
    """
    if settle:
        message = f"round {number + 1}: {error}. The expert of round {number} was taken"
        return replace(before, diverged=(*before.diverged, message))
    words = f"in round {number + 1}, {error}"
    if not (isinstance(error, LinearFitDivergedError) and error.checkpoints):
        words += f". Round {number} was good: train expert makes an expert of it with --force (force=True)"
    raise TrainingDivergedError(words) from error


def _train_queries(material: Material, expert: LinearExpert | LoraExpert) -> list[FloatArray]:
    """The train queries of every set as an expert writes them at its strength."""
    return [
        expert.encode_queries(
            QueryBatch(one.train.texts, one.train.vectors),
            strengths=np.full(len(one.train), expert.strength, dtype=np.float32),
        )
        for one in material.divisions
    ]
