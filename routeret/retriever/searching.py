"""The flow of a search: encode, look at the base's first hits, route, mix, search, fuse; in blocks of queries."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial

import numpy as np

from routeret.errors import UnknownExpertError
from routeret.experts.strength import applied
from routeret.fusion import NEGLIGIBLE
from routeret.index import Index
from routeret.retriever.acting import shares
from routeret.retriever.dense import DenseSearch, SpaceQueries
from routeret.retriever.index_map import IndexMap
from routeret.retriever.known_documents import Groups, KnownDocuments
from routeret.retriever.learned_map import shift_of
from routeret.retriever.lexical import LexicalScores
from routeret.retriever.mixing import mixed_queries
from routeret.retriever.passes import without_idle_passes
from routeret.retriever.pool import Pool
from routeret.retriever.ranking import Ranking, dense_ranking
from routeret.retriever.scope import Scope
from routeret.retriever.standing import DocumentStanding, GroupsOf
from routeret.routing import RouterSettings, UtilityRouter
from routeret.routing.decisions import Router, RoutingBatch
from routeret.routing.nearest_pilots import NearestPilots
from routeret.types import BASE, LEXICAL, BoolArray, FloatArray, IntArray, QueryBatch, Routing

FIRST_HITS = 20
"""How many of the base's hits tell which experts know the documents."""

_BLOCK_QUERIES = 256

_KEPT_CHOICES = 16
"""For so many choices of disabled experts, the router without them is kept."""


def candidate_depth(k: int) -> int:
    """How many documents of either kind are candidates for the k best of a fused ranking."""
    return max(5 * k, 100)


class Block:
    """Some queries with what several systems share; each part is made when it is first asked for."""

    def __init__(self, scope: Scope, batch: QueryBatch, *, depth: int, groups_of: GroupsOf) -> None:
        """Keep what is to be searched.

        Args:
            scope: what is searched.
            batch: texts and base embeddings.
            depth: how many documents of the base's own search are kept, at least :data:`FIRST_HITS`.
            groups_of: gives the groups of documents, by which experts know them.
        """
        self._depth = max(depth, FIRST_HITS)
        self._groups_of = groups_of
        self.scope = scope
        self.batch = batch
        self.lexical = LexicalScores(scope, batch.texts)

    def __len__(self) -> int:
        """How many queries."""
        return len(self.batch)

    @cached_property
    def base(self) -> Ranking:
        """What the base alone finds."""
        return dense_ranking(self.scope, self.batch.base, self._depth, space=self.scope.index.space)

    @property
    def first_hits(self) -> IntArray:
        """The documents that the base finds first, int64, shape (n_queries, n_hits)."""
        return self.base.documents[:, :FIRST_HITS]

    @cached_property
    def first_groups(self) -> Groups:
        """The groups of the first hits, shape (n_queries, n_hits), and which experts of the pool know each."""
        return self._groups_of(self.first_hits)


