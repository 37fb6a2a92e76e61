"""The systems that an evaluation compares; every one is a routing, so all go through the same search."""

from collections.abc import Iterator, Sequence

from routeret.errors import InputError
from routeret.evaluation.layout import EXPERT, system_order
from routeret.evaluation.null import NULL, null_pool
from routeret.evaluation.oracles import DATASET_ORACLE, QUERY_ORACLE, QUERY_ORACLE_NULL
from routeret.retriever.ranking import Ranking
from routeret.retriever.searching import Block, Searcher, without_lexical
from routeret.routing import ROUTERS, PilotLibrary, RouterInputs, UtilityRouter, fit_router
from routeret.routing.decisions import Router, RoutingBatch
from routeret.types import BASE, LEXICAL

ROUTED = "routed"
ROUTED_HYBRID = "routed_hybrid"
KNOWN_INDEX = "known_index"

BASELINES = "baselines"
"""Stands for all systems that the routing is compared with: every router of the registry, and ``known_index``."""

_USUAL_ROUTERS = ("centroid", "multitask", "average", "uniform")

ON_REQUEST = (*(name for name in ROUTERS if name not in _USUAL_ROUTERS), QUERY_ORACLE_NULL)
"""The systems that are measured only where they are named."""

_ORACLES = (DATASET_ORACLE, QUERY_ORACLE)
_OTHERS = ("hybrid", ROUTED, ROUTED_HYBRID, *ROUTERS, KNOWN_INDEX, *_ORACLES, QUERY_ORACLE_NULL)


def known_systems(experts: Sequence[str]) -> list[str]:
    """The names of all systems over a pool of some experts, in the order of the tables."""
    of_experts = [f"{EXPERT}{name}" for name in experts]
    return system_order([BASE, LEXICAL, *_OTHERS, *of_experts])


def require_systems(names: Sequence[str], known: Sequence[str]) -> None:
    """Do nothing if systems are among those that there are, or stand for some of them.

    Raises:
        InputError: one is not.
    """
    unknown = [name for name in names if name not in (BASELINES, *known)]
    if unknown:
        raise InputError(f"unknown system {unknown[0]!r}; there are {', '.join(known)}; {BASELINES} names all routers")


class Systems:
    """The systems over one pool."""

    def __init__(self, searcher: Searcher, *, names: Sequence[str] | None = None) -> None:
        """Choose the systems.

        Args:
            searcher: searches the index with the pool.
            names: which systems; the base is always one, and :data:`BASELINES` stands for many. None takes all but
                those of :data:`ON_REQUEST`.

        Raises:
            InputError: a name is unknown.
        """
        self._searcher = searcher
        self._experts = {f"{EXPERT}{name}": name for name in searcher.pool.names}
        known = known_systems(searcher.pool.names)
        require_systems(names or (), known)
        wanted = {name for name in known if name not in ON_REQUEST} if names is None else set(names)
        if BASELINES in wanted:
            wanted.update((*ROUTERS, KNOWN_INDEX))
        self._has_oracles = not wanted.isdisjoint(_ORACLES)
        if self._has_oracles:
            wanted.update(self._experts)
        self._names = tuple(name for name in known if (name in wanted or name == BASE) and name not in _ORACLES)
        self._routers: dict[tuple[str, str], Router | None] = {}
        nulls = null_pool(searcher.pool) if QUERY_ORACLE_NULL in wanted else None
        self._nulls = None if nulls is None else Searcher(searcher.index, nulls)

    @property
    def names(self) -> tuple[str, ...]:
        """The systems that give rankings, in the order of the tables; the oracles are derived from these."""
        return self._names

    @property
    def actions(self) -> tuple[str, ...]:
        """The systems among which the oracles choose; none if no oracle is wanted."""
        return (BASE, *sorted(self._experts)) if self._has_oracles else ()

    def rank(
        self, block: Block, k: int, *, dataset: str, routing: RoutingBatch
    ) -> Iterator[tuple[str, Ranking | None]]:
        """What every system finds for some queries, one system after the other.

        Args:
            block: the queries.
            k: how many documents.
            dataset: the data set's name, as the training corpora are called.
            routing: what the pool's router decides for these queries.

        Returns:
            Name and ranking; None for a system that this pool or data set cannot have. The random maps of
            :func:`~routeret.evaluation.null.null_pool` come in place of their oracle.
        """
        for name in self._names:
            if name == LEXICAL:
                yield name, block.lexical.ranking(k)
                continue
            if name == QUERY_ORACLE_NULL and self._nulls is not None:
                yield from self._null_rankings(self._nulls, block, k)
                continue
            decided = self._routing(name, block, dataset=dataset, routing=routing)
            yield name, None if decided is None else self._searcher.rank(block, decided, k)

    def _routing(self, name: str, block: Block, *, dataset: str, routing: RoutingBatch) -> RoutingBatch | None:
        if name == ROUTED_HYBRID:
            return routing
        if name == ROUTED:
            return without_lexical(routing)
        if name in ROUTERS:
            router = self._router(name, dataset)
            return None if router is None else without_lexical(self._searcher.route(block, router))
        if name == KNOWN_INDEX:
            return self._known_index(block, dataset)
        weights = self._weights(name)
        if weights is None:
            return None
        lexical = self._searcher.pool.lexical_weight if name == "hybrid" else 0.0
        return self._searcher.constant(block, weights=weights, lexical=lexical)

    def _weights(self, name: str) -> dict[str, float] | None:
        """The weights of a system that weighs every query alike and learns from nothing."""
        if name in (BASE, "hybrid"):
            return {BASE: 1.0}
        return {self._experts[name]: 1.0} if name in self._experts else None

    def _router(self, name: str, dataset: str) -> Router | None:
        """A router of the registry, fitted once; None where the pool has nothing that it can learn from."""
        key = (name, dataset)
        if key not in self._routers:
            pool = self._searcher.pool
            library = PilotLibrary(pool.base.query_tower, ())
            if isinstance(pool.router, UtilityRouter):
                library = pool.router.library
            inputs = RouterInputs(library, pool.experts, pool.base, corpus=dataset)
            try:
                self._routers[key] = fit_router(name, inputs)
            except InputError:
                self._routers[key] = None
        return self._routers[key]

    def _null_rankings(self, nulls: Searcher, block: Block, k: int) -> Iterator[tuple[str, Ranking]]:
        for name in nulls.pool.names:
            yield f"{NULL}{name}", nulls.rank(block, nulls.constant(block, weights={name: 1.0}), k)

    def _known_index(self, block: Block, dataset: str) -> RoutingBatch | None:
        router = self._searcher.pool.router
        if not isinstance(router, UtilityRouter):
            return None
        return router.known_index(dataset, n_queries=len(block))
