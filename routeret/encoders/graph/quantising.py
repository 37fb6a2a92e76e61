"""A graph in 8-bit numbers, whose few strong channels stay in float32.

A linear layer multiplies bytes: its weights have a scale for every column, and what it meets has one scale for all.
Some channels that it meets are ten times as strong as the others, to which one scale would leave three or four bits.
These channels are left out of the bytes and added in float32, W x = W_rest x_rest + W_strong x_strong (LLM.int8(),
2208.07339, section 3.2; here the channels are found once, on probes).
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.encoders.graph.joint_layers import write_joint_layers
from routeret.encoders.graph.one_text import drop_unread, leave_out_mask, leave_out_texts
from routeret.encoders.graph.onnx_runtime import session_of
from routeret.encoders.graph.setting_apart import join_layers, layers_of
from routeret.encoders.graph.store import joint_file
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    from onnx import ModelProto

_STRONG = 2.5
"""A channel is strong if its largest magnitude is above so many times that of the median channel."""

_MOST_STRONG = 8
"""Channels of one layer; more gain next to nothing."""

_MOST_STEPS = 127
"""The largest magnitude of a byte, on both sides of 0."""

_DOMAIN = "com.microsoft"
"""Of what ONNX Runtime computes beside the standard."""

_LEAST_APART = 1024
"""Numbers of so many bytes lie in the file that is mapped."""


def quantise(source: Path, target: Path, probes: Iterable[Mapping[str, Any]]) -> None:
    """Write the 8-bit twin of a graph.

    Args:
        source: a graph in float32, with its weights beside it.
        target: the file to write; the weights go into another one beside it.
        probes: inputs of the graph, by name, on which strong channels are found.
    """
    import onnx

    strengths: dict[str, FloatArray] = {}
    for met in met_by_layers(source, probes):
        for value, rows in met.items():
            strengths[value] = np.maximum(strengths.get(value, 0), np.abs(rows).max(axis=0))
    model = onnx.load(str(source))
    leave_out_mask(model.graph)
    leave_out_texts(model.graph)
    joint = join_layers(model.graph, {value: strong_channels(strength) for value, strength in strengths.items()})
    in_bytes(model)
    drop_unread(model.graph)
    write_joint_layers(joint_file(target), joint)
    with tempfile.TemporaryDirectory(prefix="quantising-", dir=target.parent) as folder:
        unfused = Path(folder, target.name)
        onnx.save(model, str(unfused), save_as_external_data=True, location=f"{target.name}.data")
        _fuse(unfused, target)


def in_bytes(model: "ModelProto") -> None:
    """Let every linear layer multiply bytes.

    Args:
        model: is changed; a bias is added to every product, and nothing else reads it.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    numbers = {one.name: one for one in graph.initializer}
    readers = {name: node for node in graph.node for name in node.input}
    for product in list(layers_of(graph)):
        value, name = product.input
        matrix = numpy_helper.to_array(numbers[name])
        strongest = np.abs(matrix).max(axis=0)
        step = np.where(strongest == 0, 1, strongest / _MOST_STEPS).astype(np.float32)
        new = (
            numpy_helper.from_array(np.rint(matrix / step).astype(np.int8), f"{name} bytes"),
            numpy_helper.from_array(step, f"{name} step"),
        )
        graph.initializer.extend(new)
        biased = readers[product.output[0]]
        bias = next(one for one in biased.input if one != product.output[0])
        biased.op_type, biased.domain = "DynamicQuantizeMatMul", _DOMAIN
        # Without zero points there is none to allow for.
        biased.input[:] = [value, *(one.name for one in new), "", bias]
        graph.node.remove(product)
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))


def strong_channels(strength: FloatArray) -> IntArray:
    """The channels that stay in float32, in ascending order.

    Args:
        strength: the largest magnitude that each was met with, shape (n_channels,).
    """
    strongest = np.argsort(-strength, kind="stable")[:_MOST_STRONG]
    return np.sort(strongest[strength[strongest] > _STRONG * np.median(strength)])


def met_by_layers(source: Path, inputs: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, FloatArray]]:
    """What the linear layers of a graph meet, float32, shape (n_tokens, n_channels), by its name; once an input.

    Args:
        source: the graph, with its weights beside it, in a folder where a file may be written.
        inputs: what it is given, by name.
    """
    import onnx

    model = onnx.load(str(source), load_external_data=False)
    values = list(dict.fromkeys(node.input[0] for node in layers_of(model.graph)))
    known = {one.name for one in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None)
        for value in values
        if value not in known
    )
    # Weights are looked for beside the file.
    watched = source.with_name("watched.onnx")
    onnx.save(model, str(watched))
    try:
        session = session_of(watched)
        for given in inputs:
            met = session.run(values, dict(given))
            yield {value: rows.reshape(-1, rows.shape[-1]) for value, rows in zip(values, met, strict=True)}
    finally:
        watched.unlink()


def _fuse(source: Path, target: Path) -> None:
    """Write a graph as ONNX Runtime would make it whenever it opens the source, so that it opens sooner."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    prefix = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(f"{prefix}file_name", f"{target.name}.data")
    options.add_session_config_entry(f"{prefix}min_size_in_bytes", str(_LEAST_APART))
    session_of(source, options)
