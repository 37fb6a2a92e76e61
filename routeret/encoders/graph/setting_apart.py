"""Linear layers of a graph that leave some channels out of their product and add what these give apart."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def layers_of(graph: "GraphProto") -> Iterator["NodeProto"]:
    """The products with a matrix of the model."""
    numbers = {one.name for one in graph.initializer}
    return (node for node in graph.node if node.op_type == "MatMul" and node.input[1] in numbers)


def set_apart(graph: "GraphProto", channels: Mapping[str, IntArray]) -> None:
    """Change the layers: W x becomes W_rest x_rest + W_apart x_apart, the same number.

    What is added apart is added after the bias, which a product in bytes then adds by itself.

    Args:
        graph: is changed; every layer keeps its name, as that of its product with the rest.
        channels: of every value that layers meet, by its name, those that are set apart; none of them leaves its layers
            as they are.
    """
    from onnx import numpy_helper

    numbers = {one.name: one for one in graph.initializer}
    ends = _ends(graph)
    apart = _Apart()
    for node in list(graph.node):
        chosen = channels.get(node.input[0]) if node.output[0] in ends else None
        if chosen is None or not len(chosen):
            apart.keep(node)
            continue
        matrix = numpy_helper.to_array(numbers[node.input[1]])
        apart.divide(node, matrix, chosen, end=ends[node.output[0]])
    used = {name for node in apart.nodes for name in node.input}
    kept = [one for one in graph.initializer if one.name in used]
    new = [numpy_helper.from_array(array, name) for name, array in apart.numbers.items()]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(apart.nodes)
    graph.initializer.extend([*kept, *new])


def _ends(graph: "GraphProto") -> dict[str, str]:
    """What every layer's product is called once its bias has been added, by what the product is called."""
    numbers = {one.name for one in graph.initializer}
    n_readers = Counter(name for node in graph.node for name in node.input)
    n_readers.update(one.name for one in graph.output)
    ends = {node.output[0]: node.output[0] for node in layers_of(graph)}
    for node in graph.node:
        is_bias = node.op_type == "Add" and node.input[0] in ends and node.input[1] in numbers
        if is_bias and n_readers[node.input[0]] == 1:
            ends[node.input[0]] = node.output[0]
    return ends


class _Apart:
    """The nodes of a graph as they are written, and the numbers that are new."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.numbers: dict[str, FloatArray | IntArray] = {}
        self._terms: dict[str, str] = {}

    def keep(self, node: "NodeProto") -> None:
        """Write a node as it is, unless something is to be added to what it ends."""
        self.nodes.append(node)
        self._end(node)

    def divide(self, layer: "NodeProto", matrix: FloatArray, chosen: IntArray, *, end: str) -> None:
        """Write a layer without the chosen rows of its matrix, and the product of these."""
        value, product = layer.input[0], layer.output[0]
        if f"{value}_rest" not in self.numbers:
            self._divide_value(value, len(matrix), chosen)
        rest = matrix.copy()
        rest[chosen] = 0
        self.numbers |= {f"{product}_rest_matrix": rest, f"{product}_apart_matrix": matrix[chosen]}
        self._write("MatMul", [f"{value}_apart", f"{product}_apart_matrix"], f"{end}_term")
        layer.input[:] = [f"{value}_without", f"{product}_rest_matrix"]
        self._terms[end] = f"{end}_term"
        self.keep(layer)

    def _divide_value(self, value: str, n_channels: int, chosen: IntArray) -> None:
        rest = np.ones(n_channels, dtype=np.float32)
        rest[chosen] = 0
        self.numbers |= {f"{value}_rest": rest, f"{value}_chosen": chosen.astype(np.int64)}
        self._write("Mul", [value, f"{value}_rest"], f"{value}_without")
        self._write("Gather", [value, f"{value}_chosen"], f"{value}_apart")

    def _end(self, node: "NodeProto") -> None:
        """Add what is apart to what a node gives, where a layer ends there."""
        end = node.output[0]
        if end in self._terms:
            node.output[0] = f"{end}_of_rest"
            self._write("Add", [f"{end}_of_rest", self._terms.pop(end)], end)

    def _write(self, kind: str, inputs: list[str], output: str) -> None:
        from onnx import helper

        node = helper.make_node(kind, inputs, [output], name=output)
        if kind == "Gather":
            node.attribute.append(helper.make_attribute("axis", -1))
        self.nodes.append(node)
