"""BM25 for a block of queries, and its part in a fused ranking."""

from collections.abc import Sequence

import numpy as np

from routeret.fusion import score_fusion
from routeret.index import Index
from routeret.index.exact import top_k
from routeret.retriever.ranking import Ranking
from routeret.types import FloatArray, IntArray


class LexicalScores:
    """BM25 of every document for a block of queries; each query is scored once, when it is first asked for."""

    def __init__(self, index: Index, texts: Sequence[str]) -> None:
        """Keep what is to be scored.

        Args:
            index: what to search.
            texts: the queries.
        """
        self._index = index
        self._texts = texts
        self._scores_by_query: dict[int, FloatArray] = {}

    def scores(self, query: int) -> FloatArray:
        """BM25 of every document for one query of the block, float32, shape (n_documents,)."""
        if query not in self._scores_by_query:
            self._scores_by_query[query] = self._index.fulltext.scores(self._texts[query])
        return self._scores_by_query[query]

    def matching(self, query: int, depth: int) -> IntArray:
        """The best documents that share a word with a query, best first, at most ``depth``."""
        best = top_k(self.scores(query)[None, :], depth)
        documents: IntArray = best.rows[0][best.scores[0] > 0]
        return documents

    def ranking(self, depth: int) -> Ranking:
        """The best documents of every query by BM25 alone; those without a word of the query are not found."""
        ranking = Ranking.empty(len(self._texts), min(depth, len(self._index)))
        for query in range(len(self._texts)):
            documents = self.matching(query, depth)
            ranking.documents[query, : len(documents)] = documents
            # No span is better than another by BM25, so the first one stands for the document.
            ranking.rows[query, : len(documents)] = np.searchsorted(self._index.row_documents, documents)
            ranking.scores[query, : len(documents)] = self.scores(query)[documents]
        return ranking

    def fuse(
        self, dense: Ranking, vectors: FloatArray, *, queries: IntArray, weights: FloatArray, depth: int
    ) -> Ranking:
        """Rank the documents that are among the best of either kind by both scores together.

        Every candidate gets both of its scores, so the order among candidates is exact.

        Args:
            dense: the best documents of these queries by their vectors; its depth is that of the lexical candidates.
            vectors: float32, shape (n_queries, dim); the vectors that ``dense`` was found with.
            queries: the numbers of these queries in the block, shape (n_queries,).
            weights: float32, shape (n_queries,); see :func:`routeret.fusion.score_fusion`.
            depth: how many documents to keep.
        """
        fused = Ranking.empty(len(queries), min(depth, dense.depth))
        for line, query in enumerate(queries):
            lexical = self.scores(int(query))
            extra = np.setdiff1d(self.matching(int(query), dense.depth), dense.documents[line])
            extra_rows, extra_scores = best_spans(self._index, extra, vectors[line])
            documents = np.concatenate([dense.documents[line], extra])
            rows = np.concatenate([dense.rows[line], extra_rows])
            scores = score_fusion(
                np.concatenate([dense.scores[line], extra_scores])[None, :],
                lexical[documents][None, :],
                weights=weights[line : line + 1],
                best=lexical.max(initial=0.0, keepdims=True),
            )[0]
            order = np.lexsort((documents, -scores))[: fused.depth]
            fused.documents[line] = documents[order]
            fused.rows[line] = rows[order]
            fused.scores[line] = scores[order]
        return fused


def best_spans(index: Index, documents: IntArray, query: FloatArray) -> tuple[IntArray, FloatArray]:
    """The row of the span nearest to a query, and its score, for every document.

    Args:
        index: holds the documents.
        documents: document numbers, shape (n,).
        query: float32, shape (dim,).
    """
    starts = np.searchsorted(index.row_documents, documents)
    counts = np.searchsorted(index.row_documents, documents, side="right") - starts
    if len(documents) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    owners = np.repeat(np.arange(len(documents)), counts)
    firsts = np.cumsum(counts) - counts
    rows = starts[owners] + np.arange(len(owners)) - firsts[owners]
    # In double precision, as the search structures score, so that a document's score does not depend on how it came.
    products = np.einsum("nd,d->n", index.vectors(rows).astype(np.float64), query.astype(np.float64))
    scores: FloatArray = products.astype(np.float32)
    best = np.lexsort((rows, -scores, owners))[firsts]
    return rows[best], scores[best]
