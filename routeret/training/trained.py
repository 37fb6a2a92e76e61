"""An expert fitted to data sets and chosen on their dev queries, of either kind, before anything of it is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.encoders import TorchEncoder
from routeret.errors import InputError
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
        settle: take what was fitted before a loss that is not finite, where a checkpoint was reached.

    Raises:
        TrainingDivergedError: a loss is not finite, and ``settle`` does not ask for, or there is no checkpoint before
            it; the batch is named.
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
        )
        return Trained(expert, scores, choice, chosen.steps, {"recipe": recipe.as_dict()}, diverged=diverged)

    return _in_rounds(material, recipe, fitted)


def trained_lora(
    name: str, material: Material, recipe: LoraRecipe, *, out: Path, seed: int, show_progress: bool
) -> Trained:
    """A LoRA expert, attached to its base; learning rate, steps and strength are chosen on dev.

    A training that was interrupted goes on when the same call is repeated, from files beside ``out``. A learning rate
    whose loss is not finite counts with the checkpoints that it reached.

    Args:
        name: of the expert.
        material: what it is fitted to and measured on; its encoder is a transformer.
        recipe: how it is fitted.
        out: the folder of the expert, after which the states of the fits are called.
        seed: fixes every draw.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: the base has no layers to adapt.
        TrainingDivergedError: a loss is not finite, and no learning rate reached a checkpoint; the batch is named.
        ArtifactError: beside ``out`` is the state of an interrupted training with other settings.
    """
    base = require_layers(material.encoder)
    settings = {"recipe": recipe.as_dict(), "seed": seed, **material.digests}
    asked = [division.train.texts for division in material.divisions]

    def fitted(sets: Sequence[TrainingSet], number: int) -> Trained:
        stem = out.name if number == 0 else f"{out.name}-round{number + 1}"
        states = {
            rate: FitState.beside(
                out.with_name(f"{stem}-{rate:g}"), settings={**settings, "rate": rate, "round": number + 1}
            )
            for rate in recipe.learning_rates
        }
        found = fit_lora(
            base,
            [AskedSet(texts, training) for texts, training in zip(asked, sets, strict=True)],
            dev=[(one.dev.texts, judged) for one, judged in zip(material.divisions, material.dev, strict=True)],
            anchors=material.anchors,
            recipe=recipe,
            seed=seed,
            states=states,
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
        )
        return Trained(
            expert.attached(base),
            found.scores,
            choice,
            chosen.steps,
            {"recipe": recipe.as_dict(), "learning_rate": chosen.learning_rate},
            tuple(states.values()),
            tuple(f"learning rate {rate:g}: {message}" for rate, message in found.diverged.items()),
        )

    return _in_rounds(material, recipe, fitted)


def _in_rounds(
    material: Material,
    recipe: LinearRecipe | LoraRecipe,
    fitted: Callable[[Sequence[TrainingSet], int], Trained],
) -> Trained:
    """The expert of the last round; from the second on, the expert of the round before gives negatives, too."""
    sets = with_negatives(material, recipe)
    trained = fitted(sets, 0)
    # Where nothing was mined, every round would be the same.
    n_rounds = 1 if all(one.hard_negatives is None for one in sets) else recipe.rounds
    for number in range(1, n_rounds):
        before = trained
        sets = with_negatives(material, recipe, written=_train_queries(material, before.expert))
        trained = fitted(sets, number)
        trained = replace(
            trained,
            states=before.states + trained.states,
            diverged=before.diverged + tuple(f"round {number + 1}: {message}" for message in trained.diverged),
        )
    if trained.diverged:
        return replace(trained, settings={**trained.settings, "diverged": list(trained.diverged)})
    return trained


def _train_queries(material: Material, expert: LinearExpert | LoraExpert) -> list[FloatArray]:
    """The train queries of every set as an expert writes them at its strength."""
    return [
        expert.encode_queries(
            QueryBatch(one.train.texts, one.train.vectors),
            strengths=np.full(len(one.train), expert.strength, dtype=np.float32),
        )
        for one in material.divisions
    ]
