"""The study of documents in 8 bits runs from data to file, on a tiny model; what its layers multiply is rounded."""

import json
from pathlib import Path

import numpy as np
import pytest
from letters import ANSWERS, write_letters
from scripts import loaded

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
STUDY = Path(__file__).parents[2] / "eval" / "int8_documents_study.py"
WEIGHTS = np.array([[127, 1], [1, 127], [2, 0], [0, 3], [5, 0.3]], dtype=np.float32)
"""Bytes hold the first four rows to the last digit."""


@pytest.fixture(scope="module")
def study():
    return loaded(STUDY)


def graph_of(matrix):
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(name, 1, ["n", side]) for name, side in zip("xy", matrix.shape, strict=True)]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "layer", ends[:1], ends[1:], [onnx.numpy_helper.from_array(matrix, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def product(model, row):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.array([row], dtype=np.float32)})[0][0].tolist()


def met(*most):
    return {"x": np.array([np.zeros(len(most)), most], dtype=np.float32)}


def test_what_a_layer_meets_is_rounded_to_256_steps_of_its_range(study):
    model = graph_of(WEIGHTS[:4])
    study.to_8_bits(model, met(255, 200, 100, 100), only_feed_forward=True, strong_apart=False)
    # A step is 1: 2.4 counts as 2, and 300 as 255.
    assert product(model, [2.4, 3, 0, 1]) == [2 * 127 + 3, 2 + 3 * 127 + 3]
    assert product(model, [300, 0, 0, 0]) == [255 * 127, 255]


def test_a_strong_channel_is_added_as_it_is_and_costs_the_others_nothing(study):
    model = graph_of(WEIGHTS)
    study.to_8_bits(model, met(255, 200, 200, 200, 5000), only_feed_forward=True, strong_apart=True)
    assert product(model, [2.4, 3, 0, 1, 1000.5]) == pytest.approx(
        [2 * 127 + 3 + 5 * 1000.5, 2 + 3 * 127 + 3 + 0.3 * 1000.5], rel=1e-6
    )


def test_square_matrices_stay_as_they_are_unless_all_layers_are_asked_for(study):
    square, before = graph_of(WEIGHTS[:2]), graph_of(WEIGHTS[:2])
    study.to_8_bits(square, met(255, 255), only_feed_forward=True, strong_apart=False)
    assert square == before
    study.to_8_bits(square, met(255, 255), only_feed_forward=False, strong_apart=False)
    assert product(square, [2.4, 3]) == [2 * 127 + 3, 2 + 3 * 127]


def test_it_measures_from_data_to_file(study, graphs, e5_model, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    data = [write_letters(tmp_path / "letters"), write_letters(tmp_path / "others", answers=[2 * a for a in ANSWERS])]
    out = tmp_path / "results" / "int8.json"
    call = ["study", "--base", str(e5_model), "--out", str(out), "--documents", "12", "--calibration", "4"]
    monkeypatch.setattr("sys.argv", [*call, "--rounds", "2", "--data", *map(str, data)])
    study.main()
    found = json.loads(out.read_text())
    assert (found["documents"], found["calibration_documents"]) == (12, 4)
    assert set(found["sides"]) == {"sentence-transformers", "bfloat16", *study.WAYS}
    assert {one["dataset"] for one in found["quality"]} == {"letters", "others"}
    for side in found["sides"].values():
        assert side["blocks"] == 2
        assert side["documents_per_s"] > 0
        assert side["cosine_least"] > 0.95
    assert found["sides"]["bfloat16"]["times_bfloat16"] == 1
    assert found["sides"]["sentence-transformers"]["ndcg_difference"] == 0
    assert found["sides"]["int8, all linear layers"]["cosine_least"] < found["sides"]["bfloat16"]["cosine_least"]


def test_documents_that_are_measured_calibrate_nothing(study, graphs, e5_model, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    data = write_letters(tmp_path / "letters", answers=["s"] * 8)
    call = ["study", "--base", str(e5_model), "--documents", "6", "--calibration", "2", "--data", str(data)]
    monkeypatch.setattr("sys.argv", call)
    with pytest.raises(SystemExit, match="no document to find ranges on"):
        study.main()
