"""Several experts asked at once: adapters of one base share a pass of its graph, linear experts their arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.encoders.graph.query_graph import QueryGraph
from routeret.experts.linear import LinearExpert
from routeret.experts.lora import LoraExpert
from routeret.experts.strength import applied, checked_base
from routeret.protocols import Expert
from routeret.types import FloatArray, QueryBatch


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What one expert is asked.

    Attributes:
        expert: writes queries.
        queries: its own part of a batch.
        strengths: float32, shape (n_queries,).
    """

    expert: Expert
    queries: QueryBatch
    strengths: FloatArray


def encode_together(asked: Sequence[Asked]) -> list[FloatArray]:
    """Query vectors of every expert for its own queries, float32, shape (n_queries, dim) each, in order.

    Args:
        asked: of experts that write into one space.

    Raises:
        InputError: an expert refuses what it is asked.
    """
    adapters: dict[QueryGraph, dict[int, LoraExpert]] = {}
    linear: dict[int, LinearExpert] = {}
    for place, one in enumerate(asked):
        if isinstance(one.expert, LinearExpert):
            linear[place] = one.expert
        elif isinstance(one.expert, LoraExpert) and one.expert.graph is not None:
            adapters.setdefault(one.expert.graph, {})[place] = one.expert
    answers = _by_products(linear, asked) if linear else {}
    for graph, expert_by_place in adapters.items():
        answers |= _by_one_pass(graph, expert_by_place, asked)
    return [
        answers[place] if place in answers else one.expert.encode_queries(one.queries, strengths=one.strengths)
        for place, one in enumerate(asked)
    ]


def _by_products(expert_by_place: dict[int, LinearExpert], asked: Sequence[Asked]) -> dict[int, FloatArray]:
    """What linear experts write, by their place among what was asked: a product each, and the rest at once."""
    bases, shifts = [], []
    for place, expert in expert_by_place.items():
        one = asked[place]
        base = checked_base(one.queries, strengths=one.strengths, dim=expert.space.dim, expert=expert.name)
        bases.append(base)
        shifts.append(expert.shift(base))
    vectors = applied(
        np.concatenate(bases),
        np.concatenate(shifts),
        strengths=np.concatenate([asked[place].strengths for place in expert_by_place]),
        unit_length=next(iter(expert_by_place.values())).space.unit_length,
    )
    answers, start = {}, 0
    for place, base in zip(expert_by_place, bases, strict=True):
        answers[place] = vectors[start : start + len(base)]
        start += len(base)
    return answers


def _by_one_pass(
    graph: QueryGraph, expert_by_place: dict[int, LoraExpert], asked: Sequence[Asked]
) -> dict[int, FloatArray]:
    """What adapters of one graph write, by their place among what was asked."""
    texts_by_place = {
        place: expert.passing(asked[place].queries, strengths=asked[place].strengths)
        for place, expert in expert_by_place.items()
    }
    texts = [text for texts in texts_by_place.values() for text in texts]
    adapters = [expert.adapter for place, expert in expert_by_place.items() for _ in texts_by_place[place]]
    vectors = graph.vectors(texts, adapters=adapters)
    parts = np.split(vectors, np.cumsum([len(one) for one in texts_by_place.values()])[:-1])
    return {
        place: expert.moved(asked[place].queries, part, strengths=asked[place].strengths)
        for (place, expert), part in zip(expert_by_place.items(), parts, strict=True)
    }
