"""The systems that an evaluation compares; every one is a routing, so all go through the same search."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from routeret.errors import InputError
from routeret.evaluation.layout import EXPERT, system_order
from routeret.evaluation.oracles import DATASET_ORACLE, QUERY_ORACLE
from routeret.protocols import PoolMember
from routeret.retriever.pool import Pool
from routeret.retriever.ranking import Ranking
from routeret.retriever.searching import Block, Searcher, without_lexical
from routeret.routing import (
    CentroidRouter,
    ClassificationHeadRouter,
    DatasetRouter,
    ExpertClassifierRouter,
    PilotLibrary,
    UtilityRouter,
)
from routeret.routing.decisions import Router, RoutingBatch
from routeret.types import BASE, LEXICAL

MULTITASK = "multitask"
"""The name of the expert that was trained on all sets."""

ROUTED = "routed"
ROUTED_HYBRID = "routed_hybrid"

ON_REQUEST = ("dataset_router", "classifier_head", "expert_classifiers")
"""The systems that are measured only where they are named: the routers that RouterRetriever was compared with."""

_ORACLES = (DATASET_ORACLE, QUERY_ORACLE)
_OTHERS = ("hybrid", ROUTED, ROUTED_HYBRID, "centroid", MULTITASK, "average", "uniform", "known_index")
_FIT_BY_SYSTEM: Mapping[str, Callable[[PilotLibrary, Sequence[PoolMember]], Router]] = {
    "centroid": CentroidRouter.fit,
    "dataset_router": DatasetRouter.fit,
    "classifier_head": ClassificationHeadRouter.fit,
    "expert_classifiers": ExpertClassifierRouter.fit,
}


def known_systems(experts: Sequence[str]) -> list[str]:
    """The names of all systems over a pool of some experts, in the order of the tables."""
    of_experts = [f"{EXPERT}{name}" for name in experts]
    return system_order([BASE, LEXICAL, *_OTHERS, *_ORACLES, *ON_REQUEST, *of_experts])


def require_systems(names: Sequence[str], known: Sequence[str]) -> None:
    """Do nothing if systems are among those that there are.

    Raises:
        InputError: one is not.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"unknown system {unknown[0]!r}; there are {', '.join(known)}")


class Systems:
    """The systems over one pool."""

    def __init__(self, searcher: Searcher, *, names: Sequence[str] | None = None) -> None:
        """Choose the systems.

        Args:
            searcher: searches the index with the pool.
            names: which systems; the base is always one. None takes all but those of :data:`ON_REQUEST`.

        Raises:
            InputError: a name is unknown.
        """
        self._searcher = searcher
        self._experts = {f"{EXPERT}{name}": name for name in searcher.pool.names}
        known = known_systems(searcher.pool.names)
        require_systems(names or (), known)
        wanted = {name for name in known if name not in ON_REQUEST} if names is None else set(names)
        self._has_oracles = not wanted.isdisjoint(_ORACLES)
        if self._has_oracles:
            wanted.update(self._experts)
        self._names = tuple(name for name in known if (name in wanted or name == BASE) and name not in _ORACLES)
        self._routers = {name: _fitted(name, searcher.pool) for name in _FIT_BY_SYSTEM if name in wanted}

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
            Name and ranking; None for a system that this pool or data set cannot have.
        """
        for name in self._names:
            if name == LEXICAL:
                yield name, block.lexical.ranking(k)
                continue
            decided = self._routing(name, block, dataset=dataset, routing=routing)
            yield name, None if decided is None else self._searcher.rank(block, decided, k)

    def _routing(self, name: str, block: Block, *, dataset: str, routing: RoutingBatch) -> RoutingBatch | None:
        if name == ROUTED_HYBRID:
            return routing
        if name == ROUTED:
            return without_lexical(routing)
        if name in self._routers:
            router = self._routers[name]
            return None if router is None else without_lexical(self._searcher.route(block, router))
        if name == "known_index":
            return self._known_index(block, dataset)
        weights = self._weights(name)
        if weights is None:
            return None
        lexical = self._searcher.pool.lexical_weight if name == "hybrid" else 0.0
        return self._searcher.constant(block, weights=weights, lexical=lexical)

    def _weights(self, name: str) -> dict[str, float] | None:
        """The weights of a system that weighs every query alike."""
        experts = self._searcher.pool.names
        if name in (BASE, "hybrid"):
            return {BASE: 1.0}
        if name in self._experts:
            return {self._experts[name]: 1.0}
        if name == "uniform":
            return dict.fromkeys((BASE, *experts), 1 / (1 + len(experts))) if experts else None
        if MULTITASK not in experts:
            return None
        return {BASE: 0.5, MULTITASK: 0.5} if name == "average" else {MULTITASK: 1.0}

    def _known_index(self, block: Block, dataset: str) -> RoutingBatch | None:
        router = self._searcher.pool.router
        if not isinstance(router, UtilityRouter):
            return None
        return router.known_index(dataset, n_queries=len(block))


def _fitted(name: str, pool: Pool) -> Router | None:
    """A router of another paper over the same pilots; None where the pool has none that it can learn from."""
    if not isinstance(pool.router, UtilityRouter):
        return None
    try:
        return _FIT_BY_SYSTEM[name](pool.router.library, pool.experts)
    except InputError:
        return None
