"""Every damaged file is found and named; what is derived is made again, what is not is refused."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from random_kills import ENCODER, small_blocks

from routeret.corpus import Corpus
from routeret.errors import ArtifactError
from routeret.index import Index
from routeret.index.verifying import verify_index
from routeret.types import Document

N_DOCUMENTS = 90


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An index with several vector files, removed documents, full text and a search structure."""
    folder = tmp_path_factory.mktemp("whole") / "kb"
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch.setattr)
        documents = [
            Document(id=f"d{n}", title=f"title {n}", text=f"text number {n} of many words", metadata={"n": n, "s": "x"})
            for n in range(N_DOCUMENTS)
        ]
        with Index.create(folder, ENCODER.space) as index:
            index.add(Corpus.of(documents), ENCODER)
            index.delete(["d3", "d50"])
            index.optimise(factory="SQ8")
            assert index.verify() == []
    return folder


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    small_blocks(monkeypatch.setattr)


def everything(index):
    """All that a user can get out of an index."""
    queries = ENCODER.encode_queries(["text number 7", "title 33"])
    found = index.search(queries, N_DOCUMENTS, space=ENCODER.space)
    words = index.fulltext.search("number 7 title", 10)
    return (
        index.ids(),
        index.documents(np.flatnonzero(index.live_documents)),
        index.spans(index.live_rows),
        index.content_keys(np.flatnonzero(index.live_documents)).tolist(),
        index.vectors(index.live_rows).tolist(),
        found.rows.tolist(),
        found.scores.tolist(),
        words.numbers.tolist(),
        words.scores.tolist(),
        np.flatnonzero(index.matching({"n": {"gte": 40}})).tolist(),
    )


def files(folder):
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and path.suffix != ".lock"
    )


def is_derived(path, folder):
    return path.relative_to(folder).parts[0] in ("fulltext", "ann", "index.json")


def is_named(path, named):
    """Whether a file is named, or for derived files, which are made again together, another one of its folder."""
    if path.parts[0] in ("fulltext", "ann"):
        return any(one.parts[0] == path.parts[0] for one in named)
    return named == {path}


def test_every_flipped_byte_is_found_or_changes_nothing(whole, tmp_path):
    with Index.open(whole) as index:
        expected = everything(index)
    rng = random.Random(0)
    n_found = n_harmless = 0
    for path in files(whole):
        size = path.stat().st_size
        places = sorted(rng.sample(range(size), min(size, 40 if path.name == "store.sqlite" else 6)))
        for place in places:
            folder = tmp_path / "damaged"
            shutil.copytree(whole, folder)
            damaged = folder / path.relative_to(whole)
            content = bytearray(damaged.read_bytes())
            content[place] ^= 1 << rng.randrange(8)
            damaged.write_bytes(content)
            with_damage = verify_index(folder)
            if with_damage:
                n_found += 1
                named = {Path(one.path).relative_to(folder) for one in with_damage}
                assert is_named(damaged.relative_to(folder), named), (damaged, place, with_damage)
                assert all(one.derived for one in with_damage) == is_derived(damaged, folder)
            else:
                # Free room inside SQLite's pages, or a word such as the version that wrote a file.
                assert damaged.name in ("store.sqlite", "manifest.json")
                n_harmless += 1
                with Index.open(folder, verify=True) as index:
                    assert everything(index) == expected, (damaged, place)
            shutil.rmtree(folder)
    assert n_found > n_harmless, (n_found, n_harmless)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_and_missing_files(whole, tmp_path, share):
    with Index.open(whole) as index:
        expected = everything(index)
    for path in files(whole):
        folder = tmp_path / "damaged"
        shutil.copytree(whole, folder)
        damaged = folder / path.relative_to(whole)
        if share:
            damaged.write_bytes(damaged.read_bytes()[: int(share * damaged.stat().st_size)])
        else:
            damaged.unlink()
        found = verify_index(folder)
        assert found, damaged
        named = {Path(one.path).relative_to(folder) for one in found}
        assert is_named(damaged.relative_to(folder), named), (damaged, found)
        if not is_derived(damaged, folder) or damaged.name == "index.json":
            with pytest.raises(ArtifactError, match=damaged.name):
                Index.open(folder).close()
        else:
            with Index.open(folder) as index:
                assert everything(index) == expected, damaged
        shutil.rmtree(folder)


def test_files_that_are_too_long(whole, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    first, *_, last = sorted((folder / "vectors").rglob("*.f16"))
    last.write_bytes(last.read_bytes() + b"left by a writer that died")
    Index.open(folder, verify=True).close()
    first.write_bytes(first.read_bytes() + b"x")
    with pytest.raises(ArtifactError, match=r"000000.f16 has 1281 bytes, expected 1280"):
        Index.open(folder)


def test_a_writer_does_not_give_damage_a_new_checksum(whole, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    last = sorted((folder / "vectors").rglob("*.f16"))[-1]
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    with Index.open(folder) as index:
        with pytest.raises(ArtifactError, match=r"000002.f16 is damaged in its rows from 8 on"):
            index.add(Corpus.of([Document(id="new", text="new")]), ENCODER)
        with pytest.raises(ArtifactError, match=r"000002.f16 is damaged in rows 88 to 89"):
            index.compact()


def test_a_damaged_log_is_noticed(whole, tmp_path):
    folder, copy, damaged = tmp_path / "kb", tmp_path / "copy", tmp_path / "damaged"
    shutil.copytree(whole, folder)
    # A reader keeps its commit, so the next ones stay in the log.
    with Index.open(folder), Index.open(folder) as index:
        for number in range(3):
            index.add(Corpus.of([Document(id=f"new{number}", text="new")]), ENCODER)
        for target in (copy, damaged):
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*-shm"))
        ids = index.ids()
    with Index.open(copy, verify=True) as index:
        assert index.ids() == ids
    log = damaged / "store.sqlite-wal"
    content = bytearray(log.read_bytes())
    assert len(content) > 10_000
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is at commit \d+, but commit \d+ had been written"):
        Index.open(damaged)
