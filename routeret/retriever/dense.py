"""Searching a block of queries by their vectors, in one space or in several whose scores are fused."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from routeret.experts.tower import TowerQueries
from routeret.fusion import NEGLIGIBLE, SpaceFusion, fuse_spaces
from routeret.index.reading import Reader
from routeret.late_interaction import TokenTargets
from routeret.retriever.ranking import Ranking, ScoredDocuments, dense_ranking, score_documents
from routeret.retriever.scope import Scope
from routeret.retriever.standing import DocumentStanding
from routeret.space import Space
from routeret.types import BoolArray, FloatArray, IntArray

_CANDIDATES = 100
"""How many documents of every space are candidates of a fused ranking, at least; their scores tell how the spaces
compare, however many documents are asked for."""

_DEEPEST = 16
"""How many times as many documents as are wanted are looked at, at most, where some are lowered."""

_DEEPER = 4
"""How many times as many are looked at next; every time, all documents are searched again."""

_INTERACTION_CANDIDATES = 500
"""How many documents are scored by late interaction, at least."""

_TOKEN_ROWS = 512
"""So many spans have their tokens in memory at once, whose vectors are some hundred times larger than pooled ones."""


@dataclass(frozen=True, eq=False)
class SpaceQueries:
    """The queries of a block in one space.

    Attributes:
        space: one of the index's.
        queries: those with a share, perhaps with others, and how they are compared with documents.
        places: int64, shape (n_queries,); where every query of the block that has a share stands among ``queries``.
        shares: float32, shape (n_queries,); what this space counts in every query's ranking, 0 to 1.
    """

    space: Space
    queries: TowerQueries
    places: IntArray
    shares: FloatArray

    def vectors(self, queries: IntArray) -> FloatArray:
        """The vectors of some queries of the block that have a share."""
        return self.queries.vectors[self.places[queries]]

    def score(self, query: int, scope: Scope, documents: IntArray) -> ScoredDocuments:
        """The exact scores of some documents, ascending, for a query of the block that has a share."""
        score = partial(self._row_scores, scope.index, int(self.places[query]))
        return score_documents(scope, documents, score=score)

    def _row_scores(self, index: Reader, place: int, rows: IntArray) -> FloatArray:
        """Scores of some rows for a query with a share, by what it is compared with."""
        if self.queries.targets == "pooled":
            return self.queries.scores(place, index.vectors(rows, space=self.space))
        scores: FloatArray = np.zeros(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _TOKEN_ROWS):
            part = slice(start, start + _TOKEN_ROWS)
            targets = TokenTargets.of(*index.token_vectors(rows[part], space=self.space))
            scores[part] = self.queries.scores(place, targets)
        return scores

    def depth(self, depth: int) -> int:
        """How many documents the vectors must find for so many to be scored well."""
        return depth if self.queries.tokens is None else max(depth, _INTERACTION_CANDIDATES)


class DenseSearch:
    """What the vectors of a block of queries find."""

    def __init__(
        self,
        scope: Scope,
        vectors: FloatArray,
        *,
        base: Ranking,
        is_base: BoolArray,
        others: Sequence[SpaceQueries] = (),
        fusion: SpaceFusion = "scores",
        standing: DocumentStanding | None = None,
    ) -> None:
        """Keep what is searched.

        Args:
            scope: which documents may be found.
            vectors: float32, shape (n_queries, dim); of the index's first space.
            base: what the base alone finds.
            is_base: shape (n_queries,); whose vectors are the base's own, so that they share its search.
            others: the same queries in further spaces; what these leave of the shares is the first space's.
            fusion: how the scores of several spaces become one.
            standing: lowers documents by the corpora they stand in; None lowers none.
        """
        self._scope = scope
        self._vectors = vectors
        self._base = base
        self._is_base = is_base
        self._others = tuple(others)
        self._fusion = fusion
        self._standing = standing
        self._samples: dict[int, IntArray] = {}

    @cached_property
    def _first(self) -> SpaceQueries:
        """The queries in the index's first space, with what the others leave of the shares."""
        shares: FloatArray = np.ones(len(self._vectors), dtype=np.float32)
        for one in self._others:
            shares -= one.shares
        places = np.arange(len(self._vectors))
        return SpaceQueries(self._scope.index.space, TowerQueries(self._vectors), places, shares)

    @cached_property
    def _is_fused(self) -> BoolArray:
        """For which queries the scores of several spaces are fused, shape (n_queries,)."""
        return self._first.shares < 1 - NEGLIGIBLE

    @property
    def _parts(self) -> tuple[SpaceQueries, ...]:
        return (self._first, *self._others)

    def ranking(self, queries: IntArray, depth: int) -> Ranking:
        """The best documents of some queries.

        Args:
            queries: their numbers in the block.
            depth: how many documents; more than there are gives all of them.
        """
        standing = self._standing
        if standing is None:
            return self._ranking(queries, depth)
        # Twice as many are mostly enough, four times as many nearly always; with too few, all are searched again.
        n_found = max(2 * depth, min(_DEEPER * depth, _CANDIDATES))
        return Ranking.divided(
            standing.acts[queries],
            lambda lines: self._lowered_ranking(standing, queries[lines], depth, n_found),
            lambda lines: self._ranking(queries[lines], depth),
        )

    def _lowered_ranking(self, standing: DocumentStanding, queries: IntArray, depth: int, n_found: int) -> Ranking:
        """The best documents of some queries after those among the first ``n_found`` that stand lower are lowered."""
        found = self._ranking(queries, n_found)
        ranking = standing.lowered(found, queries).first(depth)
        most = _DEEPEST * max(depth, _CANDIDATES)
        if found.depth < len(self._scope) and n_found < most:
            # What was not found scores no more than the last that was, lowered or not.
            open_lines = np.flatnonzero(ranking.scores[:, -1] < found.scores[:, -1])
            if len(open_lines):
                deeper = min(_DEEPER * n_found, most)
                ranking.put(open_lines, self._lowered_ranking(standing, queries[open_lines], depth, deeper))
        return ranking

    def _ranking(self, queries: IntArray, depth: int) -> Ranking:
        """The best documents of some queries before any is lowered."""
        depth = min(depth, len(self._scope))
        if not self._others:
            return self._of_first_space(queries, depth)
        return Ranking.divided(
            self._is_fused[queries],
            lambda lines: self._of_all_spaces(queries[lines], depth),
            lambda lines: self._of_first_space(queries[lines], depth),
        )

    def extended(self, query: int, ranking: Ranking, *, line: int, documents: IntArray) -> ScoredDocuments:
        """The documents of a ranking and some more, all with their scores for a query.

        Args:
            query: its number in the block.
            ranking: what :meth:`ranking` gave.
            line: of the query in it.
            documents: further document numbers, each once; those that the ranking holds already come once.
        """
        # np.isin takes several times as long for so few.
        held = np.sort(ranking.documents[line])
        is_held = held.take(np.searchsorted(held, documents), mode="clip") == documents
        extra = np.sort(documents[~is_held])
        if self._others and self._is_fused[query]:
            return self._lowered(query, self._fused(query, np.union1d(ranking.documents[line], extra)))
        more = self._lowered(query, self._first.score(query, self._scope, extra))
        return ScoredDocuments(
            documents=np.concatenate([ranking.documents[line], more.documents]),
            rows=np.concatenate([ranking.rows[line], more.rows]),
            scores=np.concatenate([ranking.scores[line], more.scores]),
        )

    def _lowered(self, query: int, found: ScoredDocuments) -> ScoredDocuments:
        """Documents with their scores lowered by where they stand, as :meth:`ranking` gives them."""
        if self._standing is None:
            return found
        return replace(found, scores=self._standing.lowered_scores(found, query))

    def _of_first_space(self, queries: IntArray, depth: int) -> Ranking:
        """What the vectors of the first space find; queries that are the base's own share its search."""

        def searched(lines: IntArray) -> Ranking:
            return dense_ranking(self._scope, self._vectors[queries[lines]], depth, space=self._scope.index.space)

        return Ranking.divided(
            self._is_base[queries] & (self._base.depth >= depth),
            lambda lines: self._base.part(queries[lines], depth),
            searched,
        )

    def _of_all_spaces(self, queries: IntArray, depth: int) -> Ranking:
        """Rank the candidates of every space of some queries by the fused scores of all spaces."""
        ranking = Ranking.empty(len(queries), depth)
        depth = min(max(depth, _CANDIDATES), len(self._scope))
        candidates: list[list[IntArray]] = [[] for _ in queries]
        for part in self._parts:
            has_share = np.flatnonzero(part.shares[queries] > NEGLIGIBLE)
            if len(has_share) == 0:
                continue
            if part is self._first:
                found = self._of_first_space(queries[has_share], depth)
            else:
                wanted = part.depth(depth)
                found = dense_ranking(self._scope, part.vectors(queries[has_share]), wanted, space=part.space)
            for place, documents in zip(has_share.tolist(), found.documents, strict=True):
                candidates[place].append(documents)
        for line, (query, found_by_space) in enumerate(zip(queries.tolist(), candidates, strict=True)):
            self._samples[query] = np.concatenate([found[:_CANDIDATES] for found in found_by_space])
            scored = self._fused(query, np.unique(np.concatenate(found_by_space)))
            order = np.lexsort((scored.documents, -scored.scores))[: ranking.depth]
            ranking.documents[line] = scored.documents[order]
            ranking.rows[line] = scored.rows[order]
            ranking.scores[line] = scored.scores[order]
        return ranking

    def _fused(self, query: int, documents: IntArray) -> ScoredDocuments:
        """The fused scores of some documents for one query; the space that counts most names their best spans.

        Args:
            query: its number in the block.
            documents: document numbers, ascending, each once.
        """
        parts = [part for part in self._parts if part.shares[query] > NEGLIGIBLE]
        scored = [part.score(query, self._scope, documents) for part in parts]
        shares = np.array([part.shares[query] for part in parts], dtype=np.float64)
        scores = fuse_spaces(
            [one.scores for one in scored],
            shares=(shares / shares.sum()).tolist(),
            how=self._fusion,
            sample=np.isin(documents, self._samples[query]),
        )
        return ScoredDocuments(documents, scored[int(np.argmax(shares))].rows, scores)
