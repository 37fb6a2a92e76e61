"""Trains an expert on data sets, and writes it only if it helps on dev."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from routeret import __version__
from routeret.artifact import remove_leftovers, require_free
from routeret.encoders import DEFAULT_BASE, load_encoder
from routeret.errors import ExpertNotHelpfulError, InputError
from routeret.experts.names import require_expert_name
from routeret.protocols import Encoder
from routeret.routing.description import described
from routeret.routing.pilots import PilotLibrary
from routeret.routing.stored_pilots import save_pilots
from routeret.training.expert_report import TrainReport, refusal, report_of
from routeret.training.linear import LinearRecipe
from routeret.training.lora import LoraRecipe
from routeret.training.material import Material
from routeret.training.measuring import pilot_corpus
from routeret.training.recipe_file import read_toml, recipe_of
from routeret.training.trained import Trained, require_layers, trained_linear, trained_lora

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
    recipe: LinearRecipe | LoraRecipe | Path | str | None = None,
    description: str = "",
    cache: Path | None = None,
    force: bool = False,
    show_progress: bool = False,
) -> TrainReport:
    """Train an expert of the base's space on BEIR folders and write it to a folder, with its pilots.

    It is fitted to all train queries; how long, how fast (where the recipe has several rates) and how strong is chosen
    on dev. A set without a dev split gives a fifth of its train queries, at most 400, for that; the report says so.

    A training of kind "lora" that was interrupted goes on when the same call is repeated, and ends with the same
    weights. The state of one whose expert was refused is kept in the same files. A learning rate of that kind whose
    loss is not finite ends there and counts with the checkpoints that it reached; the report says so.

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
        recipe: of the kind, or a TOML file with some of its fields; the defaults where None.
        description: what the expert is for, in words, kept among its details; may be empty.
        cache: a folder where vectors are kept between calls; None keeps none.
        force: write the expert even if it does not help, or if its linear fit came to a loss that is not finite after
            some checkpoint; after a refusal no adapter is trained again.
        show_progress: draw progress bars on stderr.

    Raises:
        ExpertNotHelpfulError: the expert does not beat the base on dev; the state of a LoRA training alone was written.
        InputError: the name or the kind is not allowed, the recipe is one of the other kind or cannot be read, there
            is no data, or the base has no layers to adapt.
        CorpusError: a folder cannot be read, or has no train split.
        ArtifactError: there is something at ``out`` already, or beside it the state of an interrupted or refused
            training with other settings.
        ModelNotFoundError: the base is nowhere on this machine.
        TrainingDivergedError: a loss is not finite, and there is no checkpoint before it, or, for the kind "linear",
            no ``force``; its batch is named.
    """
    out = Path(out)
    require_expert_name(name)
    recipe = _checked_recipe(kind, recipe)
    if isinstance(data, str | Path) or not data:
        raise InputError(f"data is {data!r}, expected a list of at least one BEIR folder")
    require_free(out)
    encoder = load_encoder(base, device=device)
    if isinstance(recipe, LoraRecipe):
        require_layers(encoder)
    material = Material.read(data, anchors=anchors, encoder=encoder, cache=cache, show_progress=show_progress)
    if isinstance(recipe, LoraRecipe):
        trained = trained_lora(name, material, recipe, out=out, seed=seed, show_progress=show_progress)
    else:
        trained = trained_linear(name, material, recipe, seed=seed, show_progress=show_progress, settle=force)
    report = report_of(name, out, material, trained.scores, trained.choice, steps=trained.steps, seed=seed)
    report = replace(report, diverged=trained.diverged)
    if not report.helpful and not force:
        raise ExpertNotHelpfulError(refusal(report, kept=[state.file for state in trained.states]))
    details = {**_details(report, material, trained, seed=seed), **described(description)}
    expert = replace(trained.expert, details=details)
    corpora = tuple(pilot_corpus(one, [expert], home_experts=[name]) for one in material.sets)
    pilots = PilotLibrary(query_tower=encoder.query_tower, corpora=corpora)
    expert.save(out, beside=lambda folder: save_pilots(pilots, folder / "pilots"))
    for state in trained.states:
        state.remove()
    remove_leftovers(out)
    return report


def _checked_recipe(kind: str, recipe: LinearRecipe | LoraRecipe | Path | str | None) -> LinearRecipe | LoraRecipe:
    """The recipe of a kind.

    Raises:
        InputError: there is no such kind, the recipe is one of the other, or its file cannot be read.
    """
    recipes: dict[str, type[LinearRecipe | LoraRecipe]] = {"linear": LinearRecipe, "lora": LoraRecipe}
    if kind not in recipes:
        raise InputError(f"found the kind {kind!r}, expected one of {', '.join(recipes)}")
    if recipe is None:
        return recipes[kind]()
    if isinstance(recipe, str | Path):
        where = f"the recipe {recipe} of the kind {kind!r}"
        return recipe_of(recipes[kind], read_toml(Path(recipe), what="recipe"), where=where)
    if not isinstance(recipe, recipes[kind]):
        raise InputError(f"kind {kind!r} came with a {type(recipe).__name__}, expected a {recipes[kind].__name__}")
    return recipe


def _details(report: TrainReport, material: Material, trained: Trained, *, seed: int) -> dict[str, Any]:
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
