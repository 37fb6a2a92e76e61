"""The flow of a search: encode, look at the base's first hits, route, mix, search, fuse; in blocks of queries."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from routeret.errors import UnknownExpertError
from routeret.fusion import NEGLIGIBLE, mix_queries
from routeret.index import Index
from routeret.protocols import Expert
from routeret.retriever.lexical import LexicalScores
from routeret.retriever.pool import Pool
from routeret.retriever.ranking import Ranking, dense_ranking
from routeret.retriever.scope import Scope
from routeret.routing.decisions import Router, RoutingBatch
from routeret.types import BASE, BoolArray, FloatArray, IntArray, QueryBatch, Routing

FIRST_HITS = 20
"""How many of the base's hits tell which experts know the documents."""

_BLOCK_QUERIES = 256


def candidate_depth(k: int) -> int:
    """How many documents of either kind are candidates for the k best of a fused ranking."""
    return max(5 * k, 100)


class Block:
    """Some queries with what several systems share; each part is made when it is first asked for."""

    def __init__(self, scope: Scope, batch: QueryBatch, *, depth: int) -> None:
        """Keep what is to be searched.

        Args:
            scope: what is searched.
            batch: texts and base embeddings.
            depth: how many documents of the base's own search are kept, at least :data:`FIRST_HITS`.
        """
        self._depth = max(depth, FIRST_HITS)
        self.scope = scope
        self.batch = batch
        self.lexical = LexicalScores(scope, batch.texts)

    def __len__(self) -> int:
        """How many queries."""
        return len(self.batch)

    @cached_property
    def base(self) -> Ranking:
        """What the base alone finds."""
        return dense_ranking(self.scope, self.batch.base, self._depth)


class Searcher:
    """Searches one index, as it is now, with one pool."""

    def __init__(self, index: Index, pool: Pool) -> None:
        """Take an index and a pool of its space; neither may change afterwards."""
        self._index = index
        self._pool = pool

    @property
    def index(self) -> Index:
        """What is searched."""
        return self._index

    @property
    def pool(self) -> Pool:
        """What searches."""
        return self._pool

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
            yield Block(scope, QueryBatch(part, base), depth=depth)
            start = end

    def route(self, block: Block, router: Router | None = None) -> RoutingBatch:
        """The decisions of a router, by default the pool's; all on the base where there is none."""
        router = router or self._pool.router
        if router is None:
            lexical = self._pool.lexical_weight
            return self.constant(block, weights={BASE: 1.0}, lexical=lexical)
        return router.route(block.batch, known=self.known(block, router.expert_names))

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

    def known(self, block: Block, experts: Sequence[str]) -> FloatArray:
        """Share of the base's first hits that some experts were trained over, shape (n_queries, n_experts)."""
        documents = block.base.documents[:, :FIRST_HITS]
        if documents.shape[1] == 0 or not experts:
            return np.zeros((len(block), len(experts)), dtype=np.float32)
        numbers, places = np.unique(documents, return_inverse=True)
        keys = self._index.content_keys(numbers)
        knows = np.stack([np.isin(keys, self._expert(name).known_documents) for name in experts], axis=1)
        shares: FloatArray = knows[places.reshape(documents.shape)].mean(axis=1, dtype=np.float32)
        return shares

    def query_vectors(self, batch: QueryBatch, routing: RoutingBatch) -> FloatArray:
        """The query vectors that a routing makes, float32, shape (n_queries, dim).

        Args:
            batch: the queries.
            routing: for these queries; its experts are in the pool. A query all on the base keeps its base vector.
        """
        acts = _acting(routing)
        weights = np.where(acts, routing.weights[:, 1:], 0)
        arrays = [batch.base]
        # What does not act counts as the base.
        columns = [np.maximum(1 - weights.sum(axis=1), 0)]
        for column in np.flatnonzero(acts.any(axis=0)):
            queries = np.flatnonzero(acts[:, column])
            part = QueryBatch(tuple(batch.texts[query] for query in queries), batch.base[queries])
            vectors = batch.base.copy()
            vectors[queries] = self._expert(routing.experts[column]).encode_queries(
                part, strengths=routing.strengths[queries, column]
            )
            arrays.append(vectors)
            columns.append(weights[:, column])
        return mix_queries(arrays, weights=np.stack(columns, axis=1).astype(np.float32))

    def rank(self, block: Block, routing: RoutingBatch, k: int) -> Ranking:
        """The k best documents of every query, with the weights of a routing.

        Args:
            block: the queries.
            routing: for these queries; its experts are in the pool.
            k: at least 1; more than there are documents gives all of them.
        """
        n_documents = len(block.scope)
        vectors = self.query_vectors(block.batch, routing)
        is_base = np.logical_not(_acting(routing).any(axis=1))
        ranking = Ranking.empty(len(block), min(k, n_documents))
        has_lexical = routing.lexical > NEGLIGIBLE
        for fused in (False, True):
            queries = np.flatnonzero(has_lexical == fused)
            if len(queries) == 0:
                continue
            depth = min(candidate_depth(k) if fused else k, n_documents)
            found = self._dense(block, vectors, is_base, queries=queries, depth=depth)
            if fused:
                found = block.lexical.fuse(
                    found, vectors[queries], queries=queries, weights=routing.lexical[queries], depth=k
                )
            ranking.put(queries, found)
        return ranking

    def _dense(
        self, block: Block, vectors: FloatArray, is_base: BoolArray, *, queries: IntArray, depth: int
    ) -> Ranking:
        """What the vectors find; queries that are the base's own share its search."""
        ranking = Ranking.empty(len(queries), depth)
        shared = is_base[queries]
        if shared.any():
            if block.base.depth < depth:
                shared[:] = False
            else:
                ranking.put(np.flatnonzero(shared), block.base.part(queries[shared], depth))
        own = np.flatnonzero(~shared)
        if len(own):
            ranking.put(own, dense_ranking(block.scope, vectors[queries[own]], depth))
        return ranking

    def _expert(self, name: str) -> Expert:
        expert = self._pool.expert_by_name.get(name)
        if expert is None:
            raise UnknownExpertError(f"a router weighs expert {name!r}; the pool holds {', '.join(self._pool.names)}")
        return expert


def query_parts(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The queries in parts whose rankings fit into memory."""
    for start in range(0, len(texts), _BLOCK_QUERIES):
        yield tuple(texts[start : start + _BLOCK_QUERIES])


def lexical_ranking(scope: Scope, texts: Sequence[str], k: int) -> tuple[Ranking, Routing]:
    """The k best documents of some queries by BM25 alone, and the words for it; needs no model."""
    routing = RoutingBatch.constant((), 1, weights={}, strengths={}, lexical=1.0)
    return LexicalScores(scope, texts).ranking(k), routing.explain(0)


def _acting(routing: RoutingBatch) -> BoolArray:
    """Which expert changes which query, shape (n_queries, n_experts)."""
    acts: BoolArray = (routing.weights[:, 1:] > NEGLIGIBLE) & (routing.strengths > 0)
    return acts


def without_lexical(routing: RoutingBatch) -> RoutingBatch:
    """The same decisions without the lexical score."""
    return replace(routing, lexical=np.zeros_like(routing.lexical))
