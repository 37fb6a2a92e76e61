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
from routeret.types import FloatArray, Hit, Hits, Routing

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


def hits_of(index: Index, ranking: Ranking, texts: Sequence[str], routings: Sequence[Routing]) -> list[Hits]:
    """The documents of a ranking with their texts and spans, and why they were found.

    Args:
        index: holds the documents.
        ranking: of these queries.
        texts: the queries.
        routings: one a query.
    """
    columns = [values.tolist() for values in (ranking.rows, ranking.scores)]
    rows = sorted({row for line in columns[0] for row in line if row != NONE})
    located = dict(zip(rows, index.located(rows), strict=True))
    found = []
    for text, routing, *lines in zip(texts, routings, *columns, strict=True):
        items = []
        for row, score in zip(*lines, strict=True):
            if row == NONE:
                break
            document, span = located[row]
            items.append(
                Hit(
                    id=document.id,
                    score=score,
                    title=document.title,
                    text=document.text,
                    metadata=document.metadata,
                    span=span,
                )
            )
        found.append(Hits(query=text, items=tuple(items), routing=routing))
    return found


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
