"""Linear layers of a graph for one text: one product for all that meet the same, with some channels apart from it.

A layer gives W x + ((A x) * scale) B, and W x is W_rest x_rest + W_apart x_apart. The two terms of low rank are one
product here, that of x_apart and A x side by side with W_apart and B one upon the other, the scale in B. So without
adapters there is nothing to add for them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.encoders.graph.joint_layers import JointLayer
from routeret.encoders.graph.names import SCALE, matrix_names
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def layers_of(graph: "GraphProto") -> Iterator["NodeProto"]:
    """The products with a matrix of the model."""
    numbers = {one.name for one in graph.initializer}
    return (node for node in graph.node if node.op_type == "MatMul" and node.input[1] in numbers)


def join_layers(graph: "GraphProto", channels: Mapping[str, IntArray]) -> list[JointLayer]:
    """Join the layers that adapters may change; the graph gives the same vectors of one text as before.

    What the layers give has no dimension of texts, which comes back where it meets a value that has one.
    The graph is given the matrices of :func:`~routeret.encoders.graph.joint_layers.joint_matrices` and no scale.

    Args:
        graph: was exported; is changed.
        channels: of values that layers meet, by their names, those that are set apart; may be none.

    Returns:
        The joint layers, in the order of their A and B.
    """
    from onnx import TensorProto, helper, numpy_helper

    layers = _found(graph)
    by_value: dict[str, list[_Layer]] = {}
    for layer in layers:
        by_value.setdefault(layer.met, []).append(layer)
    written = [_Joint(number, group) for number, group in enumerate(by_value.values())]
    joint = [one.write(channels.get(value)) for one, value in zip(written, by_value, strict=True)]
    replaced = {name for layer in layers for name in layer.outputs}
    first = {one.layers[0].outputs[0]: one.nodes for one in written}
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.extend(first.get(node.output[0], ()))
        nodes.extend(() if node.output[0] in replaced else (node,))
    given = {SCALE, *matrix_names(len(layers))}
    inputs = [one for one in graph.input if one.name not in given]
    names = matrix_names(len(joint))
    inputs.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in names)
    numbers = [numpy_helper.from_array(array, name) for one in written for name, array in one.numbers.items()]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(inputs)
    graph.initializer.extend(numbers)
    return joint


@dataclass(frozen=True, slots=True)
class _Layer:
    """A linear layer as it was exported.

    Attributes:
        place: in the order of A and B.
        met: the value that it meets.
        matrix: shape (n_inputs, n_outputs).
        bias: shape (n_outputs,).
        outputs: of the nodes that compute it, its product first, what it gives last.
    """

    place: int
    met: str
    matrix: FloatArray
    bias: FloatArray
    outputs: tuple[str, ...]


def _found(graph: "GraphProto") -> list[_Layer]:
    """The layers that adapters may change, found by the matrices that the graph is given for them."""
    from onnx import numpy_helper

    numbers = {one.name: one for one in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    layers = []
    given = {one.name for one in graph.input}
    n_layers = len(given.intersection(matrix_names(len(given)))) // 2
    for place, name in enumerate(matrix_names(n_layers)[:n_layers]):
        (lowered,) = readers[name]
        (scaled,) = readers[lowered.output[0]]
        (raised,) = readers[scaled.output[0]]
        (end,) = readers[raised.output[0]]
        (own,) = (makers[name] for name in end.input if name != raised.output[0])
        product = own if own.op_type == "MatMul" else makers[own.input[0]]
        matrix = numpy_helper.to_array(numbers[product.input[1]])
        bias = np.zeros(matrix.shape[1], np.float32) if own is product else numpy_helper.to_array(numbers[own.input[1]])
        outputs = tuple(one.output[0] for one in (product, own, lowered, scaled, raised, end))
        layers.append(_Layer(place, product.input[0], matrix, bias, outputs))
    return layers


class _Joint:
    """The nodes of a joint layer as they are written, and the numbers that they read."""

    def __init__(self, number: int, layers: Sequence[_Layer]) -> None:
        self.layers = layers
        self.nodes: list[NodeProto] = []
        self.numbers: dict[str, FloatArray | IntArray] = {}
        self._number = number

    def write(self, chosen: IntArray | None) -> JointLayer:
        """Write the layers without the chosen channels, and the product of these and of adapters."""
        matrix = np.concatenate([one.matrix for one in self.layers], axis=1)
        n_inputs = len(matrix)
        # Of two dimensions, a product and the addition to another one are one operation.
        rows = rest = self._write("Reshape", [self.layers[0].met, self._stored("rows shape", [-1, n_inputs])], "rows")
        lowered = self._write("MatMul", [rows, f"A{self._number}"], "lowered")
        apart = matrix[:0]
        if chosen is not None and len(chosen):
            apart = matrix[chosen]
            kept = np.ones(n_inputs, dtype=np.float32)
            kept[chosen], matrix[chosen] = 0, 0
            rest = self._write("Mul", [rows, self._stored("kept", kept)], "rest")
            strong = self._write("Gather", [rows, self._stored("chosen", chosen)], "apart", axis=-1)
            lowered = self._write("Concat", [strong, lowered], "low", axis=-1)
        product = self._write("MatMul", [rest, self._stored("matrix", matrix)], "product")
        bias = self._stored("bias", np.concatenate([one.bias for one in self.layers]))
        product = self._write("Add", [product, bias], "biased")
        ends = [one.outputs[-1] for one in self.layers]
        inputs = [lowered, f"B{self._number}", product]
        changed = self._write("Gemm", inputs, "changed", outputs=ends if len(ends) == 1 else None)
        if len(ends) > 1:
            lengths = self._stored("lengths", [len(one.bias) for one in self.layers])
            self._write("Split", [changed, lengths], "ends", outputs=ends, axis=-1)
        return JointLayer(tuple(one.place for one in self.layers), apart)

    def _stored(self, what: str, values: FloatArray | IntArray | list[int]) -> str:
        name = self._named(what)
        self.numbers[name] = np.array(values, dtype=np.int64) if isinstance(values, list) else values
        return name

    def _write(
        self, kind: str, inputs: list[str], what: str, *, outputs: Sequence[str] | None = None, axis: int | None = None
    ) -> str:
        from onnx import helper

        name = self._named(what)
        settings: dict[str, Any] = {} if axis is None else {"axis": axis}
        self.nodes.append(helper.make_node(kind, inputs, outputs or [name], name=name, **settings))
        return name

    def _named(self, what: str) -> str:
        return f"joint {self._number}: {what}"
