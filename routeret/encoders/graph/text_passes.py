"""Texts through a runtime: their tokens, in passes of like length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routeret.encoders.adapter import Adapter
from routeret.encoders.graph.adapter_matrices import AdapterMatrices, Layer, scales
from routeret.encoders.graph.names import SCALE, named_matrices
from routeret.encoders.graph.runtime import AdaptableRuntime, Runtime
from routeret.encoders.passes import passes_of
from routeret.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What an exported graph reads and writes.

    Attributes:
        inputs: names of what it reads of a text: token numbers, which are tokens, kinds.
        padding: the token number that fills short rows.
        dim: length of a vector.
        layers: that adapters may change.
    """

    inputs: tuple[str, ...]
    padding: int
    dim: int
    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> "GraphFacts":
        """What the manifest of a graph's folder tells."""
        layers = tuple((str(name), int(n_in), int(n_out)) for name, n_in, n_out in manifest["layers"])
        return cls(tuple(manifest["inputs"]), int(manifest["padding"]), int(manifest["dim"]), layers)


def vectors_of(token_lists: Sequence[list[int]], runtime: Runtime, facts: GraphFacts) -> FloatArray:
    """Vectors of some texts by the base, float32, shape (n_texts, dim), in their order.

    Args:
        token_lists: token numbers of every text.
        runtime: computes the passes.
        facts: of the graph.
    """
    return _computed(token_lists, runtime, facts, lambda inputs, _: runtime.vectors(inputs))


def adapted_vectors_of(
    token_lists: Sequence[list[int]],
    runtime: AdaptableRuntime,
    facts: GraphFacts,
    adapters: Sequence[Adapter | None],
) -> FloatArray:
    """Vectors of some texts, float32, shape (n_texts, dim), in their order.

    Args:
        token_lists: token numbers of every text.
        runtime: computes the passes.
        facts: of the graph.
        adapters: what every text passes through, None for the base alone.

    Raises:
        InputError: an adapter does not fit the layers of the base.
    """

    def compute(inputs: dict[str, IntArray], rows: IntArray) -> FloatArray:
        return runtime.adapted_vectors(inputs, [adapters[row] for row in rows])

    return _computed(token_lists, runtime, facts, compute)


def _computed(
    token_lists: Sequence[list[int]],
    runtime: Runtime,
    facts: GraphFacts,
    compute: Callable[[dict[str, IntArray], IntArray], FloatArray],
) -> FloatArray:
    """Vectors of all texts, by passes that are given inputs and the numbers of their texts."""
    vectors: FloatArray = np.zeros((len(token_lists), facts.dim), dtype=np.float32)

    def write(rows: IntArray) -> None:
        vectors[rows] = compute(model_inputs([token_lists[row] for row in rows], facts), rows)

    lengths = np.array([len(one) for one in token_lists], dtype=np.int64)
    most_tokens = runtime.tokens_per_pass(int(lengths.sum()))
    runtime.each(write, passes_of(lengths, most_tokens=most_tokens))
    return vectors


def model_inputs(token_lists: Sequence[list[int]], facts: GraphFacts) -> dict[str, IntArray]:
    """What the transformer reads of some texts, each of shape (n_texts, n_tokens), by its name.

    Args:
        token_lists: token numbers of every text; short ones are filled up.
        facts: of the graph.
    """
    shape = (len(token_lists), max(len(one) for one in token_lists))
    arrays = {
        "input_ids": np.full(shape, facts.padding, dtype=np.int64),
        "attention_mask": np.zeros(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
    for row, ids in enumerate(token_lists):
        arrays["input_ids"][row, : len(ids)] = ids
        arrays["attention_mask"][row, : len(ids)] = 1
    return {name: arrays[name] for name in facts.inputs}


def base_inputs(ids: list[int], facts: GraphFacts) -> dict[str, Any]:
    """All that a graph is given for one text without adapters, by name.

    Args:
        ids: token numbers of the text.
        facts: of the graph.
    """
    none = AdapterMatrices(facts.layers, named_matrices).of(())
    return {**model_inputs([ids], facts), SCALE: scales([None], ()), **none}
