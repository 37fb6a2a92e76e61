"""BM25 for a block of queries, and its part in a fused ranking."""

from collections.abc import Sequence

import numpy as np

from routeret.fusion import score_fusion
from routeret.index.lexical import Matches
from routeret.retriever.dense import DenseSearch
from routeret.retriever.ranking import Ranking
from routeret.retriever.scope import Scope
from routeret.types import FloatArray, IntArray


class LexicalScores:
    """BM25 for a block of queries; each query is searched once for every depth."""

    def __init__(self, scope: Scope, texts: Sequence[str]) -> None:
        """Keep what is to be scored.

        Args:
            scope: what to search.
            texts: the queries.
        """
        self._scope = scope
        self._texts = texts
        self._matches: dict[tuple[int, int], Matches] = {}

    def scores(self, query: int) -> FloatArray:
        """BM25 of every document for one query of the block, float32, shape (n_numbers,)."""
        return self._scope.index.fulltext.scores(self._texts[query])

    def matching(self, query: int, depth: int) -> Matches:
        """The best documents that share a word with a query, best first, at most ``depth``."""
        if (query, depth) not in self._matches:
            fulltext = self._scope.index.fulltext
            self._matches[query, depth] = fulltext.search(self._texts[query], depth, allowed=self._scope.allowed)
        return self._matches[query, depth]

    def ranking(self, depth: int) -> Ranking:
        """The best documents of every query by BM25 alone; those without a word of the query are not found."""
        ranking = Ranking.empty(len(self._texts), min(depth, len(self._scope)))
        for query in range(len(self._texts) if ranking.depth else 0):
            found = self.matching(query, ranking.depth)
            ranking.documents[query, : len(found)] = found.numbers
            # No span is better than another by BM25, so the first one stands for the document.
            ranking.rows[query, : len(found)] = self._scope.index.rows_of(found.numbers)[0]
            ranking.scores[query, : len(found)] = found.scores
        return ranking

    def fuse(
        self, dense: Ranking, search: DenseSearch, *, queries: IntArray, weights: FloatArray, depth: int
    ) -> Ranking:
        """Rank the documents that are among the best of either kind by both scores together.

        Every candidate gets both of its scores, so the order among candidates is exact.

        Args:
            dense: the best documents of these queries by their vectors; its depth is that of the lexical candidates.
            search: what found them.
            queries: the numbers of these queries in the block, shape (n_queries,).
            weights: float32, shape (n_queries,); see :func:`routeret.fusion.score_fusion`.
            depth: how many documents to keep.
        """
        fused = Ranking.empty(len(queries), min(depth, dense.depth))
        fulltext = self._scope.index.fulltext
        for line, query in enumerate(queries.tolist() if fused.depth else ()):
            found = self.matching(query, dense.depth)
            candidates = search.extended(query, dense, line=line, documents=found.numbers)
            scores = score_fusion(
                candidates.scores[None, :],
                fulltext.scores_of(self._texts[query], candidates.documents)[None, :],
                weights=weights[line : line + 1],
                best=found.scores[:1] if len(found) else np.zeros(1, dtype=np.float32),
            )[0]
            order = np.lexsort((candidates.documents, -scores))[: fused.depth]
            fused.documents[line] = candidates.documents[order]
            fused.rows[line] = candidates.rows[order]
            fused.scores[line] = scores[order]
        return fused
