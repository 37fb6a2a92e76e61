"""Repairing removes what is derived and damaged, and nothing else."""

import os
import shutil

import numpy as np
import pytest

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError, IndexLockedError
from routeret.index import Index
from routeret.index.lock import writer_lock
from routeret.index.repairing import repair_index
from routeret.index.schema import STORE
from routeret.index.verifying import verify_index
from routeret.index.witness import read_witness
from routeret.types import Document

ENCODER = HashingEncoder(dim=16)
FIRST = [Document(id=f"first {number}", text=f"cat number {number}") for number in range(10)]
SECOND = [Document(id=f"second {number}", text=f"dog number {number}") for number in range(5)]


@pytest.fixture
def folder(tmp_path):
    with Index.create(tmp_path / "kb", ENCODER.space) as index:
        index.add(Corpus.from_documents(FIRST), ENCODER)
    return tmp_path / "kb"


def everything(folder):
    with Index.open(folder) as index:
        found = index.search(ENCODER.encode_queries(["cat number 3"]), 20, space=ENCODER.space)
        return index.ids(), found.rows.tolist(), index.fulltext.scores("cat 3").tolist()


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_index_stays_as_it_is(folder):
    before = files_of(folder)
    assert repair_index(folder) == []
    after = files_of(folder)
    assert {name: content for name, content in after.items() if name.suffix != ".lock"} == {
        name: content for name, content in before.items() if name.suffix != ".lock"
    }


@pytest.mark.parametrize("content", [None, "", "{}", '{"kind": "another", "commit": 1}', '{"kind": "routeret index"}'])
def test_the_witness_is_written_anew(folder, content):
    before = everything(folder)
    if content is None:
        (folder / "index.json").unlink()
    else:
        (folder / "index.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match="index.json"):
        Index.open(folder)
    (repaired,) = repair_index(folder)
    assert (repaired.path, repaired.derived) == (str(folder / "index.json"), True)
    assert read_witness(folder) == 2, "commits may be lost, so what was derived from them is begun anew"
    assert everything(folder) == before


@pytest.mark.parametrize("is_gone", [False, True])
def test_full_text_is_built_again(folder, is_gone):
    before = everything(folder)
    for path in [path for path in (folder / "fulltext").rglob("*") if path.is_file()]:
        if is_gone:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert all(one.derived for one in verify_index(folder))
    repaired = repair_index(folder)
    assert repaired
    assert {one.path for one in repaired} == {one.path for one in repaired if "fulltext" in one.path}
    assert not (folder / "fulltext").exists()
    assert everything(folder) == before
    assert (folder / "fulltext").exists()
    assert verify_index(folder) == []


def test_one_damaged_structure_goes_and_the_other_stays(folder):
    pytest.importorskip("faiss")
    other = HashingEncoder(dim=8)
    with Index.open(folder) as index:
        index.add_space(other)
        index.optimise(factory="Flat")
        index.optimise(factory="Flat", space=other.space)
    before = everything(folder)
    (damaged,) = (folder / "ann" / other.space.fingerprint).glob("*.faiss")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    repaired = repair_index(folder)
    assert [one.path for one in repaired] == [str(folder / "ann" / other.space.fingerprint)]
    assert [path.name for path in (folder / "ann").iterdir() if path.is_dir()] == [ENCODER.space.fingerprint]
    assert verify_index(folder) == []
    assert everything(folder) == before


def lose_last_commit(folder):
    """Put the store back to where it was before the last commit, as a lost log does."""
    shutil.copy(folder / STORE, folder / "older")
    with Index.open(folder) as index:
        index.add(Corpus.from_documents(SECOND), ENCODER)
    os.replace(folder / "older", folder / STORE)
    for suffix in ("-wal", "-shm"):
        (folder / f"{STORE}{suffix}").unlink(missing_ok=True)


def test_a_store_that_lost_commits_goes_on_without_them(folder):
    before = everything(folder)
    lose_last_commit(folder)
    with pytest.raises(ArtifactError, match="at commit 1, but commit 2"):
        Index.open(folder)
    (repaired,) = repair_index(folder)
    assert (repaired.path, repaired.derived) == (str(folder / STORE), False)
    assert "at commit 1, but commit 2" in repaired.reason
    assert everything(folder)[0] == before[0]
    with Index.open(folder) as index:
        assert index.add(Corpus.from_documents(SECOND), ENCODER).added == 5
        expected = ENCODER.encode_documents(FIRST + SECOND).vectors.astype(np.float16)
        np.testing.assert_array_equal(index.vectors(np.arange(15)), expected)


def test_an_index_that_is_not_whole_without_its_last_commits_stays_refused(folder):
    lose_last_commit(folder)
    (vectors,) = (folder / "vectors").rglob("*.f16")
    content = bytearray(vectors.read_bytes())
    content[0] ^= 1
    vectors.write_bytes(content)
    assert repair_index(folder) == []
    assert read_witness(folder) == 2
    with pytest.raises(ArtifactError, match="at commit 1, but commit 2"):
        Index.open(folder)


def test_documents_and_vectors_are_not_touched(folder):
    (vectors,) = (folder / "vectors").rglob("*.f16")
    vectors.write_bytes(vectors.read_bytes()[:-1])
    (folder / STORE).write_bytes(b"no store")
    assert repair_index(folder) == []
    assert (folder / STORE).read_bytes() == b"no store"
    assert len(verify_index(folder)) == 1


def test_nothing_is_repaired_while_another_writes(folder):
    (folder / "index.json").unlink()
    with writer_lock(folder), pytest.raises(IndexLockedError, match=str(os.getpid())):
        repair_index(folder)
    assert not (folder / "index.json").exists()
