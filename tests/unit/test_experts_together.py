"""Several experts asked at once write what each writes by itself, and adapters of one base share a pass."""

import numpy as np
import pytest

from routeret.encoders import OnnxEncoder, TorchEncoder
from routeret.encoders.adapted import adaptable_layers, transformer_of
from routeret.encoders.adapter import Adapter
from routeret.errors import InputError
from routeret.experts import LinearExpert, LoraExpert
from routeret.experts.remembering import remembering
from routeret.experts.together import Asked, encode_together
from routeret.space import Space
from routeret.types import QueryBatch

TEXTS = ("bank card", "ü", "the river returns all of its water", "tax return", "bank card")


@pytest.fixture
def encoder(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    return OnnxEncoder(e5_model, query_precision="float32")


def lora(base, name, *, seed):
    rng = np.random.default_rng(seed)
    transformer = transformer_of(base.fresh_model())
    targets = adaptable_layers(transformer)
    weights = {}
    for layer in targets:
        linear = transformer.get_submodule(layer)
        weights[f"{layer}.lora_A.weight"] = rng.normal(size=(2, linear.in_features)).astype(np.float32)
        weights[f"{layer}.lora_B.weight"] = (0.2 * rng.normal(size=(linear.out_features, 2))).astype(np.float32)
    known = np.array([7], dtype=np.uint64)
    adapter = Adapter(rank=2, alpha=4.0, targets=targets, weights=weights)
    expert = LoraExpert(name, adapter, 0.5, base.space, base.query_tower, known)
    return expert.attached(base)


def linear(base, name):
    weight = np.random.default_rng(9).normal(size=(32, 32)).astype(np.float32) / 20
    return LinearExpert(name, weight, 0.5, base.space, base.query_tower, np.array([7], dtype=np.uint64))


def asked_of(base, experts):
    """Every expert gets other queries of the batch, at other strengths, some of them 0."""
    vectors = base.encode_queries(TEXTS)
    parts = ([0, 2, 3], [1, 2], [0, 1, 2, 3, 4], [4])
    strengths = ([0.5, 0.0, 1.0], [0.3, 2.0], [0.1, 0.2, 0.3, 0.0, 0.5], [1.0])
    return [
        Asked(
            expert,
            QueryBatch(tuple(TEXTS[query] for query in part), vectors[part]),
            np.array(strength, dtype=np.float32),
        )
        for expert, part, strength in zip(experts, parts, strengths, strict=False)
    ]


def alone(one):
    return one.expert.encode_queries(one.queries, strengths=one.strengths)


def test_together_is_what_each_writes_alone(encoder, e5_model):
    law, tax = lora(encoder, "law", seed=1), lora(encoder, "tax", seed=2)
    asked = asked_of(encoder, [law, linear(encoder, "map"), tax, remembering(law)])
    together = encode_together(asked)
    for one, vectors in zip(asked, together, strict=True):
        np.testing.assert_allclose(vectors, alone(one), atol=2e-6)
    # A query at strength 0 keeps the base's vector to the last bit.
    np.testing.assert_array_equal(together[0][1], asked[0].queries.base[1])
    twin = lora(TorchEncoder(e5_model, device="cpu"), "tax", seed=2)
    np.testing.assert_allclose(
        together[2], twin.encode_queries(asked[2].queries, strengths=asked[2].strengths), atol=5e-6
    )


def test_adapters_of_one_base_share_a_pass(encoder, monkeypatch):
    asked = asked_of(encoder, [lora(encoder, "law", seed=1), lora(encoder, "tax", seed=2)])
    graph, passes = encoder.query_graph, []
    vectors = type(graph).vectors

    def counted(self, texts, *, adapters=None):
        passes.append((list(texts), [one.alpha for one in adapters]))
        return vectors(self, texts, adapters=adapters)

    monkeypatch.setattr(type(graph), "vectors", counted)
    encode_together(asked)
    assert passes == [([TEXTS[0], TEXTS[3], TEXTS[1], TEXTS[2]], [4.0] * 4)]


def test_without_a_graph_each_is_asked_by_itself(e5_model):
    base = TorchEncoder(e5_model, device="cpu")
    asked = asked_of(base, [lora(base, "law", seed=1), lora(base, "tax", seed=2)])
    for one, vectors in zip(asked, encode_together(asked), strict=True):
        np.testing.assert_array_equal(vectors, alone(one))
    assert encode_together([]) == []


def test_an_expert_without_a_base_is_named(encoder):
    law = lora(encoder, "law", seed=1)
    free = LoraExpert("free", law.adapter, 0.5, law.space, law.query_tower, law.known_documents)
    with pytest.raises(InputError, match="expert 'free' has no base to run in"):
        encode_together(asked_of(encoder, [law, free]))


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
    queries = QueryBatch(("a", "b"), np.array([[1, 0], [0.6, 0.8]], dtype=np.float32))
    one = QueryBatch(("a",), queries.base[:1])
    asked = [
        Asked(swap, queries, np.array([0.75, 0.0], dtype=np.float32)),
        Asked(turn, one, np.array([0.75], dtype=np.float32)),
    ]
    both, single = encode_together(asked)
    # (1, 0) + 0.75 (0, 1) by either map; of length 1 where the space is. At strength 0 the base's vector stays.
    moved = [0.8, 0.6] if is_unit_length else [1.0, 0.75]
    np.testing.assert_allclose(both[0], moved, rtol=1e-6)
    np.testing.assert_array_equal(both[1], queries.base[1])
    np.testing.assert_array_equal(single, both[:1])


def test_a_linear_expert_refuses_what_it_is_asked_by_its_name(encoder):
    other = QueryBatch(("a",), np.ones((1, 3), dtype=np.float32))
    with pytest.raises(InputError, match=r"shape \(1, 3\), expert 'map' reads \(n, 32\)"):
        encode_together([Asked(linear(encoder, "map"), other, np.ones(1, dtype=np.float32))])
