import json

import pytest
from tiny_packs import DIM, ENCODER, write_pack

from routeret import packs
from routeret.errors import ArtifactError, InputError
from routeret.packs import list_packs, read_pack


@pytest.fixture
def folder(tmp_path):
    return write_pack(tmp_path / "tiny")


def test_a_pack_is_read_from_its_folder(folder):
    for given in (folder, str(folder)):
        pack = read_pack(given)
        assert (pack.name, pack.folder, pack.base) == ("tiny", folder, f"hashing-{DIM}")
        assert (pack.space, pack.query_tower, pack.lexical_weight) == (ENCODER.space, ENCODER.query_tower, 0.3)
        assert list(pack.expert_folders) == ["fruit", "multitask", "ships"]
        assert pack.expert_folders["ships"] == folder / "experts" / "ships"
        assert pack.router_folder == folder / "router"


def test_shipped_packs_are_read_by_name(folder, monkeypatch):
    monkeypatch.setattr(packs, "_SHIPPED", folder.parent)
    (folder.parent / "not-a-pack").mkdir()
    assert list_packs() == {"tiny": folder}
    assert read_pack("tiny").folder == folder
    with pytest.raises(InputError, match="'huge' is neither a pack nor a folder; there are the packs tiny"):
        read_pack("huge")


def test_without_shipped_packs_the_list_is_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "_SHIPPED", tmp_path / "nowhere")
    assert list_packs() == {}
    with pytest.raises(InputError, match="packs none"):
        read_pack("minilm-domains")


def test_a_damaged_pack_is_refused(folder):
    weights = folder / "experts" / "fruit" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=r"weights.safetensors is damaged"):
        read_pack(folder)


def test_a_pack_without_a_field_is_refused(folder):
    path = folder / "manifest.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["query_tower"], values["checksum"]
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ArtifactError, match="has no 'query_tower'"):
        read_pack(folder)


def test_a_folder_of_another_kind_is_refused(folder):
    with pytest.raises(ArtifactError, match="is a 'router', expected a 'pack'"):
        read_pack(folder / "router")
