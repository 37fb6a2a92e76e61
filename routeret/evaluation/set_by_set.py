"""Pairs of systems, set by set: on which sets one is better than the other, not worse, or worse."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from routeret.evaluation.dataset_report import DECIMALS, DatasetReport, QueryScores
from routeret.evaluation.layout import signed
from routeret.significance import MARGIN, bootstrap_intervals, holm, sign_flip_p_values
from routeret.types import BASE

PAIRS = (("routed", BASE), ("routed_hybrid", "hybrid"))
"""Which systems are compared with which: routing with what it mixes when it does nothing."""

LEVEL = 0.05
"""Up to this p-value a difference is shown."""

Verdict = Literal["superior", "not inferior", "inferior", "not shown"]
"""What is shown of a difference: that it is above 0, above -0.01, below -0.01, or none of these."""


@dataclass(frozen=True, slots=True)
class SetDifference:
    """Mean nDCG@10 of a system minus that of another on one set.

    The p-values are of the two-sided randomisation test that turns whole clusters of queries
    (:func:`routeret.significance.sign_flip_p_values`), adjusted over the sets of the pair (Holm, 1979). A set in one
    cluster has p 1, so nothing is shown by it. The test takes the differences to lie evenly about what is tested: where
    few queries lose much, a small set is called not inferior too readily, as it is by the interval.

    Attributes:
        mean: the difference.
        low: lower end of the 95 % interval by a bootstrap of clusters; not adjusted.
        high: upper end.
        p_zero: that the difference is 0.
        p_margin: that it is -0.01.
    """

    mean: float
    low: float
    high: float
    p_zero: float
    p_margin: float

    @property
    def verdict(self) -> Verdict:
        """What is shown."""
        if self.p_zero <= LEVEL and self.mean > 0:
            return "superior"
        if self.p_margin <= LEVEL:
            return "not inferior" if self.mean > -MARGIN else "inferior"
        return "not shown"


@dataclass(frozen=True, slots=True)
class SystemPair:
    """A system and the one that it is compared with, on every set that has both.

    Attributes:
        system: the one that may be better.
        baseline: the one to compare with.
        datasets: by the set's name, at least one.
    """

    system: str
    baseline: str
    datasets: Mapping[str, SetDifference]

    def sets(self, verdict: Verdict) -> list[str]:
        """The names of the sets with a verdict, in alphabetical order."""
        return sorted(name for name, one in self.datasets.items() if one.verdict == verdict)

    def __str__(self) -> str:
        """One line: how many sets have which verdict, and which they are."""
        parts = []
        for verdict in get_args(Verdict):
            names = self.sets(verdict)
            if names or verdict == "inferior":
                found = ", ".join(f"{name} {signed(self.datasets[name].mean)}" for name in names)
                parts.append(f"{verdict} on {len(names)}{f' ({found})' if found else ''}")
        n_sets = len(self.datasets)
        return f"{self.system} - {self.baseline}, {n_sets} set{'s' * (n_sets != 1)}: {'; '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`; with the verdicts."""
        datasets = {name: {**asdict(one), "verdict": one.verdict} for name, one in self.datasets.items()}
        return {"system": self.system, "baseline": self.baseline, "datasets": datasets}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SystemPair":
        """The pair whose :meth:`to_json` gave these values."""
        datasets = {
            name: SetDifference(**{field: value for field, value in found.items() if field != "verdict"})
            for name, found in values["datasets"].items()
        }
        return cls(values["system"], values["baseline"], datasets)


def set_by_set(datasets: Mapping[str, DatasetReport], *, seed: int = 0) -> tuple[SystemPair, ...] | None:
    """The pairs of :data:`PAIRS` on every set that has both systems; a pair that no set has is left out.

    Args:
        datasets: by name.
        seed: fixes the resamples.

    Returns:
        None as a whole where some dataset does not tell what the systems scored query by query.
    """
    scores = {name: dataset.scores for name, dataset in datasets.items() if dataset.scores is not None}
    if len(scores) < len(datasets):
        return None
    found: dict[tuple[str, str], dict[str, SetDifference]] = {}
    for name, one in scores.items():
        pairs = [pair for pair in PAIRS if set(pair) <= set(one.systems)]
        for pair, difference in zip(pairs, _differences(one, pairs, seed=seed), strict=True):
            found.setdefault(pair, {})[name] = difference
    return tuple(SystemPair(*pair, _adjusted(found[pair])) for pair in PAIRS if pair in found)


def _differences(scores: QueryScores, pairs: Sequence[tuple[str, str]], *, seed: int) -> list[SetDifference]:
    """The differences of some pairs on one set; the p-values are not adjusted yet."""
    if not pairs:
        return []
    columns = scores.of_pairs(pairs)
    intervals = bootstrap_intervals(columns, clusters=scores.clusters, seed=seed)
    # Signs are turned about the difference that is tested.
    both = np.concatenate([columns, columns + MARGIN], axis=1)
    p_values = sign_flip_p_values(both, clusters=scores.clusters, seed=seed).reshape(2, len(pairs))
    table = np.stack([*intervals, *p_values]).round(DECIMALS)
    return [SetDifference(*column.tolist()) for column in table.T]


def _adjusted(datasets: Mapping[str, SetDifference]) -> dict[str, SetDifference]:
    p_zero = holm([one.p_zero for one in datasets.values()])
    p_margin = holm([one.p_margin for one in datasets.values()])
    return {
        name: replace(one, p_zero=round(zero, DECIMALS), p_margin=round(margin, DECIMALS))
        for (name, one), zero, margin in zip(datasets.items(), p_zero, p_margin, strict=True)
    }
