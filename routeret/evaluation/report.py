"""The result of an evaluation: one value object with one JSON form."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from routeret.artifact import write_json
from routeret.errors import ArtifactError, InputError
from routeret.evaluation.layout import EXPERT, Table, aligned, markdown, system_order
from routeret.evaluation.provenance import Provenance
from routeret.measures import MEASURES, NDCG

Systems = Mapping[str, Mapping[str, float] | None]
"""Mean measures by system; None for a system that this dataset cannot have."""

DECIMALS = 6
"""Reports are rounded to this, so that they are equal on machines that differ in the last bits."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean nDCG@10 of a system minus that of the base over the same queries, with a 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of a dataset's queries, at least one."""

    n_queries: int
    systems: Systems


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """What every system scored on one dataset.

    Attributes:
        n_queries: how many queries are judged.
        systems: mean measures by system.
        diff_to_base: difference to the base by system; None where the system is None.
        weights: mean weight of every expert, of the base and of BM25 over the queries; empty if nothing was routed.
        gold_seen: the queries of which some relevant document was a training positive; None where there are none,
            or where the training positives are not known.
        gold_unseen: the queries of which none was; None likewise.
    """

    n_queries: int
    systems: Systems
    diff_to_base: Mapping[str, Difference | None]
    weights: Mapping[str, float]
    gold_seen: Stratum | None
    gold_unseen: Stratum | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`."""
        values = asdict(self)
        values["strata"] = {name: values.pop(name) for name in ("gold_seen", "gold_unseen")}
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DatasetReport":
        """The dataset's report whose :meth:`to_json` gave these values."""
        strata = {name: Stratum(**stratum) if stratum else None for name, stratum in values["strata"].items()}
        return cls(
            n_queries=values["n_queries"],
            systems=values["systems"],
            diff_to_base={
                system: Difference(**difference) if difference else None
                for system, difference in values["diff_to_base"].items()
            },
            weights=values["weights"],
            **strata,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What every system scored on several datasets.

    Attributes:
        merged: whether one index held all corpora, instead of one index a set.
        datasets: by the dataset's name.
        mean: mean measures over the datasets, each counting once, by system. A system that is None in some dataset
            is averaged over the others (:meth:`n_datasets`); one that is None in all of them is None.
        median: the same with the median.
        provenance: where the numbers come from; None if nobody said.
    """

    merged: bool
    datasets: Mapping[str, DatasetReport]
    mean: Systems
    median: Systems
    provenance: Provenance | None = None

    @classmethod
    def from_datasets(
        cls, datasets: Mapping[str, DatasetReport], *, merged: bool = False, provenance: Provenance | None = None
    ) -> "Report":
        """Put the reports of single datasets together.

        Args:
            datasets: at least one, by name.
            merged: whether one index held all corpora.
            provenance: where the numbers come from.

        Raises:
            InputError: there is no dataset.
        """
        if not datasets:
            raise InputError("a report over 0 datasets was asked for; expected at least one")
        names = system_order({name for dataset in datasets.values() for name in dataset.systems})
        found = {name: [dataset.systems.get(name) for dataset in datasets.values()] for name in names}
        return cls(
            merged=merged,
            datasets=dict(datasets),
            mean={name: _across(found[name], statistics.fmean) for name in names},
            median={name: _across(found[name], statistics.median) for name in names},
            provenance=provenance,
        )

    def n_datasets(self, system: str) -> int:
        """How many datasets have this system, so over how many its mean and median go."""
        return sum(dataset.systems.get(system) is not None for dataset in self.datasets.values())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`."""
        return {
            "merged": self.merged,
            "datasets": {name: dataset.to_json() for name, dataset in self.datasets.items()},
            "mean": {name: dict(values) if values else None for name, values in self.mean.items()},
            "median": {name: dict(values) if values else None for name, values in self.median.items()},
            "provenance": self.provenance.to_json() if self.provenance else None,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Report":
        """The report whose :meth:`to_json` gave these values."""
        provenance = values["provenance"]
        return cls(
            merged=values["merged"],
            datasets={name: DatasetReport.from_json(dataset) for name, dataset in values["datasets"].items()},
            mean=values["mean"],
            median=values["median"],
            provenance=Provenance.from_json(provenance) if provenance else None,
        )

    def save(self, path: Path) -> None:
        """Write the JSON form whole or not at all, over an older one."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read a report that :meth:`save` wrote.

        Raises:
            ArtifactError: the file is missing, is not JSON or is not a report.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ArtifactError(f"{path} does not exist; write it with: routeret eval --output {path}") from error
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ArtifactError(f"{path} is not valid JSON: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"{path} is not a report of this version ({type(error).__name__}: {error}); "
                f"write it again with: routeret eval --output {path}"
            ) from error

    def table(self, *, measure: str = NDCG, systems: Sequence[str] | None = None) -> str:
        """Give an aligned text table: a row a dataset and one each for mean and median, a column a system.

        Args:
            measure: one of the measures.
            systems: which systems, in this order; by default all but the single experts (``expert:<name>``).

        Raises:
            InputError: an unknown measure or system.
        """
        return aligned(self.values(measure=measure, systems=systems))

    def markdown(self, *, measure: str = NDCG, systems: Sequence[str] | None = None) -> str:
        """Give the same as :meth:`table` as a Markdown table."""
        return markdown(self.values(measure=measure, systems=systems))

    def values(self, *, measure: str = NDCG, systems: Sequence[str] | None = None) -> Table:
        """Give the header, rows and notes that :meth:`table` and :meth:`markdown` draw."""
        if measure not in MEASURES:
            raise InputError(f"unknown measure {measure!r}; this report has {', '.join(MEASURES)}")
        shown = list(systems) if systems is not None else self._default_systems()
        unknown = [name for name in shown if name not in self.mean]
        if unknown:
            raise InputError(f"unknown system {unknown[0]!r}; this report has {', '.join(system_order(self.mean))}")

        def cells(source: Systems) -> list[float | None]:
            return [(source.get(name) or {}).get(measure) for name in shown]

        rows = [(name, dataset.n_queries, *cells(dataset.systems)) for name, dataset in sorted(self.datasets.items())]
        return Table(
            header=("dataset", "queries", *shown),
            rows=(*rows, ("mean", "", *cells(self.mean)), ("median", "", *cells(self.median))),
            notes=tuple(
                f"{name}: mean and median over {self.n_datasets(name)} of {len(self.datasets)} datasets"
                for name in shown
                if self.n_datasets(name) < len(self.datasets)
            ),
        )

    def _default_systems(self) -> list[str]:
        names = system_order(self.mean)
        return [name for name in names if not name.startswith(EXPERT)] or names


def _across(
    found: Sequence[Mapping[str, float] | None], summary: Callable[[list[float]], float]
) -> dict[str, float] | None:
    present = [values for values in found if values is not None]
    if not present:
        return None
    return {name: round(summary([values[name] for values in present]), DECIMALS) for name in MEASURES}
