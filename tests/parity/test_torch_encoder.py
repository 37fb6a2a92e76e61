"""The torch encoder against sentence-transformers itself."""

import json

import numpy as np
import pytest

from routeret.encoders import DEFAULT_BASE, TorchEncoder, find_model
from routeret.types import Document

WORDS = ["bank", "card", "river", "water", "tax", "return", "Ünïcode", "12", "?"]


@pytest.fixture(scope="module")
def texts():
    """30 texts of 0 to 29 words."""
    return [" ".join(WORDS[(row * 7 + place) % len(WORDS)] for place in range(row)) for row in range(30)]


def reference(folder, *, texts, prompt=None, normalize=True):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(texts, prompt=prompt, normalize_embeddings=normalize, show_progress_bar=False)


def test_prompts_are_those_of_sentence_transformers(e5_model, texts):
    encoder = TorchEncoder(e5_model, device="cpu", precision="float32")
    expected = reference(e5_model, texts=texts, prompt="query: ")
    np.testing.assert_allclose(encoder.encode_queries(texts), expected, atol=1e-5)
    documents = [Document(str(row), text) for row, text in enumerate(texts)]
    expected = reference(e5_model, texts=texts, prompt="passage: ")
    np.testing.assert_allclose(encoder.encode_documents(documents).vectors, expected, atol=1e-5)


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", ["mean", "max"]])
def test_every_pooling(own_model, texts, pooling, include_prompt):
    config = {"embedding_dimension": 32, "pooling_mode": pooling, "include_prompt": include_prompt}
    (own_model / "1_Pooling" / "config.json").write_text(json.dumps(config))
    expected = reference(own_model, texts=texts, prompt="query: ")
    np.testing.assert_allclose(TorchEncoder(own_model, device="cpu").encode_queries(texts), expected, atol=1e-5)


def test_projection_and_lengths(tiny_models, tmp_path, texts):
    folder = tiny_models.write(tmp_path / "model", dense=6, similarity="dot", normalize=False)
    expected = reference(folder, texts=texts, normalize=False)
    vectors = TorchEncoder(folder, device="cpu").encode_queries(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert np.ptp(np.linalg.norm(vectors, axis=1)) > 0.01


def test_a_shortened_model(own_model, texts):
    file = own_model / "config_sentence_transformers.json"
    file.write_text(json.dumps({"truncate_dim": 8, "prompts": {}}))
    expected = reference(own_model, texts=texts)
    np.testing.assert_allclose(TorchEncoder(own_model, device="cpu").encode_queries(texts), expected, atol=1e-5)


def test_a_static_model(tmp_path, tiny_models, texts):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    source = tiny_models.write(tmp_path / "source")
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_truncation()
    table = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 12)).astype(np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=table)], device="cpu").save(
        str(tmp_path / "static"), create_model_card=False
    )
    encoder = TorchEncoder(tmp_path / "static", device="cpu")
    assert (encoder.space.dim, encoder.space.pooling) == (12, "mean")
    expected = reference(tmp_path / "static", texts=texts)
    np.testing.assert_allclose(encoder.encode_queries(texts), expected, atol=1e-5)
    encoded = encoder.encode_documents([Document("1", "bank " * 1000)])
    assert encoded.truncated.tolist() == [False]
    assert encoded.n_tokens is None


@pytest.mark.parametrize("dense", [None, 6])
def test_what_sentence_transformers_saves_keeps_its_space(tiny_models, tmp_path, dense):
    """Loaded and saved again, a model's files are those of the newest version; its content is what it was."""
    from sentence_transformers import SentenceTransformer

    folder = tiny_models.write(tmp_path / "first", dense=dense, prompts={"query": "query: ", "passage": "passage: "})
    SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "again"), create_model_card=False)
    first, again = TorchEncoder(folder), TorchEncoder(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() != (folder / "config.json").read_text()
    assert again.space == first.space
    assert again.query_tower == first.query_tower


def test_the_default_base(texts):
    folder = find_model(DEFAULT_BASE)
    encoder = TorchEncoder(DEFAULT_BASE, device="cpu")
    assert (encoder.space.dim, encoder.space.max_tokens, encoder.space.pooling) == (384, 256, "mean")
    expected = reference(folder, texts=texts)
    np.testing.assert_allclose(encoder.encode_queries(texts), expected, atol=1e-5)
    documents = [Document(str(row), text) for row, text in enumerate(texts)]
    vectors = encoder.encode_documents(documents).vectors
    assert (vectors * expected).sum(axis=1).min() >= 0.999
    whole = TorchEncoder(DEFAULT_BASE, device="cpu", precision="float32").encode_documents(documents).vectors
    np.testing.assert_allclose(whole, expected, atol=1e-5)
