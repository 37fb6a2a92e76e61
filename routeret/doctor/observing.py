"""What the router decides for the queries of a log, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.progress import track
from routeret.retriever.searching import Searcher, query_parts
from routeret.routing import UtilityRouter
from routeret.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """The decisions for n_queries queries over a pool of n_experts experts.

    Attributes:
        experts: their names; the columns of the arrays below.
        base: float32, shape (n_queries, dim); the base's query embeddings.
        weights: float32, shape (n_queries, 1 + n_experts); column 0 is the base; rows sum to 1.
        strengths: float32, shape (n_queries, n_experts).
        gains: float32, shape (n_queries, n_experts); predicted change of nDCG@10 against the base.
        lexical: float32, shape (n_queries,); weight of BM25.
        held_back: shape (n_queries,); whether the router went less far than the predicted gains say.
        turned: shape (n_queries,); whether the index's own map turned the query.
        likeness: float32, shape (n_queries,); to the training corpus that the query is most like: 0 nothing like its
            pilots, 1 like them without reserve.
        knows_hits: shape (n_queries,); whether some expert was trained over one of the base's first hits.
    """

    experts: tuple[str, ...]
    base: FloatArray
    weights: FloatArray
    strengths: FloatArray
    gains: FloatArray
    lexical: FloatArray
    held_back: BoolArray
    turned: BoolArray
    likeness: FloatArray
    knows_hits: BoolArray

    def __len__(self) -> int:
        """How many queries."""
        return len(self.weights)


def observe(
    searcher: Searcher, router: UtilityRouter, texts: Sequence[str], *, show_progress: bool = False
) -> Observed:
    """Route queries in blocks; nothing but the base's first hits is searched.

    Args:
        searcher: searches the index with the pool.
        router: the pool's.
        texts: the queries, at least one.
        show_progress: draw a progress bar on stderr.
    """
    blocks = searcher.blocks(texts, depth=1)
    n_blocks = sum(1 for _ in query_parts(texts))
    parts = []
    for block in track(blocks, description="routing", total=n_blocks, unit="blocks", show=show_progress):
        routing = searcher.route(block)
        likeness = router.likeness.of(block.batch.base)
        parts.append(
            (
                block.batch.base,
                routing.weights,
                routing.strengths,
                routing.gains,
                routing.lexical,
                routing.held_back,
                routing.adaptation > 0,
                likeness.max(axis=1, initial=0.0),
                (routing.known > 0).any(axis=1),
            )
        )
    base, weights, strengths, gains, lexical, held_back, turned, nearest, knows_hits = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    return Observed(
        experts=router.expert_names,
        base=base,
        weights=weights,
        strengths=strengths,
        gains=gains,
        lexical=lexical,
        held_back=held_back,
        turned=turned,
        likeness=nearest,
        knows_hits=knows_hits,
    )
