"""Trains an encoder on texts that belong together, both towers at once, into an expert with documents of its own."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import remove_leftovers
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import DEFAULT_BASE, TorchEncoder, load_encoder
from routeret.errors import ArtifactError, ExpertNotHelpfulError, InputError
from routeret.experts.names import require_expert_name
from routeret.mining import BipartiteGraph
from routeret.protocols import Encoder
from routeret.significance import PairedTest, paired_test
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.fitting import DevScore, FitState, Fitted
from routeret.training.measuring import Division, divide
from routeret.training.scoring import JudgedQueries
from routeret.training.tower import Tower
from routeret.training.tower_fit import fit_to_tasks
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.towers import measured_tower, tower_gains, tower_ndcg

P_VALUE = 0.05
"""An expert helps if the mean dev difference is above 0 at a p-value below this."""


@dataclass(frozen=True, slots=True)
class TowerReport:
    """What the training of a tower gave.

    Attributes:
        name: of the expert.
        folder: where it was written.
        steps: how long it was trained.
        strength: the share at which it does best beside the base.
        n_pairs: pairs that belong together, by task.
        base: nDCG@10 of the base on dev, by data set.
        alone: nDCG@10 of the tower alone on dev, by data set.
        fused: nDCG@10 of both together at ``strength`` on dev, by data set.
        difference: fused minus base, the mean over sets, tested over all their dev queries.
        helpful: whether that is above 0 at p < 0.05; False only where writing was forced.
        history: mean nDCG@10 of the tower alone on dev, by number of steps.
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
        }


def train_two_tower(
    name: str,
    tasks: Sequence[TowerTask],
    data: Sequence[Path | str],
    *,
    out: Path | str,
    base: str | Path | Encoder = DEFAULT_BASE,
    recipe: TowerRecipe | None = None,
    device: str | None = None,
    seed: int = 0,
    cache: Path | None = None,
    force: bool = False,
    show_progress: bool = False,
) -> TowerReport:
    """Train both towers of a model on pairs, and write an expert with documents of its own, with its pilots.

    How long is chosen by the dev queries of the data sets, on which the tower is then measured beside the base. An
    interrupted training goes on where it stopped when it is repeated, and ends with the same expert.

    Args:
        name: of the expert.
        tasks: pairs that belong together; see :class:`TowerTask`.
        data: BEIR folders with train and, if possible, dev queries; nothing of them is trained on that is not in
            ``tasks``.
        out: the expert's folder; must not exist.
        base: the model to start from, by name or folder, or its encoder.
        recipe: the defaults where None.
        device: where the model runs; None takes a CUDA device if there is one.
        seed: fixes every draw.
        cache: a folder where the base's vectors are kept between calls; None keeps none.
        force: write the expert even if it does not help.
        show_progress: draw progress bars on stderr.

    Raises:
        ExpertNotHelpfulError: beside the base the expert does not beat it on dev; nothing was written.
        InputError: the name is not allowed, there is no task or data set, or the base is no PyTorch model.
        CorpusError: a folder cannot be read, or has no train split.
        ArtifactError: there is something at ``out`` already, or an interrupted training with other settings.
        TrainingDivergedError: a loss is not finite; its batch is named.
    """
    out, recipe = Path(out), recipe or TowerRecipe()
    require_expert_name(name)
    if isinstance(data, str | Path) or not data:
        raise InputError(f"data is {data!r}, expected a list of at least one BEIR folder")
    if out.exists():
        raise ArtifactError(f"{out} exists already; choose another folder or remove it first")
    encoder = load_encoder(base, device=device)
    if not isinstance(encoder, TorchEncoder):
        raise InputError(f"the base is a {type(encoder).__name__}, expected a sentence-transformers model")
    sets = [_DevSet.of(load_dataset(one), encoder, cache=cache, show_progress=show_progress) for one in data]
    state = FitState.beside(out, settings=_settings(tasks, sets, recipe, encoder, seed=seed))
    tower = Tower(encoder, max_tokens=recipe.max_tokens)
    fitted = fit_to_tasks(
        tower,
        tasks,
        judge=lambda: _judged(tower, sets, encoder, interaction=recipe.interaction),
        recipe=recipe,
        seed=seed,
        state=state,
        show_progress=show_progress,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.model-", dir=out.parent) as folder:
        tower.save(Path(folder) / "model")
        tuned = _encoder_of(Path(folder) / "model", like=encoder)
        report = _written(name, out, tuned, tasks, sets, fitted, recipe, seed=seed, force=force)
    state.remove()
    remove_leftovers(out)
    return report


@dataclass(frozen=True, slots=True, eq=False)
class _DevSet:
    """A data set as the base embeds it, and its texts."""

    dataset: Dataset
    embedded: EmbeddedSet
    division: Division
    documents: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, encoder: TorchEncoder, *, cache: Path | None, show_progress: bool) -> "_DevSet":
        embedded = embed_dataset(dataset, encoder, cache=cache, show_progress=show_progress)
        join = encoder.space.joined
        texts = tuple(join(title=document.title, text=document.text) for document in dataset.load_documents())
        return cls(dataset, embedded, divide(embedded), texts)


