"""Several experts asked at once write what each writes by itself, and adapters of one base share a pass."""

from collections import Counter

import numpy as np
import pytest
from table_router import TableRouter
from tiny_experts import linear, lora

from routeret.encoders import OnnxEncoder, TorchEncoder
from routeret.encoders.graph.onnx_runtime import OnnxRuntime
from routeret.errors import InputError
from routeret.experts import LinearExpert, LoraExpert
from routeret.experts.remembering import remembering
from routeret.experts.together import encode_together
from routeret.retriever import Retriever, loading
from routeret.retriever.pool import Pool
from routeret.space import Space
from routeret.types import Document, QueryBatch

TEXTS = ("bank card", "ü", "the river returns all of its water", "tax return", "bank card")


@pytest.fixture
def encoder(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    return OnnxEncoder(e5_model, query_precision="float32")


PARTS = ([0, 2, 3], [1, 2], [0, 1, 2, 3, 4], [4])
STRENGTHS = ([0.5, 0.0, 1.0], [0.3, 2.0], [0.1, 0.2, 0.3, 0.0, 0.5], [1.0])


def together_and_alone(base, experts):
    """What experts write for other queries of a batch each, at other strengths, some of them 0; and the base's own."""
    vectors = base.encode_queries(TEXTS)
    queries = np.concatenate([[2], *PARTS[: len(experts)]]).astype(np.int64)
    strengths = np.concatenate([[0], *STRENGTHS[: len(experts)]]).astype(np.float32)
    asked, alone, start = [], [vectors[[2]]], 1
    for expert, part, strength in zip(experts, PARTS, STRENGTHS, strict=False):
        asked.append((expert, list(range(start, start + len(part)))))
        own = QueryBatch(tuple(TEXTS[query] for query in part), vectors[part])
        alone.append(expert.encode_queries(own, strengths=np.array(strength, dtype=np.float32)))
        start += len(part)
    together = encode_together(QueryBatch(TEXTS, vectors), asked, queries=queries, strengths=strengths)
    return np.split(together, np.cumsum([len(one) for one in alone])[:-1]), alone


def test_together_is_what_each_writes_alone(encoder, e5_model):
    law, tax = lora(encoder, "law", seed=1), lora(encoder, "tax", seed=2)
    together, alone = together_and_alone(encoder, [law, linear(encoder, "map"), tax, remembering(law)])
    for one, vectors in zip(alone, together, strict=True):
        np.testing.assert_allclose(vectors, one, atol=2e-6)
    # The base's own line, and a query at strength 0, keep the base's vector to the last bit.
    base = encoder.encode_queries(TEXTS)
    np.testing.assert_array_equal(together[0], base[[2]])
    np.testing.assert_array_equal(together[1][1], base[2])
    twin = lora(TorchEncoder(e5_model, device="cpu"), "tax", seed=2)
    of_twin = twin.encode_queries(QueryBatch(TEXTS, base), strengths=np.array(STRENGTHS[2], dtype=np.float32))
    np.testing.assert_allclose(together[3], of_twin, atol=5e-6)


def test_adapters_of_one_base_share_a_pass(encoder, monkeypatch):
    law, tax = lora(encoder, "law", seed=1), lora(encoder, "tax", seed=2)
    graph, passes = encoder.query_graph, []
    vectors = type(graph).vectors

    def counted(self, texts, *, adapters=None):
        passes.append((list(texts), adapters))
        return vectors(self, texts, adapters=adapters)

    batch = QueryBatch(TEXTS, encoder.encode_queries(TEXTS))
    monkeypatch.setattr(type(graph), "vectors", counted)
    asked = [(law, [0, 3]), (tax, [2])]
    encode_together(batch, asked, queries=np.array([0, 1, 1, 3]), strengths=np.array([1, 0, 1, 1], dtype=np.float32))
    assert passes == [([TEXTS[0], TEXTS[3], TEXTS[1]], [law.adapter, law.adapter, tax.adapter])]


def test_the_base_is_asked_once_and_adapters_only_for_what_is_theirs(graphs, e5_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    # Nothing is kept, so that a second pass of the base would show.
    encoder = OnnxEncoder(e5_model, query_precision="float32", kept_queries=0)
    experts = (linear(encoder, "map"), lora(encoder, "law", seed=1))
    rows = {
        "bank card": ([1.0, 0.0, 0.0], [0.0, 0.0], 0.0),
        "river water": ([0.0, 1.0, 0.0], [0.5, 0.0], 0.0),
        "tax return": ([0.0, 0.0, 1.0], [0.0, 0.5], 0.0),
    }
    pool = Pool(encoder, experts, TableRouter(["map", "law"], rows))
    monkeypatch.setattr(loading, "load_pool", lambda *_, **__: pool)
    asked = []
    adapted_vectors = OnnxRuntime.adapted_vectors

    def counted(self, inputs, adapters):
        asked.extend(adapters)
        return adapted_vectors(self, inputs, adapters)

    with Retriever.create(tmp_path / "kb", base=encoder) as kb:
        kb.add([Document(str(number), text) for number, text in enumerate(TEXTS)])
        monkeypatch.setattr(OnnxRuntime, "adapted_vectors", counted)
        found = kb.search_batch(list(rows), 3)
    assert [dict(hits.routing.weights) for hits in found] == [{"base": 1.0}, {"map": 1.0}, {"law": 1.0}]
    assert Counter(asked) == Counter({None: 3, experts[1].adapter: 1})


def test_without_a_graph_each_is_asked_by_itself(e5_model):
    base = TorchEncoder(e5_model, device="cpu")
    together, alone = together_and_alone(base, [lora(base, "law", seed=1), lora(base, "tax", seed=2)])
    for one, vectors in zip(alone, together, strict=True):
        np.testing.assert_array_equal(vectors, one)


def test_where_nobody_is_asked_every_line_is_the_base_s():
    batch = QueryBatch(("a", "b"), np.array([[1, 0], [0, 1]], dtype=np.float32))
    lines = encode_together(batch, [], queries=np.array([1, 0]), strengths=np.zeros(2, dtype=np.float32))
    np.testing.assert_array_equal(lines, [[0, 1], [1, 0]])


def test_an_expert_without_a_base_is_named(encoder):
    law = lora(encoder, "law", seed=1)
    free = LoraExpert("free", law.adapter, 0.5, law.space, law.query_tower, law.known_documents)
    with pytest.raises(InputError, match="expert 'free' has no base to run in"):
        one_line(free, encoder.encode_queries(TEXTS[:1]))


def one_line(expert, base):
    """What an expert writes for a query at strength 1."""
    return encode_together(
        QueryBatch(("a",), base), [(expert, [0])], queries=np.array([0]), strengths=np.ones(1, dtype=np.float32)
    )


@pytest.mark.parametrize("is_unit_length", [True, False])
def test_linear_experts_write_together_what_each_writes_alone(is_unit_length):
    space = Space(
        model="ab" * 32,
        pooling="mean",
        max_tokens=256,
        dim=2,
        unit_length=is_unit_length,
        similarity="cosine" if is_unit_length else "dot",
    )
    known = np.array([7], dtype=np.uint64)
    swap, turn = (
        LinearExpert(name, np.array(weight, dtype=np.float32), 0.5, space, "0123456789abcdef", known)
        for name, weight in (("swap", [[0, 1], [1, 0]]), ("turn", [[0, -1], [1, 0]]))
    )
    batch = QueryBatch(("a", "b"), np.array([[1, 0], [0.6, 0.8]], dtype=np.float32))
    lines = encode_together(
        batch,
        [(swap, [0, 1]), (turn, [2])],
        queries=np.array([0, 1, 0]),
        strengths=np.array([0.75, 0.0, 0.75], dtype=np.float32),
    )
    # (1, 0) + 0.75 (0, 1) by either map; of length 1 where the space is. At strength 0 the base's vector stays.
    moved = [0.8, 0.6] if is_unit_length else [1.0, 0.75]
    np.testing.assert_allclose(lines[0], moved, rtol=1e-6)
    np.testing.assert_array_equal(lines[1], batch.base[1])
    np.testing.assert_array_equal(lines[2], lines[0])


def test_a_linear_expert_refuses_what_it_is_asked_by_its_name(encoder):
    with pytest.raises(InputError, match=r"shape \(1, 3\), expert 'map' reads \(n, 32\)"):
        one_line(linear(encoder, "map"), np.ones((1, 3), dtype=np.float32))
