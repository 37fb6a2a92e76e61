"""What the training of an expert gave, and whether that is enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret.significance import PairedTest, paired_test
from routeret.training.choosing import Choice, DevScores
from routeret.training.material import Material
from routeret.types import FloatArray

P_VALUE = 0.05
"""An expert helps if the mean dev difference is above 0 at a p-value below this."""


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
        diverged: what became of fits that ended before their last step, in words; none where all went well.
    """

    name: str
    folder: Path
    strength: float
    steps: int
    difference: PairedTest
    helpful: bool
    sets: tuple[SetScore, ...]
    n_truncated: dict[str, int]
    diverged: tuple[str, ...] = ()

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
            "diverged": list(self.diverged),
        }


def report_of(
    name: str, out: Path, material: Material, scores: Sequence[DevScores], choice: Choice, *, steps: int, seed: int
) -> TrainReport:
    """Compare an expert with the base on dev.

    Args:
        name: of the expert.
        out: where it is written.
        material: what it was trained on.
        scores: of the dev queries, one a data set.
        choice: the fit and strength that were taken.
        steps: of that fit.
        seed: of the test.
    """
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
            material.sets, material.divisions, scores, choice.chosen, choice.gains, strict=True
        )
    )
    difference = tested_over_sets(choice.gains, seed=seed)
    return TrainReport(
        name=name,
        folder=out,
        strength=choice.strength,
        steps=steps,
        difference=difference,
        helpful=is_helpful(difference),
        sets=set_scores,
        n_truncated={one.name: one.n_truncated for one in material.sets},
    )


def tested_over_sets(gains: Sequence[FloatArray], *, seed: int) -> PairedTest:
    """Test the gains of the queries of several sets, every set counting the same however many queries it has.

    Args:
        gains: of every set, float32, shape (n_queries,); no set at all differs by 0, at p 1.
        seed: of the test.
    """
    # Weighted so that the mean over all queries is the mean over sets.
    n_queries = sum(len(one) for one in gains)
    weighted = [one * (n_queries / (len(gains) * len(one))) for one in gains]
    return paired_test(np.concatenate([np.zeros(0), *weighted]), seed=seed)


def is_helpful(difference: PairedTest) -> bool:
    """Whether an expert with this dev difference is written without being forced."""
    return difference.mean > 0 and difference.p_value < P_VALUE


def refusal(report: TrainReport, *, kept: Sequence[Path] = ()) -> str:
    """Words for why an expert was not written.

    Args:
        report: of its training.
        kept: the files that hold the state of the training.
    """
    by_set = "; ".join(
        f"{score.name}: base {score.base:.3f}, expert {score.expert:.3f} on {score.n_dev} queries"
        for score in report.sets
    )
    why = refusal_of(report.name, report.difference, by_set=by_set, more="training queries", kept=kept)
    return ". ".join([why, *report.diverged])


def refusal_of(name: str, difference: PairedTest, *, by_set: str, more: str, kept: Sequence[Path] = ()) -> str:
    """Words for why an expert of any kind was not written.

    Args:
        name: of the expert.
        difference: of nDCG@10 on dev.
        by_set: what base and expert reach, by set.
        more: what the expert needs more of.
        kept: the files that hold the state of the training.
    """
    again = (
        f". That trains nothing again, since the training is kept in {', '.join(map(str, kept))}; remove that before a "
        f"training with other data or settings"
    )
    return (
        f"expert {name!r} changes nDCG@10 on dev by {difference.mean:+.4f} (p = {difference.p_value:.3f}), "
        f"expected more than 0 at p < {P_VALUE}; {by_set}. It was not written: give it more {more}, or write "
        f"it all the same with --force (force=True){again if kept else ''}"
    )
