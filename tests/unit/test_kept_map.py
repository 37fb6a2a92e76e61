"""The map that an index computes, kept beside it: the same to the last bit, and never of other documents."""

import shutil

import numpy as np
import pytest

from routeret.corpus import Corpus
from routeret.encoders import HashingEncoder
from routeret.index import Index
from routeret.retriever import Retriever, index_map
from routeret.retriever.checking import check_folder
from routeret.retriever.index_map import IndexMap
from routeret.retriever.kept_map import FILE, damage_of, keep_map, read_map
from routeret.types import Document

BASE = HashingEncoder(16)
WEIGHT = np.arange(9, dtype=np.float32).reshape(3, 3)


def documents(n, *, start=0):
    rng = np.random.default_rng(start)
    return [Document(f"d{start + number}", text=" ".join(rng.choice(list("abcdefghij"), 5))) for number in range(n)]


@pytest.fixture
def index(tmp_path):
    with Index.create(tmp_path / "index", BASE.space) as opened:
        opened.add(Corpus.from_documents(documents(520), name="words"), BASE)
        yield opened


def nobody(numbers):
    return np.zeros(len(numbers), dtype=np.bool_)


def all_of_them(numbers):
    return np.ones(len(numbers), dtype=np.bool_)


def forbidden(*_, **__):
    raise AssertionError("computed again")


# --- the file --------------------------------------------------------------------------------------------------------


def test_what_is_kept_comes_back(tmp_path):
    assert read_map(tmp_path, mark="m") is None
    keep_map(tmp_path, WEIGHT, mark="m")
    (found,) = read_map(tmp_path, mark="m")
    np.testing.assert_array_equal(found, WEIGHT)
    assert found.dtype == np.float32
    keep_map(tmp_path, None, mark="n")
    assert read_map(tmp_path, mark="n") == (None,)
    assert read_map(tmp_path, mark="m") is None
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("place", [0, 4, 20, -1])
def test_damage_is_as_nothing_kept(tmp_path, place):
    keep_map(tmp_path, WEIGHT, mark="m")
    content = bytearray((tmp_path / FILE).read_bytes())
    content[place] ^= 0x10
    (tmp_path / FILE).write_bytes(content)
    assert read_map(tmp_path, mark="m") is None


@pytest.mark.parametrize("content", [b"", b"not a map"])
def test_another_file_is_as_nothing_kept(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    assert read_map(tmp_path, mark="m") is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    keep_map(tmp_path / "missing", WEIGHT, mark="m")
    assert read_map(tmp_path / "missing", mark="m") is None


def test_damage_is_told_and_repaired(index):
    assert damage_of(index.folder) is None
    IndexMap(index.folder).weight(index, is_known=nobody, knowledge="none")
    assert damage_of(index.folder) is None
    (index.folder / FILE).write_bytes((index.folder / FILE).read_bytes()[:-1])
    assert "is damaged" in damage_of(index.folder)
    with Retriever.create(index.folder.parent / "kb", base=BASE):
        pass
    folder = index.folder.parent / "kb"
    shutil.copy(index.folder / FILE, folder)
    assert [(one.path, one.derived) for one in check_folder(folder).damage] == [(str(folder / FILE), True)]
    repaired = check_folder(folder, repair=True)
    assert repaired.is_whole
    assert [one.path for one in repaired.repaired] == [str(folder / FILE)]
    assert check_folder(folder).is_whole


# --- an index --------------------------------------------------------------------------------------------------------


def test_another_process_takes_the_kept_map(index, monkeypatch):
    computed = IndexMap(index.folder).weight(index, is_known=nobody, knowledge="none")
    np.testing.assert_array_equal(computed, IndexMap().weight(index, is_known=nobody))
    monkeypatch.setattr(index_map, "whitening", forbidden)
    kept = IndexMap(index.folder).weight(index, is_known=forbidden, knowledge="none")
    np.testing.assert_array_equal(kept, computed)


def test_that_there_is_no_map_is_kept_too(index):
    assert IndexMap(index.folder).weight(index, is_known=all_of_them, knowledge="all") is None
    assert IndexMap(index.folder).weight(index, is_known=forbidden, knowledge="all") is None


def test_other_experts_have_another_map(index):
    of_all = IndexMap(index.folder).weight(index, is_known=nobody, knowledge="none")
    of_some = IndexMap(index.folder).weight(index, is_known=lambda numbers: numbers < 10, knowledge="some")
    assert not np.array_equal(of_all, of_some)
    again = IndexMap(index.folder).weight(index, is_known=nobody, knowledge="none")
    np.testing.assert_array_equal(again, of_all)


@pytest.mark.parametrize("change", ["add", "delete", "upsert", "compact"])
def test_other_documents_have_another_map(index, change):
    if change == "compact":
        index.delete(["d0"])
    IndexMap(index.folder).weight(index, is_known=nobody, knowledge="none")
    if change == "add":
        index.add(Corpus.from_documents(documents(200, start=1000), name="more"), BASE)
    elif change == "delete":
        index.delete([f"d{number}" for number in range(15)])
    elif change == "upsert":
        index.upsert(Corpus.from_documents([Document("d0", text="z z z")], name="more"), BASE)
    else:
        index.compact()
    found = IndexMap(index.folder).weight(index, is_known=nobody, knowledge="none")
    np.testing.assert_array_equal(found, IndexMap().weight(index, is_known=nobody))


def test_the_mark_is_of_the_vectors_too(tmp_path):
    marks = []
    for number, text in enumerate(("a b", "c d")):
        with Index.create(tmp_path / str(number), BASE.space) as opened:
            opened.add(Corpus.from_documents([Document("d0", text=text)], name="one"), BASE)
            marks.append(opened.mark())
            with Index.open(tmp_path / str(number)) as again:
                assert again.mark() == marks[-1]
    assert marks[0] != marks[1]


def test_few_documents_keep_nothing(tmp_path):
    with Index.create(tmp_path / "index", BASE.space) as opened:
        opened.add(Corpus.from_documents(documents(499), name="few"), BASE)
        assert IndexMap(opened.folder).weight(opened, is_known=nobody, knowledge="none") is None
        assert not (opened.folder / FILE).exists()
