"""Power that fails at any moment of a change leaves token vectors in step with the documents."""

import numpy as np
import pytest
from crashing_disk import CrashingDisk
from random_kills import small_blocks
from word_tokens import WordTokens, kept, tokens_by_id

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index, adding, changing
from routeret.types import Document

BASE, OWN = HashingEncoder(dim=8), WordTokens(dim=4)
FIRST = {f"d{number}": f"red tea {number}" for number in range(8)}
CHANGES = {
    "add": lambda index: index.add(corpus({f"e{number}": "green" for number in range(7)}), [BASE, OWN]),
    "upsert": lambda index: index.upsert(corpus({"d1": "blue", "d7": "a dog and a cat"}), [BASE, OWN]),
    "compact": lambda index: index.compact(),
    "add_space": lambda index: index.add_space(OWN, tokens="int8"),
    "drop_space": lambda index: index.drop_space(OWN.space),
}


def corpus(texts):
    return Corpus.of([Document(id=name, text=text) for name, text in texts.items()])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    small_blocks(monkeypatch.setattr)
    monkeypatch.setattr(adding, "BLOCK_DOCUMENTS_WITH_TOKENS", 4)
    monkeypatch.setattr(changing, "_EMBEDDED_ROWS_WITH_TOKENS", 4)


def in_step(index):
    """Whether every document has its own tokens, and none where its space is not whole."""
    held = index.info()["spaces"].get(OWN.space.fingerprint)
    if held is None or held["rows"] < index.n_rows:
        return True
    texts = {document.id: document.text for document in index.documents(index.numbers(index.ids()))}
    found = tokens_by_id(index, OWN.space)
    same = [np.array_equal(found[name][0], kept(OWN.tokens(text.split()), "int8")) for name, text in texts.items()]
    return all(same) and found.keys() == texts.keys()


@pytest.mark.parametrize("name", list(CHANGES))
@pytest.mark.parametrize("zeros", [False, True])
def test_tokens_are_in_step_at_every_moment(tmp_path, monkeypatch, name, zeros):
    folder = tmp_path / "kb"
    with Index.create(folder, BASE.space) as index:
        index.add(corpus(FIRST), BASE)
        if name != "add_space":
            index.add_space(OWN, tokens="int8")
            index.delete(["d0", "d5"])
    disk = CrashingDisk(folder)
    with disk.watching(monkeypatch), Index.open(folder) as index:
        CHANGES[name](index)
        expected = index.ids()
    assert len(disk.moments) > 2
    spaces_behind = 1 if name == "drop_space" else 2
    for moment in disk.moments:
        crashed = tmp_path / "crashed"
        disk.write(moment, crashed, zeros=zeros)
        with Index.open(crashed, verify=True) as index:
            assert index.verify() == []
            assert in_step(index)
            if name != "drop_space" or len(index.spaces) > 1:
                CHANGES[name](index)
            assert (index.ids(), len(index.spaces)) == (expected, spaces_behind)
            assert in_step(index)
            if name != "drop_space":
                assert index.info()["spaces"][OWN.space.fingerprint]["rows"] == index.n_rows
            assert index.verify() == []
