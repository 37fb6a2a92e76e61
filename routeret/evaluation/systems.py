"""The systems that an evaluation compares; every one is a routing, so all go through the same search."""

from collections.abc import Iterator, Sequence

from routeret.errors import InputError
from routeret.evaluation.action_oracles import ACTION_ORACLES
from routeret.evaluation.costs import CostMeter
from routeret.evaluation.dataset_report import Cost
from routeret.evaluation.layout import EXPERT, system_order
from routeret.evaluation.null import NULL, null_pool
from routeret.evaluation.oracles import ORACLES, PLAIN, QUERY_ORACLE_NULL
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

ALL_ORACLES = "oracles"
"""Stands for all oracles, and those over random maps beside which they have to be seen."""

USUAL = "usual"
"""Stands for the systems that are measured where none is named."""

_GROUPS = (USUAL, BASELINES, ALL_ORACLES)

_USUAL_ROUTERS = ("centroid", "multitask", "average", "uniform")

ON_REQUEST = (
    *(name for name in ROUTERS if name not in _USUAL_ROUTERS),
    QUERY_ORACLE_NULL,
    *ACTION_ORACLES,
)
"""The systems that are measured only where they are named."""

_OTHERS = ("hybrid", ROUTED, ROUTED_HYBRID, *ROUTERS, KNOWN_INDEX, *ORACLES)


def known_systems(experts: Sequence[str]) -> list[str]:
    """The names of all systems over a pool of some experts, in the order of the tables."""
    of_experts = [f"{EXPERT}{name}" for name in experts]
    return system_order([BASE, LEXICAL, *_OTHERS, *of_experts])


def require_systems(names: Sequence[str], known: Sequence[str]) -> None:
    """Do nothing if systems are among those that there are, or stand for some of them.

    Raises:
        InputError: one is not, or the names are a string.
    """
    if isinstance(names, str):
        raise InputError(f"systems is the string {names!r}, expected a list of names: [{names!r}]")
    unknown = [name for name in names if name not in (*_GROUPS, *known)]
    if unknown:
        raise InputError(
            f"unknown system {unknown[0]!r}; there are {', '.join(known)}; {BASELINES} names all routers, "
            f"{ALL_ORACLES} all oracles, {USUAL} what is measured where none is named"
        )


def _wanted_systems(names: Sequence[str] | None, known: Sequence[str]) -> set[str]:
    """The systems that some names stand for."""
    usual = {name for name in known if name not in ON_REQUEST}
    if names is None:
        return usual
    wanted = set(names)
    if USUAL in wanted:
        wanted |= usual
    if BASELINES in wanted:
        wanted.update((*ROUTERS, KNOWN_INDEX))
    if ALL_ORACLES in wanted:
        wanted.update(ORACLES)
    # The oracles over more actions are seen beside those over fewer.
    if not wanted.isdisjoint(ORACLES):
        wanted.update(PLAIN)
    return wanted


class Systems:
    """The systems over one pool."""

    def __init__(self, searcher: Searcher, *, names: Sequence[str] | None = None) -> None:
        """Choose the systems.

        Args:
            searcher: searches the index with the pool.
            names: which systems; the base is always one, and :data:`BASELINES`, :data:`ALL_ORACLES` and :data:`USUAL`
                stand for many. None takes the usual: all but those of :data:`ON_REQUEST`. A single expert that the
                pool does without, as where a set is left out, is a system that cannot be had.

        Raises:
            InputError: a name is unknown.
        """
        self._searcher = searcher
        self._experts = {f"{EXPERT}{name}": name for name in searcher.pool.names}
        asked = [name.removeprefix(EXPERT) for name in names or () if name.startswith(EXPERT)]
        known = known_systems(list(dict.fromkeys([*searcher.pool.names, *asked])))
        require_systems(names or (), known)
        wanted = _wanted_systems(names, known)
        self._has_oracles = not wanted.isdisjoint(PLAIN)
        if self._has_oracles:
            wanted.update(self._experts)
        self._action_oracles = tuple(name for name in ACTION_ORACLES if name in wanted)
        elsewhere = (*PLAIN, *ACTION_ORACLES)
        self._names = tuple(name for name in known if (name in wanted or name == BASE) and name not in elsewhere)
        self._routers: dict[tuple[str, str], Router | None] = {}
        self._costs = CostMeter(searcher.pool)
        nulls = null_pool(searcher.pool) if QUERY_ORACLE_NULL in wanted else None
        self._nulls = None if nulls is None else Searcher(searcher.index, nulls)

    @property
    def names(self) -> tuple[str, ...]:
        """The systems that give rankings, in the order of the tables; the oracles over these are derived from them."""
        return self._names

    @property
    def action_oracles(self) -> tuple[str, ...]:
        """Which oracles over all actions are wanted; :class:`~routeret.evaluation.action_oracles.ActionOracles`."""
        return self._action_oracles

    @property
    def actions(self) -> tuple[str, ...]:
        """The systems among which the plain oracles choose; none if no oracle is wanted."""
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
                self._costs.take_words(name, len(block))
                yield name, block.lexical.ranking(k)
                continue
            if name == QUERY_ORACLE_NULL and self._nulls is not None:
                yield from self._null_rankings(self._nulls, block, k)
                continue
            decided = self._routing(name, block, dataset=dataset, routing=routing)
            if decided is not None:
                self._costs.take(name, decided, looks_first=self._looks_first(name))
            yield name, None if decided is None else self._searcher.rank(block, decided, k)

    def costs(self) -> dict[str, Cost]:
        """What the queries that were ranked so far cost on the mean, by system."""
        return self._costs.means()

    def _looks_first(self, name: str) -> bool:
        """Whether a system decides by the base's first hits; those that it is compared with do not."""
        return name in (ROUTED, ROUTED_HYBRID) and self._searcher.pool.router is not None

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
