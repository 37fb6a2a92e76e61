"""Several experts asked at once: adapters of one base share a pass of its graph, and all share their arithmetic."""

from collections.abc import Sequence

import numpy as np

from routeret.encoders.graph.query_graph import QueryGraph
from routeret.experts.linear import LinearExpert
from routeret.experts.lora import LoraExpert
from routeret.experts.strength import applied, require_dim
from routeret.protocols import Expert
from routeret.types import FloatArray, IntArray, QueryBatch

Asked = tuple[Expert, Sequence[int]]
"""An expert, and the lines that it is asked to write."""


def encode_together(
    batch: QueryBatch, asked: Sequence[Asked], *, queries: IntArray, strengths: FloatArray
) -> FloatArray:
    """What base and experts write for some queries, a line each.

    Args:
        batch: the queries.
        asked: experts that write into one space, each with lines of its own; lines of no expert are the base's.
        queries: the query of every line, int64, shape (n_lines,).
        strengths: of every line, float32, shape (n_lines,), at least 0, and 0 where it is the base's.

    Returns:
        float32, shape (n_lines, dim); a line at strength 0 has the base's vector to the last bit.

    Raises:
        InputError: an expert refuses what it is asked.
    """
    base = batch.base[queries]
    if not asked:
        return base
    shift = np.zeros_like(base)
    adapted: dict[QueryGraph, dict[int, LoraExpert]] = {}
    others: list[Asked] = []
    for expert, lines in asked:
        if isinstance(expert, LinearExpert):
            require_dim(base, expert.space.dim, expert=expert.name)
            shift[lines] = expert.shift(base[lines])
        elif isinstance(expert, LoraExpert) and expert.graph is not None:
            require_dim(base, expert.space.dim, expert=expert.name)
            adapted.setdefault(expert.graph, {}).update(dict.fromkeys(lines, expert))
        else:
            others.append((expert, lines))
    for graph, expert_by_line in adapted.items():
        lines = list(expert_by_line)
        adapters = [expert.adapter for expert in expert_by_line.values()]
        shift[lines] = graph.vectors(_texts(batch, queries[lines]), adapters=adapters) - base[lines]
    vectors = applied(base, shift, strengths=strengths, unit_length=asked[0][0].space.unit_length)
    for expert, lines in others:
        own = QueryBatch(_texts(batch, queries[lines]), base[lines])
        vectors[lines] = expert.encode_queries(own, strengths=strengths[lines])
    return vectors


def _texts(batch: QueryBatch, queries: IntArray) -> tuple[str, ...]:
    return tuple(batch.texts[query] for query in queries.tolist())
