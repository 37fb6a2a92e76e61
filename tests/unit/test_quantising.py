"""A graph in 8-bit numbers: which channels stay in float32, and what that is good for."""

import numpy as np
import pytest

from routeret.encoders.graph.joint_layers import JointLayer, joint_matrices, read_joint_layers, write_joint_layers
from routeret.encoders.graph.names import SCALE, matrix_names, named_matrices
from routeret.encoders.graph.quantising import quantise, strong_channels
from routeret.encoders.graph.setting_apart import join_layers
from routeret.encoders.graph.store import joint_file

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
N_INPUTS, N_OUTPUTS = 64, 16


@pytest.fixture
def weights():
    return np.random.default_rng(0).normal(size=(N_INPUTS, N_OUTPUTS)).astype(np.float32)


def graph_of(layers, width, outputs):
    """A model as it is exported; of every layer what it meets and gives, its matrix, and a bias or None."""
    helper = onnx.helper
    nodes, numbers = [], {}
    for place, (value, end, matrix, bias) in enumerate(layers):
        numbers[f"w{place}"] = matrix
        own = f"product{place}"
        nodes.append(helper.make_node("MatMul", [value, f"w{place}"], [own]))
        if bias is not None:
            numbers[f"b{place}"] = bias
            nodes.append(helper.make_node("Add", [own, f"b{place}"], [f"own{place}"]))
            own = f"own{place}"
        nodes += [
            helper.make_node("MatMul", [value, f"A{place}"], [f"lowered{place}"]),
            helper.make_node("Mul", [f"lowered{place}", SCALE], [f"scaled{place}"]),
            helper.make_node("MatMul", [f"scaled{place}", f"B{place}"], [f"raised{place}"]),
            helper.make_node("Add", [own, f"raised{place}"], [end]),
        ]
    given = [
        helper.make_tensor_value_info("x", 1, [1, "n", width]),
        helper.make_tensor_value_info(SCALE, 1, [1, 1, "r"]),
    ]
    given += [helper.make_tensor_value_info(name, 1, [None, None]) for name in matrix_names(len(layers))]
    ends = [helper.make_tensor_value_info(name, 1, None) for name in outputs]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in numbers.items()]
    graph = helper.make_graph(nodes, "layers", given, ends, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_graph(file, *matrices):
    """A graph that multiplies one input by every matrix."""
    layers = [("x", f"y{place}", matrix, None) for place, matrix in enumerate(matrices)]
    onnx.save(graph_of(layers, N_INPUTS, [end for _, end, _, _ in layers]), str(file))


def no_adapters(n_layers):
    down = [np.zeros((N_INPUTS, 0), np.float32)] * n_layers
    return down, [np.zeros((0, N_OUTPUTS), np.float32)] * n_layers


def probe(rows, n_layers=1):
    return {"x": rows, SCALE: np.zeros((1, 1, 0), np.float32), **named_matrices(*no_adapters(n_layers))}


def run(file, rows, n_layers=1):
    """What a graph gives without adapters."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    if not joint_file(file).exists():
        return session.run(None, probe(rows, n_layers))
    matrices = joint_matrices(*no_adapters(n_layers), read_joint_layers(joint_file(file)))
    return session.run(None, {"x": rows, **named_matrices(*matrices)})


def rows_with(strength, *, channel=7, seed=1):
    rows = np.random.default_rng(seed).uniform(-1, 1, size=(1, 5, N_INPUTS)).astype(np.float32)
    rows[0, 2, channel] = strength
    return rows


def error(found, exact):
    return float(np.abs(found - exact).max())


def test_strong_channels_stand_out_from_the_median():
    strengths = np.ones(100)
    strengths[[80, 3]] = 2.6, 9
    strengths[5] = 2.4
    assert strong_channels(strengths).tolist() == [3, 80]
    assert strong_channels(np.ones(100)).tolist() == []


def test_at_most_eight_channels_are_strong():
    strengths = np.ones(100)
    strengths[:20] = np.arange(20) + 10
    assert strong_channels(strengths).tolist() == list(range(12, 20))


def test_a_channel_that_is_strong_on_a_probe_costs_no_precision(tmp_path, weights):
    write_graph(tmp_path / "float32.onnx", weights)
    quantise(tmp_path / "float32.onnx", tmp_path / "aware.onnx", [probe(rows_with(50.0))])
    quantise(tmp_path / "float32.onnx", tmp_path / "unaware.onnx", [probe(rows_with(1.0))])
    rows = rows_with(40.0, seed=2)
    (exact,) = run(tmp_path / "float32.onnx", rows)
    (aware,), (unaware,) = run(tmp_path / "aware.onnx", rows), run(tmp_path / "unaware.onnx", rows)
    # A step is 2 / 255 of what is met with the channel apart, and 41 / 255 with it.
    assert 0 < error(aware, exact) < 0.2
    assert error(unaware, exact) > 5 * error(aware, exact)


def test_layers_that_meet_the_same_are_one_product(tmp_path, weights):
    write_graph(tmp_path / "float32.onnx", weights, -2 * weights)
    probes = [probe(rows_with(strength), 2) for strength in (50.0, 1.0)]
    quantise(tmp_path / "float32.onnx", tmp_path / "int8.onnx", probes)
    operations = [node.op_type for node in onnx.load(str(tmp_path / "int8.onnx"), load_external_data=False).graph.node]
    assert (operations.count("DynamicQuantizeMatMul"), operations.count("Gather")) == (1, 1)
    (joint,) = read_joint_layers(tmp_path / "int8.safetensors")
    assert joint.places == (0, 1)
    np.testing.assert_array_equal(joint.apart, np.concatenate([weights[[7]], -2 * weights[[7]]], axis=1))
    first, second = run(tmp_path / "int8.onnx", rows_with(30.0), 2)
    np.testing.assert_allclose(second, -2 * first, rtol=1e-4, atol=1e-4)


def test_the_graph_in_float32_stays_as_it_was_and_nothing_else_is_left(tmp_path, weights):
    write_graph(tmp_path / "float32.onnx", weights)
    before = (tmp_path / "float32.onnx").read_bytes()
    quantise(tmp_path / "float32.onnx", tmp_path / "int8.onnx", [probe(rows_with(50.0))])
    assert (tmp_path / "float32.onnx").read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} <= {
        "float32.onnx",
        "int8.onnx",
        "int8.onnx.data",
        "int8.safetensors",
    }


@pytest.mark.parametrize(
    "channels", [{}, {"x": [1]}, {"y": [0, 3]}, {"x": [1, 2], "y": [0]}, {"x": [], "y": [0, 1, 2, 3]}]
)
def test_joint_layers_give_the_same_numbers(channels):
    rng = np.random.default_rng(3)
    w, a, b = (rng.normal(size=size).astype(np.float32) for size in ((3, 4, 4), (3, 4, 2), (3, 2, 4)))
    bias = rng.normal(size=4).astype(np.float32)
    # The last two meet what the first gives.
    layers = [("x", "y", w[0], bias), ("y", "z", w[1], None), ("y", "q", w[2], bias)]
    model = graph_of(layers, 4, ["y", "z", "q"])
    rows, scale = rng.normal(size=(1, 3, 4)).astype(np.float32), np.full((1, 1, 2), 1.5, np.float32)
    given = {"x": rows, SCALE: scale, **named_matrices(list(a), list(b))}
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)
    joint = join_layers(model.graph, {name: np.array(places, dtype=np.int64) for name, places in channels.items()})
    assert [one.places for one in joint] == [(0,), (1, 2)]
    assert [len(one.apart) for one in joint] == [len(channels.get("x", [])), len(channels.get("y", []))]
    given = {"x": rows, **named_matrices(*joint_matrices(list(a), list(1.5 * b), joint))}
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one[0], rtol=1e-5, atol=1e-5)


def test_every_adapter_of_joint_layers_changes_its_own_columns(tmp_path):
    layers = [JointLayer((0, 2), np.array([[9, 9, 9]], np.float32)), JointLayer((1,), np.zeros((0, 1), np.float32))]
    write_joint_layers(tmp_path / "joint.safetensors", layers)
    down = [np.array([[1]], np.float32), np.array([[2]], np.float32), np.array([[3, 4]], np.float32)]
    up = [np.array([[5, 6]], np.float32), np.array([[7]], np.float32), np.array([[8], [1]], np.float32)]
    a, b = joint_matrices(down, up, read_joint_layers(tmp_path / "joint.safetensors"))
    assert [one.tolist() for one in a] == [[[1, 3, 4]], [[2]]]
    assert [one.tolist() for one in b] == [[[9, 9, 9], [5, 6, 0], [0, 0, 8], [0, 0, 1]], [[7]]]
