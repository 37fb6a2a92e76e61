"""Saved folders: whole or not at all, and damage is noticed."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from routeret.artifact import (
    MANIFEST,
    new_folder,
    read_manifest,
    safetensors_of,
    sha256_of,
    write_file,
    write_json,
    write_manifest,
)
from routeret.errors import ArtifactError


class InterruptedWriteError(Exception):
    """Stands for whatever can go wrong while writing."""


@pytest.fixture
def saved(tmp_path):
    """A finished folder with one file beside and one below."""
    with new_folder(tmp_path / "saved") as folder:
        (folder / "inner").mkdir()
        (folder / "a.bin").write_bytes(b"abc")
        (folder / "inner" / "b.bin").write_bytes(b"")
        write_manifest(folder, kind="expert", format_number=1, fields={"name": "grün", "routeret": "0.1.0"})
    return tmp_path / "saved"


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "deep" / "saved") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "deep" / "saved").exists()
    assert (tmp_path / "deep" / "saved" / "file").read_text() == "x"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["saved"]


def write_half(path, error):
    with new_folder(path) as folder:
        (folder / "file").write_text("half")
        raise error


@pytest.mark.parametrize("error", [InterruptedWriteError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        write_half(tmp_path / "saved", error)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(saved):
    with pytest.raises(ArtifactError, match="exists already"), new_folder(saved):
        pass
    assert (saved / "a.bin").read_bytes() == b"abc"


def test_replacing_takes_the_place_of_the_old_folder(saved):
    with new_folder(saved, replace=True) as folder:
        (folder / "new").write_text("x")
        assert (saved / "a.bin").is_file()
    assert [path.name for path in saved.iterdir()] == ["new"]
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_an_interrupted_replacement_keeps_the_old_folder(saved):
    with pytest.raises(InterruptedWriteError), new_folder(saved, replace=True):
        raise InterruptedWriteError
    assert read_manifest(saved, kind="expert", format_number=1)["name"] == "grün"
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_a_manifest_lists_every_file_with_its_checksum(saved):
    manifest = read_manifest(saved, kind="expert", format_number=1)
    assert manifest == {
        "name": "grün",
        "routeret": "0.1.0",
        "kind": "expert",
        "format": 1,
        "files": {
            "a.bin": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "inner/b.bin": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        },
    }
    assert sha256_of(saved / "a.bin") == manifest["files"]["a.bin"]


def test_a_damaged_file_is_noticed(saved):
    (saved / "a.bin").write_bytes(b"abd")
    with pytest.raises(ArtifactError, match=r"a\.bin is damaged: checksum [0-9a-f]{16}, expected ba7816bf8f01cfea"):
        read_manifest(saved, kind="expert", format_number=1)
    assert read_manifest(saved, kind="expert", format_number=1, verify=False)["name"] == "grün"


def test_a_missing_file_is_noticed(saved):
    (saved / "inner" / "b.bin").unlink()
    with pytest.raises(ArtifactError, match=r"b\.bin is missing"):
        read_manifest(saved, kind="expert", format_number=1)


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(ArtifactError, match=r"has no manifest\.json; it is not a routeret expert"):
        read_manifest(tmp_path, kind="expert", format_number=1)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_a_broken_manifest(saved, content):
    (saved / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactError, match="is not valid JSON"):
        read_manifest(saved, kind="expert", format_number=1)


def test_a_folder_of_another_kind(saved):
    with pytest.raises(ArtifactError, match="is a 'expert', expected a 'index'"):
        read_manifest(saved, kind="index", format_number=1)


@pytest.mark.parametrize("content", ["[]", "{}", '"expert"'])
def test_a_manifest_of_something_else(saved, content):
    (saved / MANIFEST).write_text(content)
    with pytest.raises(ArtifactError, match="expected a 'expert'"):
        read_manifest(saved, kind="expert", format_number=1)


def test_a_newer_format_says_what_reads_it(saved):
    manifest = json.loads((saved / MANIFEST).read_text(encoding="utf-8"))
    write_json(saved / MANIFEST, {**manifest, "format": 2, "routeret": "9.0"})
    with pytest.raises(ArtifactError, match=r"format 2, this version reads format 1; it was written by routeret 9\.0"):
        read_manifest(saved, kind="expert", format_number=1)


def test_a_file_is_replaced_whole(tmp_path):
    write_file(tmp_path / "file", b"old")
    write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_take_its_place_leaves_nothing(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_file(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_arrays_are_written_row_after_row_however_they_lie(tmp_path):
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    arrays = {"rows": rows, "columns": np.asfortranarray(rows), "turned": rows.T, "part": rows[:, ::2]}
    write_file(tmp_path / "arrays", safetensors_of(arrays, {"of": "a test"}))
    found = load_file(tmp_path / "arrays")
    assert {name: array.tolist() for name, array in found.items()} == {
        "rows": [[0, 1, 2], [3, 4, 5]],
        "columns": [[0, 1, 2], [3, 4, 5]],
        "turned": [[0, 3], [1, 4], [2, 5]],
        "part": [[0, 2], [3, 5]],
    }


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "file", {"b": 1, "a": "ü"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "file", {"b": object()})
    assert (tmp_path / "file").read_text(encoding="utf-8") == '{\n  "a": "ü",\n  "b": 1\n}\n'


def test_a_manifest_is_under_a_checksum_itself(saved):
    path = saved / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**manifest, "name": "another"})
    with pytest.raises(ArtifactError, match="its own checksum differs"):
        read_manifest(saved, kind="expert", format_number=1)
    del manifest["checksum"]
    write_json(path, manifest)
    assert "checksum" not in read_manifest(saved, kind="expert", format_number=1), "older manifests have none"


def test_what_another_process_wrote_meanwhile_stays(tmp_path):
    path = tmp_path / "kb"

    def write_slowly():
        with new_folder(path) as temporary:
            (temporary / "slow").write_text("slow")
            path.mkdir()
            (path / "fast").write_text("fast")

    with pytest.raises(ArtifactError, match="was written by another process meanwhile"):
        write_slowly()
    assert [(one.name, one.read_text()) for one in path.iterdir()] == [("fast", "fast")]
    assert list(tmp_path.iterdir()) == [path]
    empty = tmp_path / "empty"
    empty.mkdir()
    with new_folder(empty, into_empty=True) as temporary:
        (temporary / "file").write_text("new")
    assert (empty / "file").read_text() == "new"
    with pytest.raises(ArtifactError, match="exists already"), new_folder(empty, into_empty=True):
        pass
