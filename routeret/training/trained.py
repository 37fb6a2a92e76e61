"""An expert fitted to data sets and chosen on their dev queries, of either kind, before anything of it is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.encoders import TorchEncoder
from routeret.errors import InputError
from routeret.experts import LinearExpert, LoraExpert
from routeret.protocols import Encoder
from routeret.training.choosing import Choice, DevScores, choose, score_checkpoints
from routeret.training.fitting import FitState
from routeret.training.linear import LinearRecipe, fit_linear
from routeret.training.lora import AskedSet, LoraRecipe, fit_lora
from routeret.training.material import Material


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
    """

    expert: LinearExpert | LoraExpert
    scores: list[DevScores]
    choice: Choice
    steps: int
    settings: dict[str, Any]
    states: tuple[FitState, ...] = ()


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


def trained_linear(name: str, material: Material, recipe: LinearRecipe, *, seed: int, show_progress: bool) -> Trained:
    """A linear expert; steps and strength are chosen on dev.

    Args:
        name: of the expert.
        material: what it is fitted to and measured on.
        recipe: how it is fitted.
        seed: fixes every draw.
        show_progress: draw progress bars on stderr.
    """
    space = material.encoder.space
    checkpoints = fit_linear(
        material.training,
        anchors=material.anchors.vectors,
        recipe=recipe,
        unit_length=space.unit_length,
        seed=seed,
        show_progress=show_progress,
    )
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
    return Trained(expert, scores, choice, chosen.steps, {"recipe": recipe.as_dict()})


def trained_lora(
    name: str, material: Material, recipe: LoraRecipe, *, out: Path, seed: int, show_progress: bool
) -> Trained:
    """A LoRA expert, attached to its base; learning rate, steps and strength are chosen on dev.

    A training that was interrupted goes on when the same call is repeated, from files beside ``out``.

    Args:
        name: of the expert.
        material: what it is fitted to and measured on; its encoder is a transformer.
        recipe: how it is fitted.
        out: the folder of the expert, after which the states of the fits are called.
        seed: fixes every draw.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: the base has no layers to adapt.
        TrainingDivergedError: a loss is not finite; the batch is named.
        ArtifactError: beside ``out`` is the state of an interrupted training with other settings.
    """
    base = require_layers(material.encoder)
    settings = {"recipe": recipe.as_dict(), "seed": seed, **material.digests}
    states = {
        rate: FitState.beside(out.with_name(f"{out.name}-{rate:g}"), settings={**settings, "rate": rate})
        for rate in recipe.learning_rates
    }
    fits, scores = fit_lora(
        base,
        [
            AskedSet(division.train.texts, training)
            for division, training in zip(material.divisions, material.training, strict=True)
        ],
        dev=[(division.dev.texts, judged) for division, judged in zip(material.divisions, material.dev, strict=True)],
        anchors=material.anchors,
        recipe=recipe,
        seed=seed,
        states=states,
        show_progress=show_progress,
    )
    choice = choose(scores, seed=seed)
    chosen = fits[choice.fit]
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
        scores,
        choice,
        chosen.steps,
        {"recipe": recipe.as_dict(), "learning_rate": chosen.learning_rate},
        tuple(states.values()),
    )
