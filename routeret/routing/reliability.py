"""Whether what a router promises comes true, told from pilots of corpora that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routeret.routing.calibration import NORMAL_95, Calibration, helped
from routeret.routing.leave_corpus_out import Examples
from routeret.types import FloatArray

N_BINS = 10
"""How many bins of equal width a reliability diagram has."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Promises of about the same chance.

    Attributes:
        predicted: their mean.
        observed: share of them that came true.
        n: how many.
    """

    predicted: float
    observed: float
    n: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How true the promises "this expert helps" and the intervals of gains are.

    Every promise comes from a calibration that has not seen the corpus, nor one of its source or one that shares more
    than 1 % of its queries. One is made for every pilot, expert and strength.

    Attributes:
        n: how many promises.
        base_rate: share of them that came true.
        calibration_error: expected calibration error over ten bins of equal width (Naeini et al. 2015, section 3).
        brier_skill: 1 minus the Brier score over that of always saying the base rate; above 0 is better than that.
        auc: area under the ROC curve; None where all or none came true.
        bins: of the reliability diagram; those that are empty are left out.
        coverage: share of the mean gains of an expert on a strange corpus, at every strength, that lie within the 95 %
            interval; None where no corpus can be left out.
    """

    n: int
    base_rate: float
    calibration_error: float
    brier_skill: float
    auc: float | None
    bins: tuple[ReliabilityBin, ...]
    coverage: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        bins = [{"predicted": one.predicted, "observed": one.observed, "n": one.n} for one in self.bins]
        return {**values, "bins": bins}


def reliability_of(found: Sequence[Examples]) -> Reliability | None:
    """Leave every source out of the calibration once, with all that tells of its corpora, and look at these.

    Args:
        found: as :func:`routeret.routing.leave_corpus_out.examples` gives them.

    Returns:
        None where there are no two sources that tell nothing of each other.
    """
    promises, outcomes, inside = [], [], []
    for source in dict.fromkeys(one.source for one in found):
        own = [one for one in found if one.source == source]
        near = {relative for one in own for relative in one.relatives}
        others = [one for one in found if one.source != source and one.corpus not in near]
        if not others:
            continue
        calibration = Calibration.fit(others)
        for one in own:
            promises.append(calibration.helps_on(one))
            outcomes.append(helped(one))
            if not one.is_known:
                misses = np.abs((one.measured - one.predicted).mean(axis=0))
                inside.append(misses <= NORMAL_95 * calibration.unknown_errors)
    if not promises:
        return None
    return reliability(
        np.concatenate(promises),
        np.concatenate(outcomes),
        coverage=float(np.mean(inside)) if inside else None,
    )


def reliability(promises: FloatArray, outcomes: FloatArray, *, coverage: float | None = None) -> Reliability:
    """The figures of some promises.

    Args:
        promises: chances, float32, shape (n_promises,), at least one.
        outcomes: 1 where it came true, else 0, the same shape.
        coverage: passed on.
    """
    from sklearn.metrics import brier_score_loss, roc_auc_score

    promised, came_true = promises.astype(np.float64), outcomes.astype(np.float64)
    base_rate = float(came_true.mean())
    places = np.minimum((promised * N_BINS).astype(np.int64), N_BINS - 1)
    bins = []
    for place in np.unique(places):
        chosen = places == place
        bins.append(ReliabilityBin(float(promised[chosen].mean()), float(came_true[chosen].mean()), int(chosen.sum())))
    of_base_rate = base_rate * (1 - base_rate)
    brier = brier_score_loss(came_true, promised, labels=[0, 1])
    return Reliability(
        n=len(promised),
        base_rate=base_rate,
        calibration_error=sum(one.n * abs(one.predicted - one.observed) for one in bins) / len(promised),
        brier_skill=float(1 - brier / of_base_rate) if of_base_rate else 0.0,
        auc=float(roc_auc_score(came_true, promised)) if of_base_rate else None,
        bins=tuple(bins),
        coverage=coverage,
    )
