"""One evaluation of several trainings of a pack: mean and spread over their seeds."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import write_json
from routeret.errors import InputError
from routeret.evaluation.dataset_report import DECIMALS, Difference, QueryScores
from routeret.evaluation.layout import Cell, Table, aligned, signed
from routeret.evaluation.report import Report
from routeret.evaluation.saved import read_report
from routeret.evaluation.set_by_set import PAIRS
from routeret.measures import NDCG
from routeret.repeats import first_repeated
from routeret.significance import intervals_over_seeds
from routeret.types import BASE


@dataclass(frozen=True, slots=True)
class Spread:
    """A number over several trainings.

    Attributes:
        mean: over them.
        deviation: standard deviation of a single training, estimated from these.
        lowest: of them.
        highest: of them.
    """

    mean: float
    deviation: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class SeedsReport:
    """What the trainings of a pack, each from a seed of its own, scored on the same data sets.

    Attributes:
        reports: of every training, by the name or folder of its pack; at least two.
        mean: nDCG@10 over the data sets, each counting once, by system; None for a system that is None in a report.
        differences: a system and what it is compared with, by name (``"routed - base"``), over trainings, data sets and
            clusters of queries (:func:`routeret.significance.intervals_over_seeds`), without p-values; over the data
            sets that have both.
    """

    reports: Mapping[str, Report]
    mean: Mapping[str, Spread | None]
    differences: Mapping[str, Difference]

    @classmethod
    def of(cls, reports: Mapping[str, Report], *, seed: int = 0) -> "SeedsReport":
        """Put the reports of several trainings together.

        Args:
            reports: by the name or folder of the pack; of the same data sets, systems and split, as they were made.
            seed: fixes the resamples.

        Raises:
            InputError: there are fewer than two, two are of the same pack, they measure different things, or one was
                read from a file and does not hold single queries.
        """
        _require_alike(reports)
        several = list(reports.values())
        return cls(
            reports=dict(reports),
            mean={name: _spread([one.mean[name] for one in several]) for name in several[0].mean},
            differences=_differences(several, seed=seed),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`."""
        return {
            "seeds": {name: report.to_json() for name, report in self.reports.items()},
            "mean": {name: None if one is None else asdict(one) for name, one in self.mean.items()},
            "differences": {name: asdict(one) for name, one in self.differences.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SeedsReport":
        """The report whose :meth:`to_json` gave these values."""
        return cls(
            reports={name: Report.from_json(report) for name, report in values["seeds"].items()},
            mean={name: None if one is None else Spread(**one) for name, one in values["mean"].items()},
            differences={name: Difference(**one) for name, one in values["differences"].items()},
        )

    def save(self, path: Path) -> None:
        """Write the JSON form whole or not at all, over an older one."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "SeedsReport":
        """Read a report that :meth:`save` wrote.

        Raises:
            ArtifactError: the file is missing, is not JSON or is no such report.
        """
        return read_report(
            path, cls.from_json, what="a report over several trainings", command="routeret eval --pack PACK PACK"
        )

    def table(self) -> str:
        """Give a text table with a row a system, and one with a row a difference."""
        return "\n\n".join(map(aligned, self.values()))

    def values(self) -> tuple[Table, Table]:
        """Give the header, rows and notes of the tables that :meth:`table` draws."""
        shown = next(iter(self.reports.values())).shown()
        rows = [(name, *_cells(self.mean[name])) for name in shown]
        means = Table(
            header=("system", NDCG, "deviation", "lowest", "highest"),
            rows=tuple(rows),
            notes=(f"over {len(self.reports)} trainings: of the mean over the data sets",),
        )
        differences = Table(
            header=("difference", "mean", "95 %", "not_inferior"),
            rows=tuple(
                (
                    name,
                    signed(one.mean),
                    f"{signed(one.low)} to {signed(one.high)}",
                    "yes" if one.non_inferior else "no",
                )
                for name, one in self.differences.items()
                if name.removesuffix(f" - {BASE}") in shown or not name.endswith(f" - {BASE}")
            ),
            notes=("95 %: over trainings, data sets and clusters of queries",),
        )
        return means, differences


def require_different_packs(packs: Sequence[tuple[str, str | None]]) -> None:
    """Do nothing if these are at least two packs, each of another seed.

    Args:
        packs: name and fingerprint; None where nobody wrote down which pack it was.

    Raises:
        InputError: there are fewer, or two are the same.
    """
    if len(packs) < 2:
        raise InputError(f"{len(packs)} training was given; expected at least two, each a pack of another seed")
    known = [(name, fingerprint) for name, fingerprint in packs if fingerprint is not None]
    twice = first_repeated([fingerprint for _, fingerprint in known])
    if twice is not None:
        one, two, *_ = (name for name, fingerprint in known if fingerprint == twice)
        raise InputError(f"{one!r} and {two!r} are the same pack; give trainings of other seeds")


def _require_alike(reports: Mapping[str, Report]) -> None:
    packs = [(name, one.provenance.pack if one.provenance else None) for name, one in reports.items()]
    require_different_packs(packs)
    (first_name, first), *others = reports.items()
    for name, report in reports.items():
        if any(dataset.scores is None for dataset in report.datasets.values()):
            raise InputError(f"the report of {name!r} does not hold single queries; evaluate that pack again")
    for name, other in others:
        for what, one, two in (
            ("data sets", first.datasets.keys(), other.datasets.keys()),
            ("systems", first.mean.keys(), other.mean.keys()),
            ("documents", _indexes(first), _indexes(other)),
            ("settings", _settings(first), _settings(other)),
        ):
            if one != two:
                raise InputError(
                    f"{first_name!r} and {name!r} were measured on different {what} "
                    f"({', '.join(map(str, one))}; {', '.join(map(str, two))}); give packs of one recipe and base"
                )


def _indexes(report: Report) -> list[str]:
    """The fingerprints of what was searched, of its space too."""
    return [] if report.provenance is None else [f"{one}" for one in report.provenance.indexes.values()]


def _settings(report: Report) -> list[str]:
    """The split and the ways to measure that change what is measured."""
    provenance = report.provenance
    ways = ["merged" if report.merged else "separate"]
    if provenance is not None:
        ways += [f"split {provenance.split}", *(["left out"] if provenance.left_out else [])]
    return ways


def _spread(means: Sequence[Mapping[str, float] | None]) -> Spread | None:
    values = [one[NDCG] for one in means if one is not None]
    if len(values) < len(means):
        return None
    numbers = (statistics.fmean(values), statistics.stdev(values), min(values), max(values))
    return Spread(*(round(number, DECIMALS) for number in numbers))


def _differences(reports: Sequence[Report], *, seed: int) -> dict[str, Difference]:
    """All systems against the base, then the pairs that are compared set by set."""
    systems = [name for name in reports[0].mean if name != BASE]
    pairs = [*((name, BASE) for name in systems), *(pair for pair in PAIRS if pair[1] != BASE)]
    pairs_by_holders: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for pair in pairs:
        holders = tuple(name for name in reports[0].datasets if all(_has(report, name, pair) for report in reports))
        pairs_by_holders.setdefault(holders, []).append(pair)
    found: dict[tuple[str, str], Difference] = {}
    for holders, held in pairs_by_holders.items():
        if not holders:
            continue
        scores = [[_scores(report, name) for report in reports] for name in holders]
        intervals = intervals_over_seeds(
            [np.stack([one.of_pairs(held) for one in trainings], axis=2) for trainings in scores],
            clusters=[trainings[0].clusters for trainings in scores],
            seed=seed,
        )
        for pair, *interval in zip(held, *intervals, strict=True):
            found[pair] = Difference(*(round(float(value), DECIMALS) for value in interval))
    return {
        f"{system} - {baseline}": found[system, baseline] for system, baseline in pairs if (system, baseline) in found
    }


def _has(report: Report, dataset: str, pair: tuple[str, str]) -> bool:
    return set(pair) <= set(_scores(report, dataset).systems)


def _scores(report: Report, dataset: str) -> QueryScores:
    scores = report.datasets[dataset].scores
    if scores is None:
        raise InputError(f"the report of {dataset!r} does not hold single queries; evaluate it again")
    return scores


def _cells(spread: Spread | None) -> list[Cell]:
    if spread is None:
        return [None] * 4
    return [spread.mean, spread.deviation, spread.lowest, spread.highest]
