"""Trains an expert on data sets, and writes it only if it helps on dev."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from routeret import __version__
from routeret.datasets import load_dataset
from routeret.encoders import DEFAULT_BASE, load_encoder
from routeret.errors import ArtifactError, CorpusError, ExpertNotHelpfulError, InputError
from routeret.experts import LinearExpert
from routeret.experts.names import require_expert_name
from routeret.protocols import Encoder
from routeret.routing.pilots import PilotLibrary
from routeret.significance import PairedTest, paired_test
from routeret.training.choosing import Choice, DevScores, choose, score_checkpoints
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.linear import LinearRecipe, fit_linear
from routeret.training.measuring import Division, divide, pilot_corpus
from routeret.types import FloatArray

P_VALUE = 0.05
"""An expert helps if the mean dev difference is above 0 at a p-value below this."""

_ANCHORS_PER_SET = 600


@dataclass(frozen=True, slots=True)
class SetScore:
    """How an expert does on the dev queries of one set.

    Attributes:
        name: of the set.
        n_train: queries it was fitted to.
        n_dev: queries it was measured on.
        held_out: whether these were taken out of train, since the set has no dev split.
        base: nDCG@10 of the base.
        expert: nDCG@10 of the expert at its strength.
        difference: a paired test of the gains, where every query's gain comes from the steps and the strength that
            did best on other queries; so its mean may be below ``expert - base``.
    """

    name: str
    n_train: int
    n_dev: int
    held_out: bool
    base: float
    expert: float
    difference: PairedTest

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "n_train": self.n_train,
            "n_dev": self.n_dev,
            "held_out": self.held_out,
            "base": self.base,
            "expert": self.expert,
            "difference": self.difference.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training gave.

    Attributes:
        name: of the expert.
        folder: where it was written.
        strength: at which it does best on dev.
        steps: how long it was fitted.
        difference: of nDCG@10 on dev, the mean over sets, tested over all their queries.
        helpful: whether that is above 0 at p < 0.05; False only where writing was forced.
        sets: one a data set.
        n_truncated: documents that the base's token limit cut, by set.
    """

    name: str
    folder: Path
    strength: float
    steps: int
    difference: PairedTest
    helpful: bool
    sets: tuple[SetScore, ...]
    n_truncated: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "strength": self.strength,
            "steps": self.steps,
            "difference": self.difference.as_dict(),
            "helpful": self.helpful,
            "sets": {score.name: score.as_dict() for score in self.sets},
            "truncated_documents": dict(self.n_truncated),
        }


def train_expert(
    name: str,
    data: Sequence[Path | str],
    *,
    out: Path | str,
    anchors: Sequence[Path | str] = (),
    base: str | Path | Encoder = DEFAULT_BASE,
    device: str | None = None,
    seed: int = 0,
    recipe: LinearRecipe | None = None,
    cache: Path | None = None,
    force: bool = False,
    show_progress: bool = False,
) -> TrainReport:
    """Train a linear expert on BEIR folders and write it to a folder, with its pilots.

    It is fitted to all train queries; how long and how strong is chosen on dev. A set without a dev split gives a
    fifth of its train queries, at most 400, for that; the report says so.

    Args:
        name: of the expert.
        data: BEIR folders with a train split.
        out: the expert's folder; must not exist.
        anchors: BEIR folders of other domains, on whose train queries (dev where there are none) the expert is kept
            close to the base.
        base: the base model, by name or folder, or an encoder.
        device: where the base model runs; None takes a CUDA device if there is one.
        seed: fixes every draw of the fit.
        recipe: the defaults where None.
        cache: a folder where vectors are kept between calls; None keeps none.
        force: write the expert even if it does not help.
        show_progress: draw progress bars on stderr.

    Raises:
        ExpertNotHelpfulError: the expert does not beat the base on dev; nothing was written.
        InputError: the name is not allowed, or there is no data.
        CorpusError: a folder cannot be read, or has no train split.
        ArtifactError: there is something at ``out`` already.
        ModelNotFoundError: the base is nowhere on this machine.
    """
    out = Path(out)
    require_expert_name(name)
    if isinstance(data, str | Path) or not data:
        raise InputError(f"data is {data!r}, expected a list of at least one BEIR folder")
    if out.exists():
        raise ArtifactError(f"{out} exists already; choose another folder or remove it first")
    encoder = load_encoder(base, device=device)
    sets = [embed_dataset(load_dataset(one), encoder, cache=cache, show_progress=show_progress) for one in data]
    divisions = [divide(one) for one in sets]
    pull = _anchor_queries(anchors, encoder)
    recipe = recipe or LinearRecipe()
    checkpoints = fit_linear(
        [one.training_set(division.train) for one, division in zip(sets, divisions, strict=True)],
        anchors=pull,
        recipe=recipe,
        unit_length=encoder.space.unit_length,
        seed=seed,
        show_progress=show_progress,
    )
    dev = [one.judged(division.dev) for one, division in zip(sets, divisions, strict=True)]
    scores = score_checkpoints(checkpoints, dev, unit_length=encoder.space.unit_length)
    choice = choose(checkpoints, scores, seed=seed)
    report = _report(name, out, sets, divisions, scores, choice, seed=seed)
    if not report.helpful and not force:
        raise ExpertNotHelpfulError(_refusal(report))
    expert = LinearExpert(
        name=name,
        weight=choice.weight,
        strength=choice.strength,
        space=encoder.space,
        query_tower=encoder.query_tower,
        known_documents=np.concatenate([one.content_keys for one in sets]),
        details=_details(report, sets, recipe, anchors=anchors, seed=seed),
    )
    corpora = tuple(pilot_corpus(one, [expert], home_experts=[name]) for one in sets)
    pilots = PilotLibrary(query_tower=encoder.query_tower, corpora=corpora)
    expert.save(out, beside=lambda folder: pilots.save(folder / "pilots"))
    return report


