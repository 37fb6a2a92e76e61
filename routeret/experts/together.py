"""Several experts asked at once: adapters of one base share a pass of its graph."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.encoders.onnx.query_graph import QueryGraph
from routeret.experts.lora import LoraExpert
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

    Raises:
        InputError: an expert refuses what it is asked.
    """
    adapters: dict[QueryGraph, dict[int, LoraExpert]] = {}
    for place, one in enumerate(asked):
        if isinstance(one.expert, LoraExpert) and one.expert.graph is not None:
            adapters.setdefault(one.expert.graph, {})[place] = one.expert
    answers: dict[int, FloatArray] = {}
    for graph, expert_by_place in adapters.items():
        answers |= _by_one_pass(graph, expert_by_place, asked)
    return [
        answers[place] if place in answers else one.expert.encode_queries(one.queries, strengths=one.strengths)
        for place, one in enumerate(asked)
    ]


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
