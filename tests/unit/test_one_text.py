"""A graph for passes of one text without padding: less to compute, the same vectors."""

from collections import Counter

import numpy as np
import pytest

from routeret.artifact import read_manifest
from routeret.encoders.graph.joint_layers import joint_matrices
from routeret.encoders.graph.names import SCALE, named_matrices
from routeret.encoders.graph.one_text import leave_out_mask, leave_out_texts
from routeret.encoders.graph.setting_apart import join_layers
from routeret.encoders.graph.store import FORMAT, KIND, graph_file
from routeret.encoders.graph.text_passes import GraphFacts, model_inputs

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

IDS = [2, 9, 14, 7, 30, 3]
RANK = 2


@pytest.fixture
def exported(graphs):
    (folder,) = (one.parent for one in graphs.glob("*/manifest.json"))
    facts = GraphFacts.of(read_manifest(folder, kind=KIND, format_number=FORMAT))
    return onnx.load(str(graph_file(folder, "float32"))), facts


def adapter(facts):
    rng = np.random.default_rng(0)
    down = [rng.normal(size=(n_in, RANK)).astype(np.float32) for _, n_in, _ in facts.layers]
    up = [0.3 * rng.normal(size=(RANK, n_out)).astype(np.float32) for _, _, n_out in facts.layers]
    return down, up


def vectors(model, given):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)[0]


def test_one_text_has_the_same_vector(exported):
    model, facts = exported
    down, up = adapter(facts)
    tokens = model_inputs([IDS], facts)
    scale = np.full((1, 1, RANK), 3.0, np.float32)
    exact = vectors(model, {**tokens, SCALE: scale, **named_matrices(down, up)})
    leave_out_mask(model.graph)
    leave_out_texts(model.graph)
    joint = join_layers(model.graph, {"layer_norm": np.array([3, 17])})
    onnx.checker.check_model(model)
    matrices = named_matrices(*joint_matrices(down, [3.0 * one for one in up], joint))
    np.testing.assert_allclose(vectors(model, {**tokens, **matrices}), exact, atol=2e-6)
    # Query, key and value of each of two layers of the model meet the same.
    assert [one.places for one in joint] == [(0, 1, 2), (3,), (4,), (5,), (6, 7, 8), (9,), (10,), (11,)]


def test_what_one_text_does_not_need_is_left_out(exported):
    model, _ = exported
    before = Counter(node.op_type for node in model.graph.node)
    leave_out_mask(model.graph)
    leave_out_texts(model.graph)
    after = Counter(node.op_type for node in model.graph.node)
    assert (before["Where"], after["Where"]) == (1, 0)
    assert before["Add"] - after["Add"] == 2
    orders = [list(node.attribute[0].ints) for node in model.graph.node if node.op_type == "Transpose"]
    assert sorted(orders) == [[1, 0, 2]] * 6 + [[1, 2, 0]] * 2
