"""Domains of a mixture of experts as encoders."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tiny_mixtures import DOCUMENTS, DOMAINS, write_mixture, write_telling_mixture
from transformers import AutoModel, AutoTokenizer

from routeret.encoders import TorchEncoder
from routeret.encoders.model_folder import read_model_folder
from routeret.encoders.moe import MoeEncoder, upcycle
from routeret.encoders.moe.document_domains import FILE, DocumentDomains
from routeret.errors import ArtifactError, InputError, ModelNotFoundError
from routeret.types import Document

TEXTS = ["bank of the river", "", "Über tax return", "bank of the river", "card " * 30]


@pytest.fixture(scope="module")
def untrained(e5_model, tmp_path_factory):
    return upcycle(e5_model, domains=DOMAINS, out=tmp_path_factory.mktemp("moe") / "untrained")


@pytest.fixture(scope="module")
def mixture(e5_model, untrained):
    """The same, with experts that differ; read only."""
    return write_mixture(e5_model, untrained.parent / "trained")


@pytest.fixture(scope="module")
def telling(e5_model, tmp_path_factory):
    """The same, which tells the domains of documents; read only."""
    return write_telling_mixture(e5_model, tmp_path_factory.mktemp("moe") / "telling")


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def documents(texts):
    return [Document(id=str(row), title="", text=text) for row, text in enumerate(texts)]


@pytest.mark.parametrize("domain", DOMAINS)
def test_before_training_every_domain_encodes_as_the_base(e5_model, untrained, domain):
    base = TorchEncoder(e5_model, device="cpu", precision="float32")
    encoder = MoeEncoder(untrained, domain=domain, device="cpu", precision="float32")
    assert (encoder.domain, encoder.domains, encoder.dim) == (domain, DOMAINS, 32)
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), base.encode_queries(TEXTS))
    found, expected = encoder.encode_documents(documents(TEXTS)), base.encode_documents(documents(TEXTS))
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert found.truncated.tolist() == expected.truncated.tolist() == [False, False, False, False, True]
    assert found.n_tokens == expected.n_tokens


@pytest.mark.parametrize("normalize", [True, False])
def test_the_folder_says_of_itself_what_the_base_says(tiny_models, tmp_path, normalize):
    prompts = {"query": "query: ", "passage": "passage: "}
    folder = tiny_models.write(
        tmp_path / "base", prompts=prompts, similarity="dot", normalize=normalize, dense=16, max_tokens=12
    )
    base = read_model_folder(folder)
    own = read_model_folder(upcycle(folder, domains=DOMAINS, out=tmp_path / "moe"))
    for name in ("pooling", "dim", "max_tokens", "token_ceiling", "query_prompt", "document_prompt", "unit_length"):
        assert getattr(own, name) == getattr(base, name), name
    assert own.similarity == base.similarity
    assert (own.dim, own.max_tokens, own.token_ceiling) == (16, 12, 24)
    encoder = MoeEncoder(tmp_path / "moe", domain="law", device="cpu")
    np.testing.assert_array_equal(
        encoder.encode_queries(TEXTS), TorchEncoder(folder, device="cpu").encode_queries(TEXTS)
    )


def test_a_plain_transformer_is_mean_pooled(own_model, tmp_path):
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (own_model / name).unlink()
    shutil.rmtree(own_model / "1_Pooling")
    folder = upcycle(own_model, domains=["law"], out=tmp_path / "moe")
    kinds = [entry["type"].rpartition(".")[2] for entry in json.loads((folder / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling"]
    found = MoeEncoder(folder, domain="law", device="cpu").encode_queries(TEXTS)
    np.testing.assert_array_equal(found, TorchEncoder(own_model, device="cpu").encode_queries(TEXTS))


def test_the_folder_holds_no_path_and_no_pickle(e5_model, untrained):
    names = {path.relative_to(untrained).as_posix() for path in untrained.rglob("*") if path.is_file()}
    assert {"config.json", "model.safetensors", "modules.json", "tokenizer.json", "1_Pooling/config.json"} <= names
    assert {name.rpartition(".")[2] for name in names} == {"json", "safetensors"}
    for name in names - {"tokenizer.json", "model.safetensors"}:
        assert str(e5_model) not in (untrained / name).read_text(encoding="utf-8")
    config = json.loads((untrained / "config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["domains"], config["layers"]) == ("routeret_moe", ["law", "river"], [0, 1])
    assert (config["base"]["model_type"], config["architectures"]) == ("bert", ["MoeModel"])


def test_domains_that_are_not_told_apart_have_spaces_of_their_own(e5_model, untrained, mixture, tmp_path):
    encoders = [MoeEncoder(folder, domain=domain) for folder in (untrained, mixture) for domain in DOMAINS]
    encoders.append(TorchEncoder(e5_model))
    assert len({encoder.space.fingerprint for encoder in encoders}) == 5
    assert len({encoder.query_tower for encoder in encoders}) == 5
    moved = tmp_path / "elsewhere"
    shutil.copytree(mixture, moved)
    again = MoeEncoder(moved, domain="river")
    assert again.space == encoders[3].space
    assert again.query_tower == encoders[3].query_tower
    assert again.space.pooling == "mean"
    assert again.space.document_prompt == "passage: "


def test_domains_share_the_weights_in_memory(mixture):
    law = MoeEncoder(mixture, domain="law", device="cpu")
    assert law.space.model != law.in_domain("river").space.model
    river = law.in_domain("river")
    assert (law.domain, river.domain) == ("law", "river")
    vectors = river.encode_queries(TEXTS)
    assert river._loaded() is law._loaded() is river.in_domain("law")._loaded()
    alone = MoeEncoder(mixture, domain="river", device="cpu")
    assert river.space == alone.space
    assert river.query_tower == alone.query_tower
    np.testing.assert_array_equal(vectors, alone.encode_queries(TEXTS))
    assert np.abs(vectors - law.encode_queries(TEXTS)).max() > 0.01


def test_a_batch_may_mix_domains(mixture):
    law = MoeEncoder(mixture, domain="law", device="cpu")
    river = law.in_domain("river")
    model = law.fresh_model()
    chosen = ["river", "law", "law", "river", "river"]
    with torch.inference_mode():
        found = law.forward(model, TEXTS, prompt="query: ", domains=chosen).numpy()
        one = law.forward(model, TEXTS[:1], prompt="query: ", domains=["river"]).numpy()
        own = river.forward(model, TEXTS[:1], prompt="query: ").numpy()
    of_law, of_river = law.encode_queries(TEXTS), river.encode_queries(TEXTS)
    expected = np.where(np.array(chosen)[:, None] == "law", of_law, of_river)
    # bfloat16 where the hardware has it.
    np.testing.assert_allclose(found, expected, atol=0.05)
    np.testing.assert_array_equal(one, own)
    with pytest.raises(InputError, match="found 1 domains for 5 texts"):
        law.forward(model, TEXTS, prompt="", domains=["law"])
    with pytest.raises(InputError, match=r"has no domain 'tax'; it has law, river"):
        law.forward(model, ["bank"], prompt="", domains=["tax"])


def test_a_trained_model_is_saved_and_opened_again(untrained, tmp_path):
    encoder = MoeEncoder(untrained, domain="river", device="cpu")
    model = encoder.fresh_model()
    before = encoder.encode_queries(["river bank"])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    encoder.forward(model, ["river bank"], prompt="query: ", precision="float32")[:, 0].sum().backward()
    optimizer.step()
    model.save(str(tmp_path / "trained"), create_model_card=False)
    trained = MoeEncoder(tmp_path / "trained", domain="river", device="cpu")
    after = trained.encode_queries(["river bank"])
    assert after[0, 0] < before[0, 0] - 0.001
    with torch.inference_mode():
        expected = encoder.forward(model.eval(), ["river bank"], prompt="query: ", precision="float32").numpy()
    np.testing.assert_array_equal(after, expected)
    assert trained.space != encoder.space


def test_documents_may_be_computed_in_bfloat16(mixture):
    exact = MoeEncoder(mixture, domain="river", device="cpu", precision="float32")
    fast = MoeEncoder(mixture, domain="river", device="cpu", precision="bfloat16")
    one, other = (encoder.encode_documents(documents(TEXTS)).vectors for encoder in (exact, fast))
    assert other.dtype == np.float32
    assert (one * other).sum(axis=1).min() > 0.995


def test_nothing_and_one_text(mixture):
    encoder = MoeEncoder(mixture, domain="law", device="cpu")
    assert encoder.encode_queries([]).shape == (0, 32)
    np.testing.assert_allclose(encoder.encode_queries(["ü"])[0], encoder.encode_queries(["ü", "tax"])[0], atol=1e-6)


def test_a_domain_or_a_model_that_is_not_there_is_refused(e5_model, mixture, tmp_path):
    with pytest.raises(InputError, match=r"has no domain 'tax'; it has law, river"):
        MoeEncoder(mixture, domain="tax")
    with pytest.raises(InputError, match=r"has no domain 'tax'"):
        MoeEncoder(mixture, domain="law").in_domain("tax")
    with pytest.raises(InputError, match=r"is no mixture of experts: found architecture 'bert'"):
        MoeEncoder(e5_model, domain="law")
    with pytest.raises(ModelNotFoundError):
        MoeEncoder(tmp_path / "nowhere", domain="law")


def test_a_folder_that_names_no_domains_is_damaged(untrained, tmp_path):
    shutil.copytree(untrained, tmp_path / "moe")
    edit(tmp_path / "moe" / "config.json", domains=None)
    with pytest.raises(ArtifactError, match="names no domains"):
        MoeEncoder(tmp_path / "moe", domain="law")


@pytest.mark.parametrize("domains", [[], "law", ["law", "law"], ["Law"], ["a b"], [""]])
def test_bad_domain_names_are_refused(e5_model, tmp_path, domains):
    with pytest.raises(InputError, match="found"):
        upcycle(e5_model, domains=domains, out=tmp_path / "moe")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing_behind(own_model, tmp_path):
    with pytest.raises(InputError, match="found layers"):
        upcycle(own_model, domains=DOMAINS, layers=(7,), out=tmp_path / "moe")
    edit(own_model / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", cls_token="[CLS]")
    edit(own_model / "tokenizer.json", post_processor=None)
    with pytest.raises(InputError, match=r"does not begin every text with a token \[CLS\]"):
        upcycle(own_model, domains=DOMAINS, out=tmp_path / "moe")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_base_without_layers_is_refused(e5_model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(e5_model)
    static = StaticEmbedding(tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[static], device="cpu").save(str(tmp_path / "static"), create_model_card=False)
    with pytest.raises(InputError, match="has no transformer, so no layers to copy"):
        upcycle(tmp_path / "static", domains=DOMAINS, out=tmp_path / "moe")


def test_a_mixture_is_no_base(untrained, tmp_path):
    with pytest.raises(InputError, match="found a base of architecture 'routeret_moe'"):
        upcycle(untrained, domains=["tax"], out=tmp_path / "moe")


def test_sentence_transformers_alone_asks_for_a_domain(untrained):
    model = SentenceTransformer(str(untrained), device="cpu")
    with pytest.raises(InputError, match="no domains were given"):
        model.encode(["bank"])


def test_nothing_is_overwritten(e5_model, tmp_path):
    (tmp_path / "moe").mkdir()
    with pytest.raises(ArtifactError, match="exists already"):
        upcycle(e5_model, domains=DOMAINS, out=tmp_path / "moe")


def test_one_layer_is_enough(e5_model, tmp_path):
    folder = upcycle(e5_model, domains=DOMAINS, layers=(1,), out=tmp_path / "moe")
    names = load_file(folder / "model.safetensors")
    assert {name.split(".")[3] for name in names if ".experts." in name} == {"1"}


def test_one_space_for_all_domains_and_a_query_tower_for_each(mixture, telling):
    law, river = (MoeEncoder(telling, domain=domain, device="cpu") for domain in DOMAINS)
    assert (law.tells_domains, MoeEncoder(mixture, domain="law").tells_domains) == (True, False)
    assert law.space == river.space == law.in_domain("river").space == law.on("cpu").space
    assert law.query_tower != river.query_tower == law.in_domain("river").query_tower
    silent = [MoeEncoder(mixture, domain=domain) for domain in DOMAINS]
    assert law.space.fingerprint not in {one.space.fingerprint for one in silent}
    # What queries are written by does not depend on what tells documents.
    assert [law.query_tower, river.query_tower] == [one.query_tower for one in silent]


def test_a_document_is_written_for_its_own_domain_whoever_asks(mixture, telling):
    settings = {"device": "cpu", "precision": "float32"}
    by_name = {name[0]: MoeEncoder(mixture, domain=name, **settings) for name in DOMAINS}
    expected = np.stack([by_name[one.id[0]].encode_documents([one]).vectors[0] for one in DOCUMENTS])
    other = {"l": by_name["r"], "r": by_name["l"]}
    wrong = np.stack([other[one.id[0]].encode_documents([one]).vectors[0] for one in DOCUMENTS])
    assert np.abs(expected - wrong).max(axis=1).min() > 0.01
    mixed = [DOCUMENTS[row] for row in (5, 0, 6, 1, 2, 7, 3, 4)]
    for domain in DOMAINS:
        encoder = MoeEncoder(telling, domain=domain, batch_size=3, **settings)
        found = encoder.encode_documents(mixed).vectors
        np.testing.assert_allclose(found, expected[[5, 0, 6, 1, 2, 7, 3, 4]], atol=1e-6)
        asked = encoder.encode_queries(TEXTS)
        np.testing.assert_allclose(asked, by_name[domain[0]].encode_queries(TEXTS), atol=1e-6)
    assert encoder.encode_documents([]).vectors.shape == (0, 32)
    long = encoder.encode_documents(documents(["tax " * 30, "tax"]))
    assert long.truncated.tolist() == [True, False]


def test_before_training_documents_of_all_domains_are_the_bases(e5_model, untrained, tmp_path):
    shutil.copytree(untrained, tmp_path / "moe")
    shutil.copyfile(write_telling_mixture(e5_model, tmp_path / "telling") / FILE, tmp_path / "moe" / FILE)
    base = TorchEncoder(e5_model, device="cpu", precision="float32")
    encoder = MoeEncoder(tmp_path / "moe", domain="law", device="cpu", precision="float32")
    for one in DOCUMENTS:
        found, expected = encoder.encode_documents([one]), base.encode_documents([one])
        np.testing.assert_array_equal(found.vectors, expected.vectors)


def test_what_tells_documents_is_part_of_the_space(telling, tmp_path):
    shutil.copytree(telling, tmp_path / "copy")
    assert MoeEncoder(tmp_path / "copy", domain="law").space == MoeEncoder(telling, domain="law").space
    told = DocumentDomains.load(telling)
    DocumentDomains(told.coefficients[::-1].copy(), told.intercepts).save(tmp_path / "copy")
    other = MoeEncoder(tmp_path / "copy", domain="law")
    assert other.space != MoeEncoder(telling, domain="law").space
    assert other.query_tower == MoeEncoder(telling, domain="law").query_tower


def test_a_copy_of_the_model_tells_documents_too(telling, tmp_path):
    encoder = MoeEncoder(telling, domain="river", device="cpu")
    encoder.copy_model(tmp_path / "copy")
    again = MoeEncoder(tmp_path / "copy", domain="river", device="cpu")
    assert (again.space, again.query_tower) == (encoder.space, encoder.query_tower)
    found, expected = again.encode_documents(DOCUMENTS), encoder.encode_documents(DOCUMENTS)
    np.testing.assert_array_equal(found.vectors, expected.vectors)


def test_transformers_opens_a_folder_that_tells_documents(telling):
    opened = AutoModel.from_pretrained(telling).state_dict()
    stored = load_file(telling / "model.safetensors")
    assert set(stored) <= set(opened)
    for name, weights in stored.items():
        np.testing.assert_array_equal(opened[name].numpy(), weights)


def test_what_tells_other_domains_is_damaged(telling, tmp_path):
    shutil.copytree(telling, tmp_path / "moe")
    DocumentDomains.fit([["tax"], ["river"], ["card"]]).save(tmp_path / "moe")
    with pytest.raises(ArtifactError, match="tells 3 domains apart, the model has 2"):
        MoeEncoder(tmp_path / "moe", domain="law").encode_documents(DOCUMENTS)


def test_token_vectors_of_documents_are_of_their_own_domains(telling):
    law, river = (MoeEncoder(telling, domain=domain, device="cpu", precision="float32") for domain in DOMAINS)
    for encoder in (law, river):
        encoded, tokens = encoder.encode_document_tokens(DOCUMENTS)
        np.testing.assert_allclose(encoded.vectors, law.encode_documents(DOCUMENTS).vectors, atol=1e-6)
        means = np.stack([one.mean(axis=0) for one in tokens])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        np.testing.assert_allclose(means, encoded.vectors, atol=1e-5)