def _anchor_queries(anchors: Sequence[Path | str], encoder: Encoder) -> FloatArray | None:
    """Base embeddings of some queries of every anchor set, shape (n, dim)."""
    vectors = []
    for folder in anchors:
        dataset = load_dataset(folder)
        split = next((split for split in ("train", "dev") if split in dataset.splits), None)
        if split is None:
            raise CorpusError(f"{folder} has neither train nor dev queries; its test queries are not to be trained on")
        texts = list(dataset.split(split)[0].values())
        chosen = np.random.default_rng(0).permutation(len(texts))[:_ANCHORS_PER_SET]
        vectors.append(encoder.encode_queries([texts[number] for number in np.sort(chosen)]))
    return np.concatenate(vectors) if vectors else None


def _report(
    name: str,
    out: Path,
    sets: Sequence[EmbeddedSet],
    divisions: Sequence[Division],
    scores: Sequence[DevScores],
    choice: Choice,
    *,
    seed: int,
) -> TrainReport:
    set_scores = tuple(
        SetScore(
            name=one.name,
            n_train=len(division.train),
            n_dev=len(division.dev),
            held_out=division.held_out,
            base=float(score.base.mean()),
            expert=float((score.base + chosen).mean()),
            difference=paired_test(gains, seed=seed),
        )
        for one, division, score, chosen, gains in zip(
            sets, divisions, scores, choice.chosen, choice.gains, strict=True
        )
    )
    # Weighted so that the mean over all queries is the mean over sets.
    n_queries = sum(len(gains) for gains in choice.gains)
    weighted = [gains * (n_queries / (len(choice.gains) * len(gains))) for gains in choice.gains]
    difference = paired_test(np.concatenate(weighted), seed=seed)
    return TrainReport(
        name=name,
        folder=out,
        strength=choice.strength,
        steps=choice.steps,
        difference=difference,
        helpful=difference.mean > 0 and difference.p_value < P_VALUE,
        sets=set_scores,
        n_truncated={one.name: one.n_truncated for one in sets},
    )


def _refusal(report: TrainReport) -> str:
    difference = report.difference
    by_set = "; ".join(
        f"{score.name}: base {score.base:.3f}, expert {score.expert:.3f} on {score.n_dev} queries"
        for score in report.sets
    )
    return (
        f"expert {report.name!r} changes nDCG@10 on dev by {difference.mean:+.4f} (p = {difference.p_value:.3f}), "
        f"expected more than 0 at p < {P_VALUE}; {by_set}. It was not written: give it more training queries, or write "
        f"it all the same with --force (force=True)"
    )


def _details(
    report: TrainReport,
    sets: Sequence[EmbeddedSet],
    recipe: LinearRecipe,
    *,
    anchors: Sequence[Path | str],
    seed: int,
) -> dict[str, Any]:
    values = report.as_dict()
    return {
        "data": {one.name: dict(one.checksums) for one in sets},
        "anchors": [Path(folder).resolve().name for folder in anchors],
        "seed": seed,
        "recipe": recipe.as_dict(),
        "steps": report.steps,
        "scores": {"difference": values["difference"], "helpful": report.helpful, "sets": values["sets"]},
        "truncated_documents": values["truncated_documents"],
        "versions": {"routeret": __version__, "numpy": version("numpy"), "torch": version("torch")},
    }
