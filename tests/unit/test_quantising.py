"""A graph in 8-bit numbers: which channels stay in float32, and what that is good for."""

import numpy as np
import pytest

from routeret.encoders.graph.quantising import quantise, strong_channels
from routeret.encoders.graph.setting_apart import set_apart

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
N_INPUTS, N_OUTPUTS = 64, 16


@pytest.fixture
def weights():
    return np.random.default_rng(0).normal(size=(N_INPUTS, N_OUTPUTS)).astype(np.float32)


def write_graph(file, *matrices):
    """A graph that multiplies one input by every matrix."""
    helper = onnx.helper
    nodes = [
        helper.make_node("MatMul", ["x", f"w{place}"], [f"y{place}"], name=f"layer {place}")
        for place in range(len(matrices))
    ]
    ends = [helper.make_tensor_value_info(f"y{place}", 1, ["n", N_OUTPUTS]) for place in range(len(matrices))]
    numbers = [onnx.numpy_helper.from_array(one, f"w{place}") for place, one in enumerate(matrices)]
    start = helper.make_tensor_value_info("x", 1, ["n", N_INPUTS])
    graph = helper.make_graph(nodes, "layers", [start], ends, numbers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(file))


def run(file, rows):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"x": rows})


def rows_with(strength, *, channel=7, seed=1):
    rows = np.random.default_rng(seed).uniform(-1, 1, size=(5, N_INPUTS)).astype(np.float32)
    rows[2, channel] = strength
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
    quantise(tmp_path / "float32.onnx", tmp_path / "aware.onnx", [{"x": rows_with(50.0)}])
    quantise(tmp_path / "float32.onnx", tmp_path / "unaware.onnx", [{"x": rows_with(1.0)}])
    rows = rows_with(40.0, seed=2)
    (exact,) = run(tmp_path / "float32.onnx", rows)
    (aware,), (unaware,) = run(tmp_path / "aware.onnx", rows), run(tmp_path / "unaware.onnx", rows)
    # A step is 2 / 255 of what is met with the channel apart, and 41 / 255 with it.
    assert 0 < error(aware, exact) < 0.2
    assert error(unaware, exact) > 5 * error(aware, exact)


def test_layers_that_meet_the_same_share_what_is_taken_apart(tmp_path, weights):
    write_graph(tmp_path / "float32.onnx", weights, -2 * weights)
    quantise(tmp_path / "float32.onnx", tmp_path / "int8.onnx", [{"x": rows_with(50.0)}, {"x": rows_with(1.0)}])
    operations = [node.op_type for node in onnx.load(str(tmp_path / "int8.onnx"), load_external_data=False).graph.node]
    assert (operations.count("Gather"), operations.count("DynamicQuantizeLinear")) == (1, 1)
    assert operations.count("MatMulIntegerToFloat") == 2
    first, second = run(tmp_path / "int8.onnx", rows_with(30.0))
    np.testing.assert_allclose(second, -2 * first, rtol=1e-4, atol=1e-4)


def test_the_graph_in_float32_stays_as_it_was_and_nothing_else_is_left(tmp_path, weights):
    write_graph(tmp_path / "float32.onnx", weights)
    before = (tmp_path / "float32.onnx").read_bytes()
    quantise(tmp_path / "float32.onnx", tmp_path / "int8.onnx", [{"x": rows_with(50.0)}])
    assert (tmp_path / "float32.onnx").read_bytes() == before
    assert {one.name for one in tmp_path.iterdir()} <= {"float32.onnx", "int8.onnx", "int8.onnx.data"}


def chain(matrices, bias):
    """A graph whose layers meet one another: x, a layer with a bias, a layer without, both of which it gives."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["p"], name="first"),
        helper.make_node("Add", ["p", "b"], ["y"], name="bias"),
        helper.make_node("MatMul", ["y", "w1"], ["z"], name="second"),
    ]
    numbers = [
        numpy_helper.from_array(one, name) for one, name in zip([*matrices, bias], ("w0", "w1", "b"), strict=True)
    ]
    start = helper.make_tensor_value_info("x", 1, ["n", 4])
    ends = [helper.make_tensor_value_info(name, 1, ["n", 4]) for name in ("y", "z")]
    graph = helper.make_graph(nodes, "chain", [start], ends, numbers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    "channels", [{}, {"x": [1]}, {"y": [0, 3]}, {"x": [1, 2], "y": [0]}, {"x": [], "y": [0, 1, 2, 3]}]
)
def test_channels_set_apart_give_the_same_number(channels):
    rng = np.random.default_rng(3)
    model = chain(rng.normal(size=(2, 4, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32))
    rows = rng.normal(size=(3, 4)).astype(np.float32)
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": rows})
    set_apart(model.graph, {name: np.array(places, dtype=np.int64) for name, places in channels.items()})
    onnx.checker.check_model(model)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": rows})
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    products = {node.name: node for node in model.graph.node if node.name in ("first", "second")}
    assert [node.input[0] for node in products.values()] == [
        "x_without" if channels.get("x") else "x",
        "y_without" if channels.get("y") else "y",
    ]
    # The bias comes before what is apart, so that a product in bytes may take it.
    adding = next(node for node in model.graph.node if node.name == "bias")
    assert adding.output[0] == ("y_of_rest" if channels.get("x") else "y")
