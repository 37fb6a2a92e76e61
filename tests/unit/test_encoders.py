"""Encoders and model folders, on a tiny model of the e5 kind."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from routeret.encoders import DEFAULT_BASE, HashingEncoder, TorchEncoder, find_model, load_encoder, resolve
from routeret.encoders.content import model_hash
from routeret.encoders.model_folder import read_model_folder
from routeret.encoders.safetensors_file import read_tensors
from routeret.errors import ArtifactError, InputError, ModelNotFoundError
from routeret.space import NO_TOKEN_LIMIT
from routeret.types import Document

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fingerprints.json").read_text(encoding="utf-8"))


def hash_of(folder):
    return model_hash(read_model_folder(folder))


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def documents(*texts):
    return [Document(id=str(row), text=text) for row, text in enumerate(texts)]


# HashingEncoder


def test_hashing_is_what_the_hashes_say():
    """The one word "a" gives the feature "word a" twice and the triple "<a>" once."""
    expected = np.zeros(8)
    for feature, count in (("word a", 2), ("<a>", 1)):
        value = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
        expected[(value >> 1) % 8] += count if value & 1 else -count
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(HashingEncoder(8).encode_queries(["a"])[0], expected, atol=1e-7)


def test_hashing_vectors_never_change():
    vector = HashingEncoder(8).encode_queries(["Grüße an die Bank"])[0]
    np.testing.assert_allclose(vector, GOLDEN["hashing_8"], atol=1e-6)


@pytest.mark.parametrize("text", ["", "   ", "?!", "the"])
def test_hashing_gives_every_text_a_direction(text):
    assert np.linalg.norm(HashingEncoder().encode_queries([text])[0]) == pytest.approx(1.0, abs=1e-6)


def test_hashing_likes_shared_words():
    same, other = HashingEncoder().encode_documents(documents("Bank card lost", "river water level")).vectors
    query = HashingEncoder().encode_queries(["i lost my bank card"])[0]
    assert query @ same > 0.5 > query @ other


def test_hashing_prompts_stand_where_they_belong():
    plain = HashingEncoder(document_prompt="doc ", query_prompt="ask ")
    np.testing.assert_array_equal(
        plain.encode_documents([Document("1", "text", "title")]).vectors,
        HashingEncoder().encode_queries(["doc title text"]),
    )
    np.testing.assert_array_equal(plain.encode_queries(["x"]), HashingEncoder().encode_queries(["ask x"]))
    assert plain.space == HashingEncoder(document_prompt="doc ").space != HashingEncoder().space
    assert plain.query_tower == HashingEncoder(query_prompt="ask ").query_tower != HashingEncoder().query_tower


def test_hashing_needs_two_dimensions():
    with pytest.raises(InputError, match="found dim 1, expected at least 2"):
        HashingEncoder(1)


# load_encoder


def test_load_encoder_by_name():
    assert load_encoder("hashing").space.dim == 64
    assert load_encoder("hashing-16").space.dim == 16
    encoder = HashingEncoder(4)
    assert load_encoder(encoder) is encoder


def test_load_encoder_by_folder(e5_model):
    encoder = load_encoder(e5_model, device="cpu")
    assert isinstance(encoder, TorchEncoder)
    assert encoder.folder == e5_model.resolve()


def test_load_encoder_wants_an_encoder():
    with pytest.raises(InputError, match="found a int, expected a model's name"):
        load_encoder(3)


# find_model


def test_default_base_is_in_the_package():
    folder = find_model(DEFAULT_BASE)
    assert (folder / "model.safetensors").is_file()
    assert find_model(f"sentence-transformers/{DEFAULT_BASE}") == folder


def test_a_model_that_is_nowhere_names_the_three_ways():
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("no-such-model")
    message = str(caught.value)
    for words in ("path of a folder", "'sentence-transformers/no-such-model'", "installed package", "--download"):
        assert words in message


@pytest.mark.parametrize("name", ["./foo", "../foo", "/no/such/folder", "a/b/c", "~/no-such-model", "foo/"])
def test_a_mistyped_path_is_told_as_a_path(name):
    with pytest.raises(ModelNotFoundError, match="there is no folder"):
        find_model(name)


def test_a_path_is_never_a_name():
    with pytest.raises(ModelNotFoundError, match="there is no folder 'all-MiniLM-L6-v2'"):
        find_model(Path(DEFAULT_BASE))


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"holds neither modules\.json nor config\.json"):
        find_model(tmp_path)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A hub cache with one revision; gives the folder of that revision."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--somebody--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    return repository / "snapshots" / ("0" * 40)


def test_a_model_in_the_hub_cache_is_found(hub_cache, e5_model):
    shutil.copytree(e5_model, hub_cache)
    assert find_model("somebody/tiny") == hub_cache


def test_a_tokenizer_alone_in_the_hub_cache_is_no_model(hub_cache, e5_model):
    shutil.copytree(e5_model, hub_cache, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelNotFoundError, match="was not found"):
        find_model("somebody/tiny")


def test_nothing_is_downloaded_unasked(monkeypatch):
    asked = []

    def snapshot(name, *, local_files_only=False, ignore_patterns=None):
        asked.append(local_files_only)
        raise FileNotFoundError(name, ignore_patterns)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(ModelNotFoundError, match="was not found"):
        find_model("somebody/else")
    assert asked == []
    with pytest.raises(ModelNotFoundError, match="could not be fetched from the hub"):
        find_model("somebody/else", download=True)
    assert asked == [False]


def test_a_download_leaves_out_other_frameworks(monkeypatch, e5_model):
    monkeypatch.setattr(resolve, "_in_hub_cache", lambda _: None)

    def snapshot(name, *, ignore_patterns):
        assert name == "sentence-transformers/tiny"
        assert "onnx/*" in ignore_patterns
        return str(e5_model)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert find_model("tiny", download=True) == e5_model


# Content hashes


def test_the_hash_never_changes(e5_model):
    assert hash_of(e5_model) == GOLDEN["tiny_model"]


def test_names_do_not_count(own_model, tmp_path):
    before = hash_of(own_model)
    (own_model / "model.safetensors").rename(own_model / "weights-of-another-name.safetensors")
    change_json(own_model / "config.json", _name_or_path="x", transformers_version="9", torch_dtype="float32")
    assert hash_of(own_model.rename(tmp_path / "renamed")) == before


def test_splitting_the_weights_does_not_count(own_model):
    before = hash_of(own_model)
    weights = load_file(own_model / "model.safetensors")
    (own_model / "model.safetensors").unlink()
    names = sorted(weights)
    place = {}
    for number, part in enumerate((names[::2], names[1::2])):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, own_model / file)
        place |= dict.fromkeys(part, file)
    (own_model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    assert hash_of(own_model) == before


def test_weights_of_pytorch_give_the_same_hash(own_model):
    import torch

    before = hash_of(own_model)
    weights = load_file(own_model / "model.safetensors")
    torch.save({name: torch.from_numpy(tensor) for name, tensor in weights.items()}, own_model / "pytorch_model.bin")
    (own_model / "model.safetensors").unlink()
    assert hash_of(own_model) == before


def test_one_weight_counts(own_model):
    before = hash_of(own_model)
    weights = load_file(own_model / "model.safetensors")
    weights["pooler.dense.bias"][3] += 0.001
    save_file(weights, own_model / "model.safetensors")
    assert hash_of(own_model) != before


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"num_attention_heads": 4}),
        ("tokenizer_config.json", {"do_lower_case": False}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("1_Pooling/config.json", {"include_prompt": False}),
    ],
)
def test_settings_that_change_vectors_count(own_model, file, values):
    before = hash_of(own_model)
    change_json(own_model / file, **values)
    assert hash_of(own_model) != before


def test_settings_of_the_space_do_not_count_twice(own_model):
    before = hash_of(own_model)
    change_json(own_model / "sentence_bert_config.json", max_seq_length=8)
    change_json(own_model / "config_sentence_transformers.json", prompts={"query": "other: "})
    change_json(own_model / "tokenizer.json", truncation=None, padding=None)
    assert hash_of(own_model) == before


def test_the_vocabulary_counts(own_model):
    before = hash_of(own_model)
    stored = json.loads((own_model / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = stored["model"]["vocab"]
    vocabulary["bank"], vocabulary["river"] = vocabulary["river"], vocabulary["bank"]
    change_json(own_model / "tokenizer.json", model=stored["model"])
    assert hash_of(own_model) != before


def test_both_forms_of_a_pooling_file_are_one(own_model):
    before = hash_of(own_model)
    new = {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": True}
    (own_model / "1_Pooling" / "config.json").write_text(json.dumps(new))
    assert hash_of(own_model) == before


def test_a_plain_transformers_folder_is_mean_pooled(own_model):
    before = hash_of(own_model)
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (own_model / name).unlink()
    shutil.rmtree(own_model / "1_Pooling")
    folder = read_model_folder(own_model)
    assert (folder.pooling, folder.dim, folder.max_tokens) == ("mean", 32, 24)
    assert model_hash(folder) == before


def test_without_a_fast_tokenizer_the_vocabulary_files_count(own_model):
    (own_model / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match="holds no tokenizer"):
        hash_of(own_model)
    (own_model / "vocab.txt").write_text("[PAD]\nbank\n")
    before = hash_of(own_model)
    (own_model / "vocab.txt").write_text("[PAD]\nriver\n")
    assert hash_of(own_model) != before


def test_missing_weights(own_model):
    (own_model / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="holds no weights"):
        hash_of(own_model)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"[]", b"{}" * 9])
def test_weights_that_are_no_safetensors(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtifactError, match="is no safetensors file"):
        read_tensors(tmp_path / "model.safetensors")


def test_cut_weights(own_model):
    content = (own_model / "model.safetensors").read_bytes()
    (own_model / "model.safetensors").write_bytes(content[:-4])
    with pytest.raises(ArtifactError, match="lies outside the file"):
        hash_of(own_model)


def test_tensors_are_read_as_they_are(own_model):
    expected = load_file(own_model / "model.safetensors")
    found = read_tensors(own_model / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert (tensor.dtype, tensor.shape) == ("F32", expected[name].shape)
        assert tensor.content.tobytes() == expected[name].tobytes()


# What a folder says


def test_prompts_come_from_the_model(e5_model):
    folder = read_model_folder(e5_model)
    assert (folder.query_prompt, folder.document_prompt) == ("query: ", "passage: ")
    assert (folder.max_tokens, folder.token_ceiling) == (16, 24)
    assert (folder.pooling, folder.unit_length, folder.similarity) == ("mean", True, "cosine")


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ({"query": "Represent: ", "document": ""}, ("Represent: ", "")),
        ({"document": "d: ", "passage": "p: "}, ("", "d: ")),
        ({"document": "", "passage": "p: "}, ("", "p: ")),
        ({"s2p_query": "x"}, ("", "")),
        (None, ("", "")),
    ],
)
def test_prompts_by_their_names(own_model, prompts, expected):
    change_json(own_model / "config_sentence_transformers.json", prompts=prompts)
    folder = read_model_folder(own_model)
    assert (folder.query_prompt, folder.document_prompt) == expected


@pytest.mark.parametrize(
    ("config", "pooling", "dim"),
    [
        ({"pooling_mode": "cls"}, "cls", 32),
        ({"pooling_mode": ["lasttoken"]}, "lasttoken", 32),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls", 32),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, "other", 64),
        ({"pooling_mode": "weightedmean"}, "other", 32),
        ({"include_prompt": False}, "other", 32),
    ],
)
def test_pooling_is_read_from_its_file(own_model, config, pooling, dim):
    change_json(own_model / "1_Pooling" / "config.json", **config)
    folder = read_model_folder(own_model)
    assert (folder.pooling, folder.dim) == (pooling, dim)


def test_a_projection_says_the_dimension(tiny_models, tmp_path):
    assert read_model_folder(tiny_models.write(tmp_path / "dense", dense=6)).dim == 6


def test_a_shortened_model_says_the_dimension(own_model):
    change_json(own_model / "config_sentence_transformers.json", truncate_dim=8)
    assert read_model_folder(own_model).dim == 8


def test_a_model_of_dot_products_keeps_its_lengths(tiny_models, tmp_path):
    folder = read_model_folder(tiny_models.write(tmp_path / "dot", similarity="dot", normalize=False))
    assert (folder.unit_length, folder.similarity) == (False, "dot")
    folder = read_model_folder(tiny_models.write(tmp_path / "unit", similarity="dot", normalize=True))
    assert (folder.unit_length, folder.similarity) == (True, "cosine")


def test_other_ways_to_compare_are_refused(tiny_models, tmp_path):
    with pytest.raises(InputError, match="compares vectors by euclidean, expected cosine or dot"):
        read_model_folder(tiny_models.write(tmp_path / "model", similarity="euclidean", normalize=False))


def test_unknown_modules_are_refused(own_model):
    modules = json.loads((own_model / "modules.json").read_text())
    modules[1]["type"] = "sentence_transformers.models.LSTM"
    (own_model / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match=r"module of type sentence_transformers\.models\.LSTM"):
        read_model_folder(own_model)


def test_an_adapter_without_its_base_is_refused(own_model):
    (own_model / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="an adapter without its base model"):
        read_model_folder(own_model)


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_configuration_is_named(own_model, content):
    (own_model / "config.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"config\.json"):
        read_model_folder(own_model)


@pytest.mark.parametrize(
    ("of_model", "of_tokenizer", "positions", "expected"),
    [
        (None, 20, 24, (20, 20)),
        (None, 10**30, 24, (24, 24)),
        (None, None, -1, (512, NO_TOKEN_LIMIT)),
        (16, 512, 24, (16, 24)),
    ],
)
def test_the_token_limit(own_model, of_model, of_tokenizer, positions, expected):
    change_json(own_model / "sentence_bert_config.json", max_seq_length=of_model)
    change_json(own_model / "tokenizer_config.json", model_max_length=of_tokenizer)
    change_json(own_model / "config.json", max_position_embeddings=positions)
    folder = read_model_folder(own_model)
    assert (folder.max_tokens, folder.token_ceiling) == expected


# TorchEncoder: spaces


def test_the_query_prompt_is_not_of_the_space(e5_model):
    encoder, other = TorchEncoder(e5_model), TorchEncoder(e5_model, query_prompt="ask: ")
    assert encoder.space == other.space
    assert encoder.query_tower != other.query_tower


@pytest.mark.parametrize("setting", [{"document_prompt": ""}, {"max_tokens": 12}])
def test_what_changes_a_document_changes_the_space(e5_model, setting):
    encoder, other = TorchEncoder(e5_model), TorchEncoder(e5_model, **setting)
    assert encoder.space.fingerprint != other.space.fingerprint


def test_a_copy_under_another_name_has_the_same_space(e5_model, tmp_path):
    copy = shutil.copytree(e5_model, tmp_path / "another-name")
    assert TorchEncoder(copy).space == TorchEncoder(e5_model).space
    assert TorchEncoder(copy).query_tower == TorchEncoder(e5_model).query_tower


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"device": "gpu"}, "found device 'gpu', expected cpu, cuda"),
        ({"max_tokens": 25}, "found max_tokens 25, expected 3 to 24"),
        ({"max_tokens": 2}, "found max_tokens 2, expected 3 to 24"),
        ({"batch_size": 0}, "found batch_size 0"),
        ({"precision": "float16"}, "found precision 'float16'"),
    ],
)
def test_settings_out_of_range(e5_model, setting, message):
    with pytest.raises(InputError, match=message):
        TorchEncoder(e5_model, **setting)


def test_a_space_needs_no_torch(e5_model):
    """In a process of its own, since torch is loaded here already."""
    code = (
        "import sys; from routeret.encoders import TorchEncoder; encoder = TorchEncoder(sys.argv[1]); "
        "print(encoder.space.fingerprint); assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code, e5_model], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == TorchEncoder(e5_model).space.fingerprint


# TorchEncoder: vectors


@pytest.fixture(scope="module")
def e5(e5_model):
    return TorchEncoder(e5_model, device="cpu", precision="float32")


def test_prompts_change_vectors(e5, e5_model):
    bare = TorchEncoder(e5_model, device="cpu", precision="float32", query_prompt="", document_prompt="")
    np.testing.assert_allclose(e5.encode_queries(["bank"]), bare.encode_queries(["query: bank"]), atol=1e-6)
    passages = e5.encode_documents([Document("1", "bank", "tax")]).vectors
    np.testing.assert_allclose(passages, bare.encode_queries(["passage: tax bank"]), atol=1e-6)
    assert not np.allclose(e5.encode_queries(["bank"]), bare.encode_queries(["bank"]), atol=1e-3)


def test_truncation_is_told(e5):
    """[CLS] passage : + words + [SEP] is 4 tokens more than the words; the limit is 16."""
    texts = ["bank " * 12, "bank " * 13, "", "ü", "bank"]
    encoded = e5.encode_documents(documents(*texts))
    assert encoded.truncated.tolist() == [False, True, False, False, False]
    assert encoded.n_tokens == 16 + 16 + 4 + 5 + 5
    np.testing.assert_allclose(encoded.vectors[0], encoded.vectors[1], atol=1e-6)


def test_a_long_text_is_cut_like_its_head(e5):
    """One word of many letters first: 64 characters a token hold fewer tokens than the limit."""
    long_word = "x" * 2000
    texts = [f"{long_word} bank", f"{long_word} river", "bank " * 50_000]
    encoded = e5.encode_documents(documents(*texts))
    assert encoded.truncated.tolist() == [False, False, True]
    assert encoded.vectors[0] @ encoded.vectors[1] < 0.9999
    np.testing.assert_allclose(encoded.vectors[2], e5.encode_documents(documents("bank " * 12)).vectors[0], atol=1e-6)


def test_order_and_batches_do_not_count(e5, e5_model):
    texts = ["bank card", "river", "tax return of water and cards", "bank", "river", ""]
    one_by_one = np.concatenate([e5.encode_queries([text]) for text in texts])
    pairs = TorchEncoder(e5_model, device="cpu", batch_size=2)
    np.testing.assert_allclose(pairs.encode_queries(texts), one_by_one, atol=1e-5)
    np.testing.assert_allclose(e5.encode_queries(texts), one_by_one, atol=1e-5)


def test_nothing_to_encode(e5):
    assert e5.encode_queries([]).shape == (0, 32)
    encoded = e5.encode_documents([])
    assert (encoded.vectors.shape, encoded.truncated.shape, encoded.n_tokens) == ((0, 32), (0,), 0)


def test_a_device_that_is_not_there(e5_model):
    with pytest.raises(InputError, match="found device 'cuda:99', but this machine has"):
        TorchEncoder(e5_model, device="cuda:99").encode_queries(["bank"])


def test_threads_share_an_encoder(e5):
    texts = ["bank card", "river water", "tax return"] * 5
    expected = e5.encode_queries(texts)
    results = [None] * 4

    def work(number):
        results[number] = e5.encode_queries(texts)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_bfloat16_is_near(e5_model, e5):
    texts = documents("bank card", "river water", "tax return")
    half = TorchEncoder(e5_model, device="cpu", precision="bfloat16").encode_documents(texts).vectors
    whole = e5.encode_documents(texts).vectors
    assert (half * whole).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1.0, atol=1e-6)


def test_loading_draws_no_bars_and_brings_them_back(e5_model, capfd):
    from transformers.utils import logging

    logging.enable_progress_bar()
    TorchEncoder(e5_model, device="cpu").encode_queries(["bank"])
    assert logging.is_progress_bar_enabled()
    assert capfd.readouterr() == ("", "")
