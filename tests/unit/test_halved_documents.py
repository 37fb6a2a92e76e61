"""Documents in bfloat16 on hardware that computes in it: only where the model's vectors stay in their space."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tiny_mixtures import DOCUMENTS as OF_TWO_DOMAINS
from tiny_mixtures import write_mixture, write_telling_mixture
from tokenizers import Tokenizer

from routeret.encoders import StackedEncoder, TorchEncoder
from routeret.encoders import torch as by_torch
from routeret.encoders.moe import MoeEncoder
from routeret.encoders.probes import LEAST_COSINE
from routeret.errors import InputError
from routeret.types import Document

# The shortest first, as they share a pass.
DOCUMENTS = [Document("one", "bank"), Document("two", "river water"), Document("cut", "tax return " * 20)]
QUERIES = ["bank card", "river"]


@pytest.fixture(autouse=True)
def _hardware_with_bfloat16(monkeypatch):
    monkeypatch.setattr(by_torch, "_computes_in_bfloat16", lambda _: True)


@pytest.fixture
def out_of_space(monkeypatch):
    """No model stays in its space: every cosine is at most 1."""
    monkeypatch.setitem(LEAST_COSINE, "bfloat16", 1.01)


@pytest.fixture
def probed(monkeypatch):
    """One entry for every time that probes were compared."""
    times = []

    def watched(left, right):
        times.append(len(left))
        return cosines_of(left, right)

    cosines_of = by_torch.cosines_of
    monkeypatch.setattr(by_torch, "cosines_of", watched)
    return times


@pytest.fixture(scope="module")
def exact(e5_model):
    return TorchEncoder(e5_model, device="cpu", precision="float32")


def vectors(encoder, documents=DOCUMENTS):
    return encoder.encode_documents(documents).vectors


def test_a_model_that_stays_in_its_space_writes_in_bfloat16(e5_model, exact, probed, caplog):
    encoder = TorchEncoder(e5_model, device="cpu")
    halved = encoder.fresh_model()
    halved[0].auto_model.to(torch.bfloat16)
    texts = [document.text for document in DOCUMENTS]
    with torch.inference_mode():
        expected = encoder.forward(halved, texts, prompt="passage: ", precision="float32").numpy()
    np.testing.assert_array_equal(vectors(encoder), expected)
    np.testing.assert_array_equal(vectors(encoder), expected)
    assert not np.array_equal(vectors(exact), expected)
    assert encoder.halves_documents
    assert len(probed) == 1
    assert caplog.records == []


@pytest.mark.usefixtures("out_of_space")
def test_a_model_that_would_leave_its_space_writes_in_float32(e5_model, exact, probed, caplog):
    encoder = TorchEncoder(e5_model, device="cpu")
    np.testing.assert_array_equal(vectors(encoder), vectors(exact))
    np.testing.assert_array_equal(vectors(encoder), vectors(exact))
    assert not encoder.halves_documents
    assert len(probed) == 1
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    told, found = f"in bfloat16 {e5_model} writes documents of a cosine of ", record.getMessage()
    assert found.startswith(told)
    assert 0.999 < float(found.removeprefix(told).split()[0]) <= 1
    assert found.endswith(" to those in float32, expected at least 1.01; they are written in float32")


def test_vectors_that_are_not_finite_leave_the_space(e5_model, exact, monkeypatch, caplog):
    monkeypatch.setattr(by_torch, "cosines_of", lambda left, _: np.where(np.arange(len(left)) == 1, np.nan, 1))
    np.testing.assert_array_equal(vectors(TorchEncoder(e5_model, device="cpu")), vectors(exact))
    assert "a cosine of nan" in caplog.text


@pytest.mark.usefixtures("out_of_space")
def test_bfloat16_that_was_asked_for_by_name_is_refused(e5_model, exact):
    encoder = TorchEncoder(e5_model, device="cpu", precision="bfloat16")
    message = r"tiny-e5 writes documents of a cosine of .* at least 1\.01; use precision='auto' or 'float32'"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            encoder.encode_documents(DOCUMENTS)
    with pytest.raises(InputError, match=message):
        encoder.encode_document_tokens(DOCUMENTS)
    np.testing.assert_array_equal(encoder.encode_queries(QUERIES), exact.encode_queries(QUERIES))


def test_queries_and_exact_documents_need_no_probes(e5_model, exact, probed):
    encoder = TorchEncoder(e5_model, device="cpu")
    encoder.encode_queries(QUERIES)
    encoder.encode_query_tokens(QUERIES)
    encoder.encode_documents([])
    vectors(exact)
    assert probed == []


def test_several_threads_compare_once_and_no_query_waits(e5_model, exact, monkeypatch):
    encoder = TorchEncoder(e5_model, device="cpu")
    comparing, done, times = threading.Event(), threading.Event(), []

    def slowly(left, right):
        times.append(len(left))
        comparing.set()
        assert done.wait(timeout=20)
        return cosines_of(left, right)

    cosines_of = by_torch.cosines_of
    monkeypatch.setattr(by_torch, "cosines_of", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(vectors, encoder) for _ in range(4)]
        assert comparing.wait(timeout=20)
        np.testing.assert_array_equal(encoder.encode_queries(QUERIES), exact.encode_queries(QUERIES))
        done.set()
    assert len(times) == 1
    for one in found:
        np.testing.assert_array_equal(one.result(), vectors(encoder))


def test_a_copy_for_another_device_compares_anew(e5_model, probed):
    encoder = TorchEncoder(e5_model, device="cpu")
    other = encoder.on("cpu")
    np.testing.assert_array_equal(vectors(encoder), vectors(other))
    assert len(probed) == 2


@pytest.mark.usefixtures("out_of_space")
def test_queries_of_a_gpu_are_run_in_float32_where_documents_are(e5_model, exact, caplog):
    encoder = StackedEncoder(e5_model, device="cpu")
    assert encoder.query_graph is None
    np.testing.assert_array_equal(encoder.encode_queries(QUERIES), exact.encode_queries(QUERIES))
    np.testing.assert_array_equal(vectors(encoder), vectors(exact))
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("out_of_space")
def test_domains_that_write_documents_alike_are_compared_once(e5_model, tmp_path, probed, caplog):
    model = write_telling_mixture(e5_model, tmp_path / "telling")
    law = MoeEncoder(model, domain="law", device="cpu")
    exact = MoeEncoder(model, domain="law", device="cpu", precision="float32")
    for encoder in (law, law, law.in_domain("river")):
        np.testing.assert_array_equal(vectors(encoder, OF_TWO_DOMAINS), vectors(exact, OF_TWO_DOMAINS))
    assert len(probed) == len(caplog.records) == 1


def test_domains_with_spaces_of_their_own_are_compared_each(e5_model, tmp_path, probed, monkeypatch):
    # So low that every mixture stays in its space.
    monkeypatch.setitem(LEAST_COSINE, "bfloat16", 0.9)
    model = write_mixture(e5_model, tmp_path / "mixture")
    law = MoeEncoder(model, domain="law", device="cpu")
    exact = MoeEncoder(model, domain="law", device="cpu", precision="float32")
    for encoder in (law, law.in_domain("river"), law):
        assert not np.array_equal(vectors(encoder), vectors(exact.in_domain(encoder.domain)))
    assert len(probed) == 2


def test_a_model_without_layers_has_nothing_to_halve(e5_model, tmp_path, probed):
    tokenizer = Tokenizer.from_file(str(e5_model / "tokenizer.json"))
    table = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 12)).astype(np.float32)
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu")
    static.save(str(tmp_path / "static"), create_model_card=False)
    encoder = TorchEncoder(tmp_path / "static", device="cpu")
    exact = TorchEncoder(tmp_path / "static", device="cpu", precision="float32")
    np.testing.assert_array_equal(vectors(encoder), vectors(exact))
    assert not encoder.halves_documents
    assert probed == []
