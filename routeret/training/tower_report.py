"""What a trained tower is worth on the dev queries of data sets, while it is trained and afterwards."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.datasets import Dataset, load_dataset
from routeret.encoders import TorchEncoder
from routeret.errors import InputError
from routeret.experts import TowerExpert
from routeret.fusion import SpaceFusion
from routeret.mining import BipartiteGraph
from routeret.routing.pilots import STRENGTHS
from routeret.significance import PairedTest
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.expert_report import is_helpful, refusal_of
from routeret.training.fitting import DevScore, Fitted
from routeret.training.measuring import Division, divide
from routeret.training.scoring import JudgedQueries
from routeret.training.tower import Tower
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.towers import MeasuredTower, embedded_by, measured_expert, tower_ndcg


@dataclass(frozen=True, slots=True)
class TowerReport:
    """What the training of a tower gave.

    Attributes:
        name: of the expert.
        folder: where it was written.
        steps: how long it was trained.
        strength: the share at which it does best beside the base on dev.
        n_pairs: pairs that belong together, by task.
        base: nDCG@10 of the base on dev, by data set.
        alone: nDCG@10 of the tower alone on dev, by data set.
        fused: nDCG@10 of both together at ``strength`` on dev, by data set.
        difference: of both together minus the base, the mean over sets, tested over all their dev queries. Every
            query's gain comes from the share that did best on other queries, so its mean may be below ``fused - base``.
            The number of steps was chosen on all of them, by what the tower is worth alone.
        helpful: whether that is above 0 at p < 0.05; False only where writing was forced.
        history: mean nDCG@10 of the tower alone on dev, by number of steps.
        diverged: why the training ended before its last step; None where it did not. Only where writing was forced.
    """

    name: str
    folder: Path
    steps: int
    strength: float
    n_pairs: dict[str, int]
    base: dict[str, float]
    alone: dict[str, float]
    fused: dict[str, float]
    difference: PairedTest
    helpful: bool
    history: dict[int, float]
    diverged: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "steps": self.steps,
            "strength": self.strength,
            "pairs": dict(self.n_pairs),
            "base": dict(self.base),
            "alone": dict(self.alone),
            "fused": dict(self.fused),
            "difference": self.difference.as_dict(),
            "helpful": self.helpful,
            "history": {str(steps): value for steps, value in self.history.items()},
            "diverged": self.diverged,
        }


@dataclass(frozen=True, slots=True, eq=False)
class DevSet:
    """A data set as the base embeds it, and its texts.

    Attributes:
        dataset: where it comes from.
        embedded: in the base's space.
        division: its train and dev queries.
        documents: their texts, in the order of the rows.
    """

    dataset: Dataset
    embedded: EmbeddedSet
    division: Division
    documents: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, encoder: TorchEncoder, *, cache: Path | None, show_progress: bool) -> "DevSet":
        """Embed a data set.

        Args:
            dataset: with train and, if possible, dev queries.
            encoder: the base.
            cache: a folder where vectors are kept between calls; None keeps none.
            show_progress: draw progress bars on stderr.

        Raises:
            CorpusError: the set cannot be read, or has no train split.
        """
        embedded = embed_dataset(dataset, encoder, cache=cache, show_progress=show_progress)
        join = encoder.space.joined
        texts = tuple(join(title=document.title, text=document.text) for document in dataset.load_documents())
        return cls(dataset, embedded, divide(embedded), texts)


def named_datasets(folders: Sequence[Path | str]) -> list[Dataset]:
    """Open BEIR folders that are told apart by their names, as reports and pilots do.

    Raises:
        InputError: two folders have one name.
        CorpusError: a folder cannot be read.
    """
    datasets: dict[str, Dataset] = {}
    for folder in folders:
        dataset = load_dataset(folder)
        if dataset.name in datasets:
            raise InputError(
                f"found two data sets called {dataset.name!r}, {datasets[dataset.name].folder} and {folder}; expected "
                f"names of their own, since results are kept by name: rename one folder, or leave it out"
            )
        datasets[dataset.name] = dataset
    return list(datasets.values())


def judged(
    tower: Tower, sets: Sequence[DevSet], *, interaction: float | None, documents_by: Tower | None = None
) -> DevScore:
    """Score a tower as it is now by nDCG@10 on the dev queries, alone and not beside the base; the mean over sets.

    Args:
        tower: as it is.
        sets: with the dev queries.
        interaction: temperature of the soft late interaction; None compares one vector a query.
        documents_by: writes the documents; None takes the tower itself.
    """
    values = {}
    writer = documents_by or tower
    for one in sets:
        dev = one.division.dev
        documents = writer.encode(one.documents, prompt=writer.document_prompt)
        asked = tower.queries(dev.texts, interaction=interaction)
        own = JudgedQueries(one.embedded.name, asked.vectors, documents, dev.relevant, dev.grades)
        values[one.embedded.name] = tower_ndcg(own, asked)
    return DevScore(float(np.mean([one.mean() for one in values.values()])), values)


def measured(
    name: str,
    out: Path,
    tuned: TorchEncoder,
    tasks: Sequence[TowerTask],
    sets: Sequence[DevSet],
    fitted: Fitted,
    recipe: TowerRecipe,
    *,
    model: str | None,
    how: SpaceFusion,
    seed: int,
) -> tuple[TowerReport, MeasuredTower]:
    """Measure a trained encoder beside the base.

    Args:
        name: of the expert.
        out: where it will be written.
        tuned: the encoder.
        tasks: what it was trained on.
        sets: data sets whose dev queries judge it.
        fitted: the outcome of the fit.
        recipe: of the fit.
        model: see :class:`~routeret.experts.TowerExpert`.
        how: how its scores and the base's become comparable.
        seed: how the dev queries are halved, and of the test.

    Returns:
        The report, and the expert with its pilots.
    """
    expert = TowerExpert(name, tuned, model=model, interaction=recipe.interaction, token_storage=recipe.token_storage)
    owns = [embedded_by(expert, one.dataset) for one in sets]
    towers = measured_expert(
        expert,
        [(one.embedded, own) for one, (own, _) in zip(sets, owns, strict=True)],
        tokens=[tokens for _, tokens in owns],
        query_tower=sets[0].embedded.query_tower,
        how=how,
        seed=seed,
    )
    share = towers.expert.strength
    alone = {}
    for one, (own, tokens) in zip(sets, owns, strict=True):
        asked = towers.expert.encode_queries(one.division.dev.texts)
        alone[own.name] = float(tower_ndcg(own.judged(divide(own).dev), asked, tokens=tokens).mean())
    at_share = STRENGTHS.index(share)
    report = TowerReport(
        name=name,
        folder=out,
        steps=fitted.steps,
        strength=share,
        n_pairs={task.graph.name: len(task.graph.edges) for task in tasks},
        base={one.name: float(one.base.mean()) for one in towers.scores},
        alone=alone,
        fused={one.name: float(one.options[:, 0, at_share].mean()) for one in towers.scores},
        difference=towers.difference,
        helpful=is_helpful(towers.difference),
        history={steps: score.value for steps, score in fitted.scores.items()},
        diverged=fitted.diverged,
    )
    details = {
        **towers.expert.details,
        "recipe": recipe.as_dict(),
        "seed": seed,
        "scores": report.as_dict() | {"folder": out.name},
    }
    return report, replace(towers, expert=replace(towers.expert, details=details))


def refusal(report: TowerReport, *, kept: Sequence[Path] = ()) -> str:
    """Why an expert that does not help is not written.

    Args:
        report: of its training.
        kept: the files that hold the state of the training.
    """
    by_set = "; ".join(
        f"{name}: base {report.base[name]:.3f}, with the expert {report.fused[name]:.3f}" for name in report.base
    )
    return refusal_of(report.name, report.difference, by_set=by_set, more="pairs", kept=kept)


def settings_of(
    tasks: Sequence[TowerTask],
    sets: Sequence[DevSet],
    recipe: TowerRecipe,
    encoder: TorchEncoder,
    *,
    seed: int,
) -> dict[str, Any]:
    """Everything that decides what a training gives, as JSON values."""
    return {
        "recipe": recipe.as_dict(),
        "seed": seed,
        "base": encoder.query_tower,
        "data": {one.embedded.name: dict(one.embedded.checksums) for one in sets},
        "tasks": [_as_settings(task, recipe) for task in tasks],
    }


def _as_settings(task: TowerTask, recipe: TowerRecipe) -> list[Any]:
    temperature = task.temperature_for(recipe.objective)
    return [_digest(task.graph), task.weight, temperature, task.domain, _rows(task)]


def _digest(graph: BipartiteGraph) -> str:
    digest = hashlib.sha256(graph.edges.tobytes())
    for text in (*graph.left_texts, *graph.right_texts):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def _rows(task: TowerTask) -> str | None:
    return None if task.hard_negatives is None else hashlib.sha256(task.hard_negatives.tobytes()).hexdigest()
