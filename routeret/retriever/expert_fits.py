"""How well the experts of a pool fit the documents of an index, found without labels."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from routeret.experts.sketch import Spread, sketch_in
from routeret.retriever.index_map import MOST_ROWS, evenly
from routeret.retriever.probing import drawn_texts
from routeret.retriever.ranking import Ranking
from routeret.retriever.searching import Block, Searcher
from routeret.types import BASE

FIRST_HITS = 10
"""How many hits of expert and base are compared."""

_MOST_QUERIES = 100


@dataclass(frozen=True, slots=True)
class ExpertFit:
    """How well an expert fits the documents of an index.

    Only ``known`` steers the router. Neither of the other two told, on corpora that an expert had never seen, whether
    it helps there.

    Attributes:
        expert: its name.
        known: share of the documents looked at that it was trained over, or nearly equal ones.
        distance: between the documents looked at and those that it was trained over, in the base's space; None where
            the expert keeps no sketch. See :meth:`routeret.experts.sketch.Spread.distance`.
        agreement: share of the base's first 10 hits that are also the expert's, over queries made of documents.
        n_documents: how many documents were looked at.
        n_queries: how many queries were made of documents.
    """

    expert: str
    known: float
    distance: float | None
    agreement: float
    n_documents: int
    n_queries: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def expert_fits(searcher: Searcher, *, seed: int = 0) -> list[ExpertFit]:
    """How well every expert of the pool fits the documents of the index; best known first.

    Looks at up to 4,000 of the stored vectors and asks up to 100 queries of a few words each, drawn from documents;
    every expert at its own strength. Where the index grows, which vectors are looked at changes in steps, as for its
    own map.

    Args:
        searcher: of an index; without documents there is nothing to tell.
        seed: of the draw of queries.
    """
    index = searcher.index
    rows = evenly(index.live_rows, most=MOST_ROWS)
    if len(rows) == 0:
        return []
    numbers = np.unique(index.row_documents[rows])
    known = searcher.known_documents.by(numbers).mean(axis=0)
    spread = Spread.of(index.vectors(rows))
    texts = drawn_texts(index, most=_MOST_QUERIES, seed=seed)
    (block,) = searcher.blocks(texts, depth=FIRST_HITS)
    found = _hits(searcher, block, BASE)
    fits = []
    for expert, share in zip(searcher.pool.experts, known.tolist(), strict=True):
        sketch = sketch_in(expert, index.space)
        fits.append(
            ExpertFit(
                expert=expert.name,
                known=share,
                distance=None if sketch is None else sketch.documents.distance(spread),
                agreement=agreement(found, _hits(searcher, block, expert.name)),
                n_documents=len(numbers),
                n_queries=len(texts),
            )
        )
    return sorted(fits, key=lambda fit: -fit.known)


def agreement(one: Ranking, other: Ranking) -> float:
    """Share of the documents of one ranking that are in another of the same queries, the mean over queries."""
    shares = [np.isin(mine, theirs).mean() for mine, theirs in zip(one.documents, other.documents, strict=True)]
    return float(np.mean(shares))


def _hits(searcher: Searcher, block: Block, name: str) -> Ranking:
    return searcher.rank(block, searcher.constant(block, weights={name: 1.0}), FIRST_HITS)
