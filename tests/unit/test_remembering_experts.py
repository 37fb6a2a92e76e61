"""LoRA experts that keep the vectors of their latest queries."""

import numpy as np
import pytest

from routeret.encoders import TorchEncoder
from routeret.encoders.adapted import AdaptedQueries, adaptable_layers, transformer_of
from routeret.encoders.adapter import Adapter
from routeret.errors import InputError
from routeret.experts import LinearExpert, LoraExpert
from routeret.experts.remembering import RememberingQueries, remembering
from routeret.types import QueryBatch

TEXTS = ["bank", "river water", "tax return", "bank card"]


@pytest.fixture(scope="module")
def base(e5_model):
    return TorchEncoder(e5_model, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def adapter(base):
    rng = np.random.default_rng(0)
    transformer = transformer_of(base.model_sharing_weights())
    targets = [name for name in adaptable_layers(transformer) if name.endswith("query")]
    weights = {}
    for name in targets:
        weights[f"{name}.lora_A.weight"] = rng.normal(size=(2, 32)).astype(np.float32)
        weights[f"{name}.lora_B.weight"] = rng.normal(size=(32, 2)).astype(np.float32)
    return Adapter(rank=2, alpha=2.0, targets=tuple(targets), weights=weights)


@pytest.fixture
def asked(monkeypatch):
    """The texts that go through the base's layers, call by call."""
    calls = []
    whole = TorchEncoder.encode_queries

    def watched(self, texts, **settings):
        calls.append(list(texts))
        return whole(self, texts, **settings)

    monkeypatch.setattr(TorchEncoder, "encode_queries", watched)
    return calls


def test_a_query_goes_through_the_layers_once(base, adapter, asked):
    tower = RememberingQueries(base, adapter)
    first = tower.encode_queries(TEXTS[:3])
    again = tower.encode_queries([TEXTS[3], TEXTS[1], TEXTS[1], TEXTS[0]])
    assert asked == [TEXTS[:3], TEXTS[3:]]
    np.testing.assert_array_equal(again[1:], first[[1, 1, 0]])
    plain = AdaptedQueries(base, adapter)
    np.testing.assert_allclose(first, plain.encode_queries(TEXTS[:3]), atol=1e-6)
    np.testing.assert_allclose(again[0], plain.encode_queries(TEXTS[3:])[0], atol=1e-6)
    assert np.abs(first - base.encode_queries(TEXTS[:3])).max() > 0.01


@pytest.mark.parametrize("most_kept", [1, 2, 3])
def test_the_oldest_go_first(base, adapter, asked, most_kept):
    tower = RememberingQueries(base, adapter, most_kept=most_kept)
    vectors = tower.encode_queries(TEXTS[:3])
    assert vectors.shape == (3, 32)
    asked.clear()
    kept, gone = TEXTS[3 - most_kept : 3], TEXTS[: 3 - most_kept]
    tower.encode_queries(kept)
    assert asked == []
    tower.encode_queries(TEXTS[:3])
    assert asked == ([gone] if gone else [])


def test_no_query_and_a_bare_text(base, adapter):
    tower = RememberingQueries(base, adapter)
    assert tower.encode_queries([]).shape == (0, 32)
    with pytest.raises(InputError):
        tower.encode_queries("bank")


def test_an_expert_writes_what_it_wrote(base, adapter, asked):
    keys = np.zeros(0, dtype=np.uint64)
    fields = {"strength": 0.5, "space": base.space, "query_tower": base.query_tower, "known_documents": keys}
    lora = LoraExpert(name="law", adapter=adapter, **fields)
    assert remembering(lora) is lora  # it has no base yet
    linear = LinearExpert(name="flat", weight=np.eye(32, dtype=np.float32), **fields)
    assert remembering(linear) is linear
    attached = lora.attached(base)
    quick = remembering(attached)
    batch = QueryBatch(tuple(TEXTS), base.encode_queries(TEXTS))
    asked.clear()
    for strength in (0.5, 1.0):
        strengths = np.full(4, strength, dtype=np.float32)
        found = quick.encode_queries(batch, strengths=strengths)
        np.testing.assert_allclose(found, attached.encode_queries(batch, strengths=strengths), atol=1e-6)
    # Twice for the expert itself, once for the one that remembers.
    assert asked == [TEXTS] * 3
