"""The result of an evaluation on one dataset, with its JSON form."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from routeret.significance import MARGIN, DoubleArray
from routeret.types import IntArray

Systems = Mapping[str, Mapping[str, float] | None]
"""Mean measures by system; None for a system that this dataset cannot have."""

DECIMALS = 6
"""Reports are rounded to this, so that they are equal on machines that differ in the last bits."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean nDCG@10 of a system minus that of the base over the same queries, with a 95 % bootstrap interval.

    Queries with much the same relevant documents are drawn together
    (:func:`routeret.evaluation.clusters.query_clusters`), since they succeed and fail together. An interval from a
    single cluster is its own mean and says nothing.

    Attributes:
        mean: the difference.
        low: lower end of the interval; 97.5 % sure from below.
        high: upper end of the interval.
        p_value: of the paired randomisation test, where clusters are turned whole; None where it was not made.
        p_holm: the same, adjusted for all comparisons of the report (:func:`routeret.significance.holm`); None where
            there is no p-value, and for the oracles, which are bounds and no systems.
    """

    mean: float
    low: float
    high: float
    p_value: float | None = None
    p_holm: float | None = None

    @property
    def non_inferior(self) -> bool:
        """Whether the system is at most 0.01 worse than the base, by the one-sided 97.5 % bound of the interval."""
        return self.low > -MARGIN


@dataclass(frozen=True, slots=True)
class Regret:
    """How far the choices of a system are from the best ones, query by query.

    Attributes:
        mean: mean over the queries of what the query oracle has more in nDCG@10, 0 where it has not more. A system
            that mixes actions may beat the oracle on a query, which does not pay for another one.
        zero_share: the share of the queries on which the oracle has not more.
    """

    mean: float
    zero_share: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a query costs on the mean. It is counted and not timed, so that it is the same on every machine.

    Attributes:
        encoder_passes: one of the base's encoder, and one for every expert that acts and is no linear map; 0 for BM25
            alone.
        searches: of the base's own vector, of a changed one, of the vector in each further space, and of the words.
            A router that looks at the base's first hits needs the first of these in any case.
    """

    encoder_passes: float
    searches: float


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of a dataset's queries, at least one."""

    n_queries: int
    systems: Systems


@dataclass(frozen=True, slots=True, eq=False)
class QueryScores:
    """What systems scored query by query; a report does not keep it.

    Attributes:
        systems: the systems of the columns; those that the dataset cannot have are left out.
        ndcg: nDCG@10, float64, shape (n_queries, n_systems).
        clusters: the cluster of every query, shape (n_queries,).
    """

    systems: tuple[str, ...]
    ndcg: DoubleArray
    clusters: IntArray

    def less(self, system: str, systems: Sequence[str]) -> DoubleArray:
        """The values of some systems minus those of one, float64, shape (n_queries, n_systems)."""
        columns = [self.systems.index(name) for name in systems]
        found: DoubleArray = self.ndcg[:, columns] - self.ndcg[:, [self.systems.index(system)]]
        return found

    def of_pairs(self, pairs: Sequence[tuple[str, str]]) -> DoubleArray:
        """The values of systems minus those of their baselines, float64, shape (n_queries, n_pairs).

        Args:
            pairs: a system and its baseline each, at least one pair.
        """
        return np.concatenate([self.less(baseline, [system]) for system, baseline in pairs], axis=1)


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
        fresh: the queries that nearly equal no training query of the dataset; None where there are none, or where the
            training queries are not known.
        n_clusters: how many clusters the queries are in; None in reports from before there were clusters, whose
            intervals draw every query by itself.
        regret: how far every system is from the query oracle; None where the system is None, and as a whole without
            a query oracle.
        costs: what a query costs by system; a system whose costs are not known, as an oracle's, is left out. None
            where runs were given, and in reports of an earlier version.
        n_self: how many queries are documents of the set themselves, so that a hit of that document does not count;
            None where runs were given, and in reports of an earlier version.
        scores: what the systems scored query by query; None in a report that was read from a file.
    """

    n_queries: int
    systems: Systems
    diff_to_base: Mapping[str, Difference | None]
    weights: Mapping[str, float]
    gold_seen: Stratum | None
    gold_unseen: Stratum | None
    fresh: Stratum | None = None
    n_clusters: int | None = None
    regret: Mapping[str, Regret | None] | None = None
    costs: Mapping[str, Cost] | None = None
    n_self: int | None = None
    scores: QueryScores | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`; without ``scores``."""
        return {
            "n_queries": self.n_queries,
            "n_clusters": self.n_clusters,
            "n_self": self.n_self,
            "systems": {name: dict(values) if values else None for name, values in self.systems.items()},
            "diff_to_base": plain(self.diff_to_base),
            "weights": dict(self.weights),
            "regret": None if self.regret is None else plain(self.regret),
            "costs": None if self.costs is None else plain(self.costs),
            "strata": plain({"gold_seen": self.gold_seen, "gold_unseen": self.gold_unseen, "fresh": self.fresh}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DatasetReport":
        """The dataset's report whose :meth:`to_json` gave these values, or that of an earlier version."""
        strata = {name: Stratum(**stratum) if stratum else None for name, stratum in values["strata"].items()}
        return cls(
            n_queries=values["n_queries"],
            systems=values["systems"],
            diff_to_base=differences_of(values["diff_to_base"]),
            weights=values["weights"],
            gold_seen=strata["gold_seen"],
            gold_unseen=strata["gold_unseen"],
            fresh=strata.get("fresh"),
            n_clusters=values.get("n_clusters"),
            regret=regrets_of(values.get("regret")),
            costs=costs_of(values.get("costs")),
            n_self=values.get("n_self"),
        )


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values of dataclasses by name; None stays None."""
    return {name: None if value is None else asdict(value) for name, value in values.items()}


def differences_of(values: Mapping[str, Any]) -> dict[str, Difference | None]:
    """Differences from the JSON values that :func:`plain` gave."""
    return {system: Difference(**found) if found else None for system, found in values.items()}


def regrets_of(values: Mapping[str, Any] | None) -> dict[str, Regret | None] | None:
    """Regrets from the JSON values that :func:`plain` gave."""
    if values is None:
        return None
    return {system: Regret(**found) if found else None for system, found in values.items()}


def costs_of(values: Mapping[str, Any] | None) -> dict[str, Cost] | None:
    """Costs by system from their plain JSON values; None stays None."""
    return None if values is None else {system: Cost(**found) for system, found in values.items()}
