"""What a graph need not compute where every pass is one text without padding."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

_MASK = "attention_mask"


def leave_out_mask(graph: "GraphProto") -> None:
    """Let attention go without the mask, which hides nothing, and drop what is not read then.

    Args:
        graph: was exported; is changed.
    """
    made = _makers(graph)
    from_mask = {_MASK}
    for node in graph.node:
        if node.op_type == "Softmax":
            adding = made[node.input[0]]
            scores = [name for name in adding.input if name not in from_mask]
            node.input[0] = scores[0] if adding.op_type == "Add" and len(scores) == 1 else node.input[0]
        elif node.op_type != "Shape" and from_mask.intersection(node.input):
            from_mask.update(node.output)
    drop_unread(graph)


def leave_out_texts(graph: "GraphProto") -> None:
    """Let attention compute without the dimension of the texts, which is 1.

    ONNX Runtime makes the transpositions of tokens and heads part of the products then. Attention that adds anything to
    its scores stays as it is.

    Args:
        graph: has no mask; is changed.
    """
    from onnx import helper

    made = _makers(graph)
    shapes: dict[str, NodeProto] = {}
    for transposed in _transposed_by_attention(graph, made):
        (order,) = transposed.attribute
        order.ints[:] = [side - 1 for side in order.ints if side > 0]
        divided = made.get(transposed.input[0])
        if divided is not None and divided.op_type == "Reshape":
            whole = divided.input[1]
            if whole not in shapes:
                shapes[whole] = helper.make_node("Concat", made[whole].input[1:], [f"{whole} of one text"], axis=0)
            divided.input[1] = shapes[whole].output[0]
    nodes = [one for node in graph.node for one in (node, shapes.get(node.output[0])) if one is not None]
    # The shapes that the exporter noted are not those any more.
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def _transposed_by_attention(graph: "GraphProto", made: dict[str, "NodeProto"]) -> Iterator["NodeProto"]:
    """The transpositions of query, key, value and of what attention gives, texts first in each."""
    readers = {name: node for node in graph.node for name in node.input}
    for softmax in graph.node:
        if softmax.op_type != "Softmax":
            continue
        scores = made[softmax.input[0]]
        product = made[scores.input[0]] if scores.op_type in ("Mul", "Div") else scores
        weighted = readers[softmax.output[0]]
        divided = [made.get(name) for name in (*product.input, weighted.input[1])]
        transposed = [one for one in (*divided, readers[weighted.output[0]]) if one is not None and _keeps_texts(one)]
        if len(transposed) == 4 and all(_is_divided(made.get(one.input[0]), made) for one in transposed[:3]):
            yield from transposed


def _keeps_texts(node: "NodeProto") -> bool:
    return node.op_type == "Transpose" and node.attribute[0].ints[0] == 0


def _is_divided(node: "NodeProto | None", made: dict[str, "NodeProto"]) -> bool:
    """Whether a value was divided into heads, by a shape that begins with the number of texts."""
    shape = None if node is None or node.op_type != "Reshape" else made.get(node.input[1])
    return shape is not None and shape.op_type == "Concat"


def drop_unread(graph: "GraphProto") -> None:
    """Drop nodes and numbers that no output depends on.

    Args:
        graph: is changed; its nodes stand in the order in which they can be computed.
    """
    read = {one.name for one in graph.output}
    kept = []
    for node in reversed(graph.node):
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    numbers = [one for one in graph.initializer if one.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(numbers)


def _makers(graph: "GraphProto") -> dict[str, "NodeProto"]:
    return {name: node for node in graph.node for name in node.output}