class Searcher:
    """Searches one index, as it is now, with one pool."""

    def __init__(
        self,
        index: Index,
        pool: Pool,
        *,
        index_map: IndexMap | None = None,
        learned: FloatArray | None = None,
        known_before: KnownDocuments | None = None,
    ) -> None:
        """Take an index and a pool of its space; neither may change afterwards.

        Args:
            index: what is searched.
            pool: what searches.
            index_map: of the same index, perhaps as it was before; None computes one.
            learned: float32, shape (dim, dim); the map that tuning without labels has made. Where BM25 does not count,
                it stands in for the one that is computed. With it, maps act where there is no router, too.
            known_before: who knows documents of the same index, as it was before, for the same pool; None where nobody
                has asked yet.
        """
        self._index = index
        self._pool = pool
        self._index_map = IndexMap() if index_map is None else index_map
        self._learned = learned
        self._known_before = known_before
        self._maps: dict[tuple[str, ...], FloatArray | None] = {}
        self._without = lru_cache(maxsize=_KEPT_CHOICES)(_without)

    @property
    def index(self) -> Index:
        """What is searched."""
        return self._index

    @property
    def pool(self) -> Pool:
        """What searches."""
        return self._pool

    @cached_property
    def pilots(self) -> NearestPilots | None:
        """The pilots of the pool's router; None where it has none."""
        router = self._pool.router
        return NearestPilots(router.pilots) if isinstance(router, UtilityRouter) else None

    @cached_property
    def known_documents(self) -> KnownDocuments:
        """Which experts of the pool, in its order, were trained over which documents."""
        return KnownDocuments(
            self._index, self._pool.experts, knowledge=self._pool.knowledge, before=self._known_before
        )

    def look_ahead(self) -> None:
        """Work out now what the first routed queries would wait for: who knows the documents, and the index's map."""
        self.known_documents.look_ahead()
        router = self._pool.router
        if isinstance(router, UtilityRouter) and router.settings.index_strength > 0 and self._learned is None:
            self._map(router.expert_names)

    def blocks(
        self, texts: Sequence[str], *, depth: int, vectors: FloatArray | None = None, scope: Scope | None = None
    ) -> Iterator[Block]:
        """The queries in blocks that fit into memory, in order.

        Args:
            texts: the queries.
            depth: how many documents of the base's own search are kept, at least :data:`FIRST_HITS`.
            vectors: float32, shape (n_queries, dim); the base's query embeddings if they are known already.
            scope: which documents may be found; by default all of the index.
        """
        scope = Scope(self._index) if scope is None else scope
        start = 0
        for part in query_parts(texts):
            end = start + len(part)
            base = self._pool.base.encode_queries(part) if vectors is None else vectors[start:end]
            yield Block(scope, QueryBatch(part, base), depth=depth, groups_of=self._groups_of)
            start = end

    def route(
        self, block: Block, router: Router | None = None, *, disabled: frozenset[str] = frozenset()
    ) -> RoutingBatch:
        """The decisions of a router, by default the pool's; all on the base where there is none.

        Args:
            block: the queries.
            router: of this pool.
            disabled: experts, and ``"bm25"``, that the pool's router does without.
        """
        if LEXICAL in disabled:
            return without_lexical(self.route(block, router, disabled=disabled - {LEXICAL}))
        router = router or self._pool.router
        if router is None:
            lexical = self._pool.lexical_weight
            routing = self.constant(block, weights={BASE: 1.0}, lexical=lexical)
            if self._learned is None:
                return routing
            adaptation = np.full(len(block), RouterSettings().index_strength, dtype=np.float32)
            return replace(routing, adaptation=adaptation)
        if disabled and isinstance(router, UtilityRouter):
            router = self._without(router, disabled)
        routing = router.route(block.batch, known=self.known(block, router.expert_names))
        if isinstance(router, UtilityRouter):
            routing = without_idle_passes(routing, self._pool.costly)
        if (routing.adaptation > 0).any() and self._learned is None and self._map(routing.experts) is None:
            return replace(routing, adaptation=np.zeros_like(routing.adaptation))
        return routing

    def constant(self, block: Block, *, weights: dict[str, float], lexical: float = 0.0) -> RoutingBatch:
        """The same weights for every query, every expert at its own strength.

        Args:
            block: the queries.
            weights: by expert and ``"base"``; they sum to 1.
            lexical: weight of the lexical score.
        """
        strengths = {expert.name: expert.strength for expert in self._pool.experts if weights.get(expert.name)}
        return RoutingBatch.constant(
            self._pool.names, len(block), weights=weights, strengths=strengths, lexical=lexical
        )

    def known(self, block: Block, experts: tuple[str, ...]) -> FloatArray:
        """Share of the base's first hits that some experts were trained over, shape (n_queries, n_experts)."""
        n_hits = block.first_hits.shape[1]
        if n_hits == 0 or not experts:
            return np.zeros((len(block), len(experts)), dtype=np.float32)
        groups, known = self._of_experts(block.first_groups, experts)
        counts: FloatArray = known[groups].sum(axis=1, dtype=np.float32)
        return counts / np.float32(n_hits)

    def query_vectors(self, batch: QueryBatch, routing: RoutingBatch) -> FloatArray:
        """The query vectors that a routing makes in the base's space, float32, shape (n_queries, dim).

        Args:
            batch: the queries.
            routing: for these queries; its experts are in the pool. A query all on the base keeps its base vector.
        """
        self._require_known(routing.experts)
        mixed = mixed_queries(batch, routing, self._pool)
        if not (routing.adaptation > 0).any():
            return mixed
        computed = partial(self._map, routing.experts)
        shift = shift_of(mixed, routing.lexical, learned=self._learned, computed=computed)
        return applied(mixed, shift, strengths=routing.adaptation, unit_length=self._index.space.unit_length)

    def _map(self, experts: tuple[str, ...]) -> FloatArray | None:
        """The map that is computed of documents that none of some experts knows; None where there are too few."""

        def is_known(numbers: IntArray) -> BoolArray:
            groups, known = self._of_experts(self._groups_of(numbers), experts)
            return np.asarray(known.any(axis=1), dtype=np.bool_)[groups]

        if experts not in self._maps:
            knowledge = self._pool.knowledge.digest if experts == self._pool.names else None
            self._maps[experts] = self._index_map.weight(self._index, is_known=is_known, knowledge=knowledge)
        return self._maps[experts]

    def rank(self, block: Block, routing: RoutingBatch, k: int) -> Ranking:
        """The k best documents of every query, with the weights of a routing.

        Args:
            block: the queries.
            routing: for these queries; its experts are in the pool.
            k: at least 1; more than there are documents gives all of them.
        """
        vectors = self.query_vectors(block.batch, routing)
        search = DenseSearch(
            block.scope,
            vectors,
            base=block.base,
            is_base=(vectors == block.batch.base).all(axis=1),
            others=self._other_spaces(block.batch, routing),
            fusion=self._pool.space_fusion,
            standing=self.standing(block, routing),
        )

        def fused(queries: IntArray) -> Ranking:
            found = search.ranking(queries, candidate_depth(k))
            return block.lexical.fuse(found, search, queries=queries, weights=routing.lexical[queries], depth=k)

        return Ranking.divided(routing.lexical > NEGLIGIBLE, fused, lambda queries: search.ranking(queries, k))

    def standing(self, block: Block, routing: RoutingBatch) -> DocumentStanding | None:
        """What documents are lowered by for a block of queries; None where none may be."""
        if routing.standing is None or not routing.known.any():
            return None

        def groups_of(numbers: IntArray) -> Groups:
            return self._of_experts(self._groups_of(numbers), routing.experts)

        first = self._of_experts(block.first_groups, routing.experts)
        standing = DocumentStanding(routing.standing, first, groups_of=groups_of)
        return standing if standing.acts.any() else None

    def _groups_of(self, numbers: IntArray) -> Groups:
        """The groups of some documents, and which experts of the pool know each."""
        return self.known_documents.groups(numbers)

    def _of_experts(self, groups: Groups, experts: tuple[str, ...]) -> Groups:
        """What is told of all experts of the pool, of some of them."""
        if experts == self._pool.names:
            return groups
        self._require_known(experts)
        column_by_name = {name: column for column, name in enumerate(self._pool.names)}
        return Groups(groups.numbers, groups.known[:, [column_by_name[name] for name in experts]])

    def _other_spaces(self, batch: QueryBatch, routing: RoutingBatch) -> list[SpaceQueries]:
        """The queries in the spaces of the towers that count for some of them."""
        if not self._pool.tower_by_name:
            return []
        counted = shares(routing, self._pool)
        spaces = []
        for column in np.flatnonzero((counted > NEGLIGIBLE).any(axis=0)):
            tower = self._pool.tower_by_name[routing.experts[column]]
            has_share = counted[:, column] > NEGLIGIBLE
            encoded = tower.encode_queries([batch.texts[query] for query in np.flatnonzero(has_share)])
            spaces.append(SpaceQueries(tower.space, encoded, np.cumsum(has_share) - 1, counted[:, column]))
        return spaces

    def _require_known(self, names: Sequence[str]) -> None:
        held = self._pool.names
        if tuple(names) == held:
            return
        if unknown := [name for name in names if name not in held]:
            raise UnknownExpertError(f"a router weighs expert {unknown[0]!r}; the pool holds {', '.join(held)}")


def query_parts(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The queries in parts whose rankings fit into memory."""
    for start in range(0, len(texts), _BLOCK_QUERIES):
        yield tuple(texts[start : start + _BLOCK_QUERIES])


def lexical_ranking(scope: Scope, texts: Sequence[str], k: int) -> tuple[Ranking, Routing]:
    """The k best documents of some queries by BM25 alone, and the words for it; needs no model."""
    routing = RoutingBatch.constant((), 1, weights={}, strengths={}, lexical=1.0)
    return LexicalScores(scope, texts).ranking(k), routing.explain(0)


def _without(router: UtilityRouter, disabled: frozenset[str]) -> UtilityRouter:
    """The router as if its pool did not hold some experts."""
    return router.restricted_to([name for name in router.expert_names if name not in disabled])


def without_lexical(routing: RoutingBatch) -> RoutingBatch:
    """The same decisions without the lexical score."""
    return replace(routing, lexical=np.zeros_like(routing.lexical))
