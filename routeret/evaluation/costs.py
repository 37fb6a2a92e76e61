"""What a query costs by a system: passes through encoders, and searches of an index."""

import numpy as np

from routeret.evaluation.dataset_report import DECIMALS, Cost
from routeret.fusion import NEGLIGIBLE
from routeret.retriever.acting import adapting, shares
from routeret.retriever.pool import Pool
from routeret.routing.decisions import RoutingBatch
from routeret.significance import DoubleArray


class CostMeter:
    """Adds up what the queries cost, by system."""

    def __init__(self, pool: Pool) -> None:
        """Begin with nothing.

        Args:
            pool: what answers.
        """
        self._pool = pool
        self._totals: dict[str, DoubleArray] = {}

    def take_words(self, system: str, n_queries: int) -> None:
        """Count some queries that BM25 alone answers."""
        self._add(system, passes=0.0, searches=float(n_queries), n_queries=n_queries)

    def take(self, system: str, routing: RoutingBatch, *, looks_first: bool) -> None:
        """Count some queries.

        Args:
            system: its name.
            routing: its decisions for them.
            looks_first: whether these were made from the base's first hits.
        """
        acts, counted = adapting(routing, self._pool), shares(routing, self._pool)
        needs_pass = np.array([name in self._pool.costly for name in routing.experts], dtype=np.bool_)
        in_tower = counted > NEGLIGIBLE
        is_changed = acts.any(axis=1) | (routing.adaptation > 0)
        has_first_space = counted.sum(axis=1) < 1 - NEGLIGIBLE
        by_base = looks_first | (has_first_space & ~is_changed)
        searches = by_base.sum() + (has_first_space & is_changed).sum() + in_tower.sum()
        self._add(
            system,
            passes=float(len(routing) + (acts & needs_pass).sum() + in_tower.sum()),
            searches=float(searches + (routing.lexical > NEGLIGIBLE).sum()),
            n_queries=len(routing),
        )

    def means(self) -> dict[str, Cost]:
        """What a query costs on the mean, by system."""
        return {
            name: Cost(*(round(float(value), DECIMALS) for value in totals[:2] / totals[2]))
            for name, totals in self._totals.items()
        }

    def _add(self, system: str, *, passes: float, searches: float, n_queries: int) -> None:
        self._totals[system] = self._totals.get(system, 0.0) + np.array([passes, searches, n_queries])