def _judged(tower: Tower, sets: Sequence[_DevSet], encoder: TorchEncoder, *, interaction: float | None) -> DevScore:
    """nDCG@10 of the tower alone on the dev queries, the mean over sets."""
    values = {}
    for one in sets:
        dev = one.division.dev
        documents = tower.encode(one.documents, prompt=encoder.document_prompt)
        asked = tower.queries(dev.texts, interaction=interaction)
        judged = JudgedQueries(one.embedded.name, asked.vectors, documents, dev.relevant, dev.grades)
        values[one.embedded.name] = tower_ndcg(judged, asked)
    return DevScore(float(np.mean([one.mean() for one in values.values()])), values)


def _encoder_of(folder: Path, *, like: TorchEncoder) -> TorchEncoder:
    """The encoder of a trained model, with the prompts and the token limit of the one it was made from."""
    return TorchEncoder(
        folder,
        device=like.device,
        max_tokens=like.space.max_tokens,
        query_prompt=like.query_prompt,
        document_prompt=like.document_prompt,
    )


def _written(
    name: str,
    out: Path,
    tuned: TorchEncoder,
    tasks: Sequence[TowerTask],
    sets: Sequence[_DevSet],
    fitted: Fitted,
    recipe: TowerRecipe,
    *,
    seed: int,
    force: bool,
) -> TowerReport:
    """Measure a trained encoder beside the base and write it if it helps."""
    pairs = [(one.embedded, embed_dataset(one.dataset, tuned)) for one in sets]
    towers = measured_tower(
        name,
        tuned,
        pairs,
        query_tower=sets[0].embedded.query_tower,
        model=None,
        interaction=recipe.interaction,
    )
    share = towers.expert.strength
    base, alone, fused, gains = {}, {}, {}, []
    for one, (embedded, own) in zip(sets, pairs, strict=True):
        dev, twins = one.division.dev, divide(own).dev
        before, after = embedded.judged(dev), own.judged(twins)
        asked = towers.expert.encode_queries(dev.texts)
        gains.append(tower_gains(before, after, asked=asked, shares=(share,))[:, 0])
        base[embedded.name] = float(before.ndcg_of(before.queries).mean())
        alone[embedded.name] = float(tower_ndcg(after, asked).mean())
        fused[embedded.name] = base[embedded.name] + float(gains[-1].mean())
    # Weighted so that the mean over all queries is the mean over sets.
    n_queries = sum(len(one) for one in gains)
    weighted = np.concatenate([one * (n_queries / (len(gains) * len(one))) for one in gains])
    difference = paired_test(weighted, seed=seed)
    report = TowerReport(
        name=name,
        folder=out,
        steps=fitted.steps,
        strength=share,
        n_pairs={task.graph.name: len(task.graph.edges) for task in tasks},
        base=base,
        alone=alone,
        fused=fused,
        difference=difference,
        helpful=difference.mean > 0 and difference.p_value < P_VALUE,
        history={steps: score.value for steps, score in fitted.scores.items()},
    )
    if not report.helpful and not force:
        raise ExpertNotHelpfulError(_refusal(report))
    details = {"recipe": recipe.as_dict(), "seed": seed, "scores": report.as_dict() | {"folder": out.name}}
    expert = replace(towers.expert, details=details)
    expert.save(out, beside=lambda folder: towers.pilots.save(folder / "pilots"))
    return report


def _settings(
    tasks: Sequence[TowerTask],
    sets: Sequence[_DevSet],
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
        "tasks": [[_digest(task.graph), task.weight, task.temperature, _rows(task)] for task in tasks],
    }


def _digest(graph: BipartiteGraph) -> str:
    digest = hashlib.sha256(graph.edges.tobytes())
    for text in (*graph.left_texts, *graph.right_texts):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def _rows(task: TowerTask) -> str | None:
    return None if task.hard_negatives is None else hashlib.sha256(task.hard_negatives.tobytes()).hexdigest()


def _refusal(report: TowerReport) -> str:
    by_set = "; ".join(
        f"{name}: base {report.base[name]:.3f}, with the expert {report.fused[name]:.3f}" for name in report.base
    )
    return (
        f"expert {report.name!r} changes nDCG@10 on dev by {report.difference.mean:+.4f} (p = "
        f"{report.difference.p_value:.3f}), expected more than 0 at p < {P_VALUE}; {by_set}. It was not written: give "
        f"it more pairs, or write it all the same with --force (force=True)"
    )
