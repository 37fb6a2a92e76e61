"""The result of an evaluation: one value object with one JSON form."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.artifact import write_json
from routeret.errors import ArtifactError, InputError
from routeret.evaluation.against_oracles import AgainstOracles, against_oracles, against_oracles_of, best_single_model
from routeret.evaluation.dataset_report import DECIMALS, DatasetReport, Difference, Systems, differences_of, plain
from routeret.evaluation.differences import differences_over, with_holm
from routeret.evaluation.layout import EXPERT, Table, aligned, markdown, system_order
from routeret.evaluation.oracles import FURTHER, ORACLES
from routeret.evaluation.provenance import Provenance
from routeret.evaluation.set_by_set import SystemPair, set_by_set
from routeret.measures import MEASURES, NDCG
from routeret.types import BASE


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
        diff_to_base: difference to the base over the datasets by system, with an interval over datasets and queries
            (:func:`routeret.evaluation.differences.differences_over`) and no p-value; None for a system that is None,
            and as a whole in a report of an earlier version.
        best_single_model: the one model, base or expert, that is best over all datasets; None without oracles.
        against_oracles: what every system leaves to the oracles; None for a system that is None, and as a whole
            without oracles.
        pairs: what routing changes set by set (:data:`routeret.evaluation.set_by_set.PAIRS`), with the verdicts; None
            in a report of an earlier version.
    """

    merged: bool
    datasets: Mapping[str, DatasetReport]
    mean: Systems
    median: Systems
    provenance: Provenance | None = None
    diff_to_base: Mapping[str, Difference | None] | None = None
    best_single_model: str | None = None
    against_oracles: Mapping[str, AgainstOracles | None] | None = None
    pairs: tuple[SystemPair, ...] | None = None

    @classmethod
    def from_datasets(
        cls,
        datasets: Mapping[str, DatasetReport],
        *,
        merged: bool = False,
        provenance: Provenance | None = None,
        seed: int = 0,
    ) -> "Report":
        """Put the reports of single datasets together; the p-values of all of them become one family.

        Args:
            datasets: at least one, by name.
            merged: whether one index held all corpora.
            provenance: where the numbers come from.
            seed: fixes the bootstrap of the intervals over datasets.

        Raises:
            InputError: there is no dataset.
        """
        if not datasets:
            raise InputError("a report over 0 datasets was asked for; expected at least one")
        names = system_order({name for dataset in datasets.values() for name in dataset.systems})
        found = {name: [dataset.systems.get(name) for dataset in datasets.values()] for name in names}
        systems, oracles = [one.systems for one in datasets.values()], against_oracles(list(datasets.values()))
        return cls(
            merged=merged,
            datasets=with_holm(datasets),
            mean={name: _across(found[name], statistics.fmean) for name in names},
            median={name: _across(found[name], statistics.median) for name in names},
            provenance=provenance,
            diff_to_base=differences_over(datasets, seed=seed),
            best_single_model=None if oracles is None else best_single_model(systems),
            against_oracles=oracles,
            pairs=set_by_set(datasets, seed=seed),
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
            "diff_to_base": None if self.diff_to_base is None else plain(self.diff_to_base),
            "best_single_model": self.best_single_model,
            "against_oracles": None if self.against_oracles is None else plain(self.against_oracles),
            "pairs": None if self.pairs is None else [pair.to_json() for pair in self.pairs],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Report":
        """The report whose :meth:`to_json` gave these values, or that of an earlier version."""
        provenance = values["provenance"]
        differences, oracles = values.get("diff_to_base"), values.get("against_oracles")
        pairs = values.get("pairs")
        return cls(
            merged=values["merged"],
            datasets={name: DatasetReport.from_json(dataset) for name, dataset in values["datasets"].items()},
            mean=values["mean"],
            median=values["median"],
            provenance=Provenance.from_json(provenance) if provenance else None,
            diff_to_base=None if differences is None else differences_of(differences),
            best_single_model=values.get("best_single_model"),
            against_oracles=None if oracles is None else against_oracles_of(oracles),
            pairs=None if pairs is None else tuple(SystemPair.from_json(pair) for pair in pairs),
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
            systems: which systems, in this order; by default all but the single experts (``expert:<name>``) and the
                oracles of :data:`~routeret.evaluation.oracles.FURTHER`.

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
        shown = self.shown(systems)

        def cells(source: Systems) -> list[float | None]:
            return [(source.get(name) or {}).get(measure) for name in shown]

        rows = [(name, dataset.n_queries, *cells(dataset.systems)) for name, dataset in sorted(self.datasets.items())]
        return Table(
            header=("dataset", "queries", *shown),
            rows=(*rows, ("mean", "", *cells(self.mean)), ("median", "", *cells(self.median))),
            notes=(*self._notes_on_systems(shown), *self._notes_on_queries()),
        )

    def oracles(self) -> list[str]:
        """The base and all oracles of the report where there are more than the plain ones, otherwise none."""
        measured = [name for name in ORACLES if name in self.mean]
        return [BASE, *measured] if set(measured) & set(FURTHER) else []

    def shown(self, systems: Sequence[str] | None = None) -> list[str]:
        """The systems of a table: those that are asked for, or by default all but single experts and further oracles.

        Raises:
            InputError: an unknown system.
        """
        if systems is None:
            names = system_order(self.mean)
            return [name for name in names if not name.startswith(EXPERT) and name not in FURTHER] or names
        unknown = [name for name in systems if name not in self.mean]
        if unknown:
            raise InputError(f"unknown system {unknown[0]!r}; this report has {', '.join(system_order(self.mean))}")
        return list(systems)

    def _notes_on_systems(self, shown: Sequence[str]) -> list[str]:
        """Which systems some datasets lack."""
        n_all = len(self.datasets)
        held = [(name, self.n_datasets(name)) for name in shown]
        return [f"{name}: mean and median over {n} of {n_all} datasets" for name, n in held if n < n_all]

    def _notes_on_queries(self) -> list[str]:
        """Where queries are documents themselves."""
        return [
            f"{name}: {dataset.n_self} of {dataset.n_queries} queries are documents of the set, which do not count "
            f"among their own hits"
            for name, dataset in sorted(self.datasets.items())
            if dataset.n_self
        ]


def _across(
    found: Sequence[Mapping[str, float] | None], summary: Callable[[list[float]], float]
) -> dict[str, float] | None:
    present = [values for values in found if values is not None]
    if not present:
        return None
    return {name: round(summary([values[name] for values in present]), DECIMALS) for name in MEASURES}
