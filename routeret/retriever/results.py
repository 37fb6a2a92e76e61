"""From arrays to hits, with the order of a reranker if there is one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from routeret.errors import InputError
from routeret.index import Index
from routeret.retriever.ranking import NONE, Ranking
from routeret.routing.decisions import RoutingBatch
from routeret.routing.nearest_pilots import NearestPilots
from routeret.types import Document, FloatArray, Hit, Hits, Routing

Reranker = Callable[[str, Sequence[Hit]], Sequence[float]]
"""Gives a new score for every hit of a query; higher is better."""

_SHOWN_PILOTS = 3


def explained(routing: RoutingBatch, *, base: FloatArray, pilots: NearestPilots | None) -> list[Routing]:
    """The decision for every query in names and words, which are found when somebody looks.

    Args:
        routing: the decisions.
        base: float32, shape (n_queries, dim); the base's query embeddings.
        pilots: those of the router that decided; the nearest ones are shown. None where there are none.
    """

    def told(query: int) -> Routing:
        near = () if pilots is None else pilots.later(base[query], _SHOWN_PILOTS)
        return routing.explain(query, pilots=near)

    return [Routing.later(partial(told, query)) for query in range(len(base))]


class FoundDocuments:
    """The documents that a call finds in an index; each is read and held once, however many queries find it."""

    def __init__(self, index: Index) -> None:
        """Read nothing yet.

        Args:
            index: holds the documents; does not change meanwhile.
        """
        self._index = index
        self._documents: dict[str, Document] = {}
        self._located: dict[int, tuple[Document, tuple[int, int]]] = {}

    def hits_of(self, ranking: Ranking, texts: Sequence[str], routings: Sequence[Routing]) -> list[Hits]:
        """The documents of a ranking with their texts and spans, and why they were found.

        Args:
            ranking: of these queries.
            texts: the queries.
            routings: one a query.
        """
        columns = [values.tolist() for values in (ranking.rows, ranking.scores)]
        self._read({row for line in columns[0] for row in line if row != NONE})
        return [
            Hits(query=text, items=self._items(rows, scores), routing=routing)
            for text, routing, rows, scores in zip(texts, routings, *columns, strict=True)
        ]

    def _read(self, rows: set[int]) -> None:
        """Read those that were not found before."""
        new = sorted(rows - self._located.keys())
        for row, (document, span) in zip(new, self._index.located(new), strict=True):
            self._located[row] = self._documents.setdefault(document.id, document), span

    def _items(self, rows: Sequence[int], scores: Sequence[float]) -> tuple[Hit, ...]:
        items = []
        for row, score in zip(rows, scores, strict=True):
            if row == NONE:
                break
            document, span = self._located[row]
            items.append(Hit(document.id, score, document.title, document.text, document.metadata, span))
        return tuple(items)


def reranked(hits: Hits, rerank: Reranker) -> Hits:
    """The same documents with the scores of a reranker, best first; equal scores keep their order.

    Raises:
        InputError: the reranker gave another number of scores, or one that is not finite.
    """
    if not hits.items:
        return hits
    scores = np.asarray(rerank(hits.query, hits.items), dtype=np.float64)
    if scores.shape != (len(hits.items),):
        raise InputError(
            f"rerank gave scores of shape {scores.shape} for {len(hits.items)} hits of query {hits.query!r}; "
            f"expected one score a hit"
        )
    if not np.isfinite(scores).all():
        position = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InputError(
            f"rerank gave {scores[position]} for hit {hits.items[position].id!r} of query {hits.query!r}; "
            f"expected a finite number"
        )
    order = np.argsort(-scores, kind="stable").tolist()
    return replace(hits, items=tuple(replace(hits.items[i], score=float(scores[i])) for i in order))
