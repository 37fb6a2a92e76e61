"""Content hashes that are remembered: right as long as no file has changed, and never in the way."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from routeret.encoders import OnnxEncoder, TorchEncoder
from routeret.encoders.content import model_hash
from routeret.encoders.graph import remembering
from routeret.encoders.graph.remembering import remember_hash, remembered_hash
from routeret.encoders.model_folder import read_model_folder


def make_old(folder):
    """Give every file the time of last year, as if it had been there for long."""
    for file in folder.rglob("*"):
        os.utime(file, ns=(1, 1_700_000_000_000_000_000))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "graphs"))
    return tmp_path / "graphs" / "hashes"


@pytest.fixture
def model(own_model, cache):  # noqa: ARG001 - the cache is set first
    make_old(own_model)
    return read_model_folder(own_model)


def entry(cache):
    (file,) = cache.glob("*")
    return file


def test_a_remembered_hash_is_the_hash(model, cache, monkeypatch):
    assert remembered_hash(model) is None
    assert remember_hash(model)
    assert remembered_hash(model) == model_hash(model)
    monkeypatch.setattr(remembering, "model_hash", None)
    assert remember_hash(model)  # it is there, so nothing is hashed again
    assert [path.name for path in cache.iterdir()] == [entry(cache).name]


def test_an_encoder_reads_no_weights_again(model, monkeypatch):
    expected = TorchEncoder(model.path, device="cpu").space
    remember_hash(model)
    monkeypatch.setattr("routeret.encoders.torch.model_hash", None)
    assert OnnxEncoder(model.path).space == expected


def test_an_encoder_without_a_remembered_hash_computes_it(model, cache):
    assert OnnxEncoder(model.path).space == TorchEncoder(model.path, device="cpu").space
    assert not cache.exists()  # asking remembers nothing


def test_a_weight_that_changes_is_noticed_though_size_and_time_stay(model):
    remember_hash(model)
    weights = model.path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    make_old(model.path)
    assert remembered_hash(model) is None
    assert OnnxEncoder(model.path).space.model == model_hash(model)
    assert remember_hash(model)
    assert remembered_hash(model) == model_hash(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "1_Pooling/config.json"])
def test_any_file_counts(model, name):
    remember_hash(model)
    file = model.path / name
    file.write_bytes(file.read_bytes() + b"\n")
    assert remembered_hash(model) is None


def test_a_file_that_comes_or_goes_counts(model):
    remember_hash(model)
    (model.path / "added_tokens.json").write_text("{}")
    assert remembered_hash(model) is None
    (model.path / "added_tokens.json").unlink()
    assert remembered_hash(model) is not None


def test_another_folder_at_the_same_place_is_noticed(model, tmp_path):
    remember_hash(model)
    shutil.copytree(model.path, tmp_path / "copy")
    shutil.rmtree(model.path)
    (tmp_path / "copy").rename(model.path)
    make_old(model.path)
    assert remembered_hash(model) is None


def test_a_model_that_was_just_written_is_not_remembered(own_model, cache):
    (own_model / "config.json").touch()
    assert not remember_hash(read_model_folder(own_model))
    assert not cache.exists()


def test_a_model_that_changes_while_it_is_read_is_not_remembered(model, cache, monkeypatch):
    def changing(found):
        (model.path / "config.json").touch()
        return model_hash(found)

    monkeypatch.setattr(remembering, "model_hash", changing)
    assert not remember_hash(model)
    assert not cache.exists()


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"{", b"\xff\xfe", b'{"hash": 3}'])
def test_a_damaged_entry_is_as_none_and_written_anew(model, cache, damage):
    remember_hash(model)
    entry(cache).write_bytes(damage)
    assert remembered_hash(model) is None
    assert remember_hash(model)
    assert remembered_hash(model) == model_hash(model)


def test_a_digit_that_flips_is_noticed(model, cache):
    remember_hash(model)
    values = json.loads(entry(cache).read_text())
    values["hash"] = ("1" if values["hash"][0] == "0" else "0") + values["hash"][1:]
    entry(cache).write_text(json.dumps(values))
    assert remembered_hash(model) is None


def test_an_entry_of_another_scheme_does_not_count(model, monkeypatch):
    remember_hash(model)
    monkeypatch.setattr(remembering, "SCHEME", "routeret model 2")
    assert remembered_hash(model) is None


def test_switched_off_nothing_is_read_or_written(model, monkeypatch):
    remember_hash(model)
    monkeypatch.setenv("ROUTERET_GRAPHS", "off")
    assert remembered_hash(model) is None
    assert not remember_hash(model)


def test_a_cache_that_cannot_be_written_is_no_error(model, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "file"))
    assert remembered_hash(model) is None
    assert not remember_hash(model)


def test_several_may_remember_at_once(model, cache):
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: remember_hash(model), range(16)))
    assert remembered_hash(model) == model_hash(model)
    assert [path.name for path in cache.iterdir()] == [entry(cache).name]
