"""Trains an expert on data sets, and writes it only if it helps on dev."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from routeret import __version__
from routeret.encoders import DEFAULT_BASE, TorchEncoder, load_encoder
from routeret.errors import ArtifactError, ExpertNotHelpfulError, InputError
from routeret.experts import LinearExpert, LoraExpert
from routeret.experts.names import require_expert_name
from routeret.protocols import Encoder
from routeret.routing.pilots import PilotLibrary
from routeret.training.choosing import Choice, DevScores, choose, score_checkpoints
from routeret.training.expert_report import TrainReport, refusal, report_of
from routeret.training.fitting import FitState
from routeret.training.linear import LinearRecipe, fit_linear
from routeret.training.lora import AskedSet, LoraRecipe, fit_lora
from routeret.training.material import Material
from routeret.training.measuring import pilot_corpus

ExpertKind = Literal["linear", "lora"]


def train_expert(
    name: str,
    data: Sequence[Path | str],
    *,
    out: Path | str,
    kind: ExpertKind = "linear",
    anchors: Sequence[Path | str] = (),
    base: str | Path | Encoder = DEFAULT_BASE,
    device: str | None = None,
    seed: int = 0,
    recipe: LinearRecipe | LoraRecipe | None = None,
    cache: Path | None = None,
    force: bool = False,
    show_progress: bool = False,
) -> TrainReport:
    """Train an expert of the base's space on BEIR folders and write it to a folder, with its pilots.

    It is fitted to all train queries; how long, how fast (where the recipe has several rates) and how strong is chosen
    on dev. A set without a dev split gives a fifth of its train queries, at most 400, for that; the report says so.

    A training of kind "lora" that was interrupted goes on when the same call is repeated, and ends with the same
    weights.

    Args:
        name: of the expert.
        data: BEIR folders with a train split.
        out: the expert's folder; must not exist.
        kind: "linear", a matrix on the base's query vector, trained in seconds; or "lora", an adapter inside the base's
            query tower, trained in minutes, which costs a pass of the base a query.
        anchors: BEIR folders of other domains, on whose train queries (dev where there are none) the expert is kept
            close to the base.
        base: the base model, by name or folder, or an encoder; a transformer where the kind is "lora".
        device: where the base model runs; None takes a CUDA device if there is one.
        seed: fixes every draw of the fit.
        recipe: of the kind; its defaults where None.
        cache: a folder where vectors are kept between calls; None keeps none.
        force: write the expert even if it does not help.
        show_progress: draw progress bars on stderr.

    Raises:
        ExpertNotHelpfulError: the expert does not beat the base on dev; nothing was written.
        InputError: the name or the kind is not allowed, the recipe is one of the other kind, there is no data, or the
            base has no layers to adapt.
        CorpusError: a folder cannot be read, or has no train split.
        ArtifactError: there is something at ``out`` already, or beside it the state of an interrupted training with
            other settings.
        ModelNotFoundError: the base is nowhere on this machine.
        TrainingDivergedError: a loss is not finite; its batch is named.
    """
    out = Path(out)
    require_expert_name(name)
    recipe = _checked_recipe(kind, recipe)
    if isinstance(data, str | Path) or not data:
        raise InputError(f"data is {data!r}, expected a list of at least one BEIR folder")
    if out.exists():
        raise ArtifactError(f"{out} exists already; choose another folder or remove it first")
    encoder = load_encoder(base, device=device)
    if isinstance(recipe, LoraRecipe):
        _require_layers(encoder)
    material = Material.read(data, anchors=anchors, encoder=encoder, cache=cache, show_progress=show_progress)
    if isinstance(recipe, LoraRecipe):
        trained = _lora(name, material, recipe, out=out, seed=seed, show_progress=show_progress)
    else:
        trained = _linear(name, material, recipe, seed=seed, show_progress=show_progress)
    report = report_of(name, out, material, trained.scores, trained.choice, steps=trained.steps, seed=seed)
    try:
        if not report.helpful and not force:
            raise ExpertNotHelpfulError(refusal(report))
        expert = replace(trained.expert, details=_details(report, material, trained, seed=seed))
        corpora = tuple(pilot_corpus(one, [expert], home_experts=[name]) for one in material.sets)
        pilots = PilotLibrary(query_tower=encoder.query_tower, corpora=corpora)
        expert.save(out, beside=lambda folder: pilots.save(folder / "pilots"))
    finally:
        for state in trained.states:
            state.remove()
    return report


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
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


def _checked_recipe(kind: str, recipe: LinearRecipe | LoraRecipe | None) -> LinearRecipe | LoraRecipe:
    """The recipe of a kind.

    Raises:
        InputError: there is no such kind, or the recipe is one of the other.
    """
    recipes: dict[str, type[LinearRecipe | LoraRecipe]] = {"linear": LinearRecipe, "lora": LoraRecipe}
    if kind not in recipes:
        raise InputError(f"found the kind {kind!r}, expected one of {', '.join(recipes)}")
    if recipe is None:
        return recipes[kind]()
    if not isinstance(recipe, recipes[kind]):
        raise InputError(f"kind {kind!r} came with a {type(recipe).__name__}, expected a {recipes[kind].__name__}")
    return recipe


def _require_layers(base: Encoder) -> TorchEncoder:
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


def _linear(name: str, material: Material, recipe: LinearRecipe, *, seed: int, show_progress: bool) -> _Trained:
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
    return _Trained(expert, scores, choice, chosen.steps, {"recipe": recipe.as_dict()})


def _lora(name: str, material: Material, recipe: LoraRecipe, *, out: Path, seed: int, show_progress: bool) -> _Trained:
    base = _require_layers(material.encoder)
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
    return _Trained(
        expert.attached(base),
        scores,
        choice,
        chosen.steps,
        {"recipe": recipe.as_dict(), "learning_rate": chosen.learning_rate},
        tuple(states.values()),
    )


def _details(report: TrainReport, material: Material, trained: _Trained, *, seed: int) -> dict[str, Any]:
    values = report.as_dict()
    return {
        "data": {one.name: dict(one.checksums) for one in material.sets},
        "anchors": list(material.anchors.sets),
        "seed": seed,
        **trained.settings,
        "steps": report.steps,
        "scores": {"difference": values["difference"], "helpful": report.helpful, "sets": values["sets"]},
        "truncated_documents": values["truncated_documents"],
        "versions": {"routeret": __version__, "numpy": version("numpy"), "torch": version("torch")},
    }
