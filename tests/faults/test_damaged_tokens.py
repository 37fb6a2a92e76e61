"""Every flipped byte of an index with token vectors is found, or changes nothing."""

import random
import shutil

import numpy as np
import pytest
from random_kills import ENCODER, TOKENS, new_index, small_blocks
from word_tokens import tokens_by_id

from routeret.corpus import Corpus
from routeret.errors import ArtifactError
from routeret.index import Index
from routeret.index.verifying import verify_index
from routeret.types import Document

DOCUMENTS = [Document(id=f"d{number}", text=f"text number {number} of words") for number in range(30)]


@pytest.fixture
def whole(tmp_path, monkeypatch):
    small_blocks(monkeypatch.setattr)
    folder = tmp_path / "kb"
    new_index(folder)
    with Index.open(folder) as index:
        index.add(Corpus.of(DOCUMENTS), [ENCODER, TOKENS])
        index.delete(["d3", "d20"])
        assert index.verify() == []
    return folder


def everything(folder):
    with Index.open(folder, verify=True) as index:
        tokens = tokens_by_id(index, TOKENS.space)
        vectors = [index.vectors(index.live_rows, space=space).tolist() for space in index.spaces]
        return {name: one[0].tolist() for name, one in tokens.items()}, vectors, index.info()["spaces"]


def flipped(path, place, rng):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def test_every_flipped_byte_is_found_or_changes_nothing(whole, tmp_path):
    expected = everything(whole)
    rng = random.Random(0)
    files = [whole / "store.sqlite", *(path for path in sorted((whole / "vectors").rglob("*")) if path.is_file())]
    n_found = 0
    for path in files:
        size = path.stat().st_size
        for place in rng.sample(range(size), min(size, 40 if path.suffix == ".sqlite" else 3)):
            folder = tmp_path / "damaged"
            shutil.copytree(whole, folder)
            damaged = folder / path.relative_to(whole)
            flipped(damaged, place, rng)
            found = verify_index(folder)
            n_found += bool(found)
            if found:
                assert {one.path for one in found} == {str(damaged)}
                assert not any(one.derived for one in found)
            else:
                assert damaged.name == "store.sqlite"
                assert everything(folder) == expected
            shutil.rmtree(folder)
    # Every flip in a vector file, and some in the store, most of which is free room.
    assert n_found > 3 * (len(files) - 1) >= 15


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"int8", b"int9", "storage is 'int9', expected one of fp16, fp32, int8"),
        (TOKENS.space.fingerprint.encode(), b"0" * 16, "it keeps tokens of space 0000000000000000 and has spaces"),
    ],
)
def test_tokens_of_no_space_or_precision_are_named(whole, old, new, message):
    """The row of the table of tokens, changed where no page has a checksum."""
    store = whole / "store.sqlite"
    row = TOKENS.space.fingerprint.encode() + b"int8"
    content = store.read_bytes()
    assert content.count(row) == 1
    store.write_bytes(content.replace(row, row.replace(old, new)))
    assert [(one.path, one.derived) for one in verify_index(whole)] == [(str(store), False)]
    with pytest.raises(ArtifactError, match=message):
        Index.open(whole)


def test_half_a_stream_is_found(whole):
    for part in ("tokens", "ends"):
        last = sorted((whole / "vectors" / f"{TOKENS.space.fingerprint}.{part}").iterdir())[-1]
        whole_content = last.read_bytes()
        last.write_bytes(whole_content[: len(whole_content) // 2])
        assert [one.path for one in verify_index(whole)][0] == str(last)
        last.write_bytes(whole_content)
    assert verify_index(whole) == []
    assert np.isfinite(everything(whole)[1][0]).all()
