"""A writer that is killed leaves the last commit whole, and the next writer goes on as if nothing had happened."""

import subprocess
import sys

import numpy as np
import pytest

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index
from routeret.types import Document

ENCODER = HashingEncoder(dim=16)
FIRST = [Document(id=f"first {number}", text=f"cat number {number}") for number in range(10)]
SECOND = [Document(id=f"second {number}", text=f"dog number {number}") for number in range(50)]

KILLED = """
import os, signal, sys
import routeret.index.adding as adding
from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index
from routeret.index.segments import SegmentWriter
from routeret.index.store import Store
from routeret.types import Document

folder, point = sys.argv[1:]
adding._BLOCK_DOCUMENTS = 20


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function, *, at, before):
    calls = []

    def call(*arguments, **options):
        calls.append(1)
        if before and len(calls) == at:
            die()
        result = function(*arguments, **options)
        if len(calls) == at:
            die()
        return result

    return call


class Encoder(HashingEncoder):
    pass


if point == "encoding the first batch":
    Encoder.encode_documents = dying(Encoder.encode_documents, at=1, before=True)
elif point == "encoding the third block":
    Encoder.encode_documents = dying(Encoder.encode_documents, at=6, before=True)
elif point == "writing vectors":
    SegmentWriter.append = dying(SegmentWriter.append, at=2, before=False)
elif point == "inserting documents":
    Store.insert = dying(Store.insert, at=3, before=False)
elif point == "finishing the segment":
    SegmentWriter.finish = dying(SegmentWriter.finish, at=1, before=False)
elif point == "naming the segment":
    Store.finish = dying(Store.finish, at=1, before=False)
elif point == "after the commit":
    Index.refresh = dying(Index.refresh, at=1, before=True)

documents = [Document(id=f"second {number}", text=f"dog number {number}") for number in range(50)]
Index.open(folder).add(Corpus.from_documents(documents), Encoder(dim=16), batch_size=8)
"""


def everything(index):
    queries = ENCODER.encode_queries(["cat number 3", "dog number 3", "number", "49"])
    found = index.search(queries, 20, space=ENCODER.space)
    return index.ids(), found.rows.tolist(), found.scores.tolist(), index.fulltext.scores("dog 3").tolist()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with Index.create(tmp_path_factory.mktemp("whole") / "kb", ENCODER.space) as index:
        index.add(Corpus.from_documents(FIRST), ENCODER)
        before = everything(index)
        index.add(Corpus.from_documents(SECOND), ENCODER)
        return before, everything(index)


@pytest.mark.parametrize(
    "point",
    [
        "encoding the first batch",
        "encoding the third block",
        "writing vectors",
        "inserting documents",
        "finishing the segment",
        "naming the segment",
        "after the commit",
    ],
)
def test_a_killed_writer_harms_nothing(tmp_path, point, uninterrupted):
    before, after = uninterrupted
    folder = tmp_path / "kb"
    with Index.create(folder, ENCODER.space) as index:
        index.add(Corpus.from_documents(FIRST), ENCODER)
    killed = subprocess.run([sys.executable, "-c", KILLED, folder, point], capture_output=True, check=False)
    assert (killed.returncode, killed.stderr) == (-9, b"")

    committed = point == "after the commit"
    with Index.open(folder) as index:
        assert everything(index) == (after if committed else before)
        report = index.add(Corpus.from_documents(SECOND), ENCODER)
        assert (report.added, report.unchanged) == ((0, 50) if committed else (50, 0))
        assert everything(index) == after
        files = sorted(path.name for path in (folder / "vectors").rglob("*.f16"))
        assert files == ["000000.f16", "000001.f16"]
        np.testing.assert_array_equal(
            index.vectors(np.arange(60)), ENCODER.encode_documents(FIRST + SECOND).vectors.astype(np.float16)
        )


def test_a_failing_encoder_leaves_nothing_behind(tmp_path):
    class Failing(HashingEncoder):
        def encode_documents(self, documents):
            if any(document.id == "second 40" for document in documents):
                raise RuntimeError("out of memory")
            return super().encode_documents(documents)

    folder = tmp_path / "kb"
    with Index.create(folder, ENCODER.space) as index:
        index.add(Corpus.from_documents(FIRST), ENCODER)
        before = everything(index)
        with pytest.raises(RuntimeError, match="out of memory"):
            index.add(Corpus.from_documents(SECOND), Failing(dim=16), batch_size=8)
        index.refresh()
        assert everything(index) == before
        assert [path.name for path in (folder / "vectors").rglob("*.f16")] == ["000000.f16"]


def test_an_interrupted_creation_leaves_no_index(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("routeret.index.store._TABLES", "CREATE TABLE broken (")
        with pytest.raises(Exception, match="incomplete input"):
            Index.create(tmp_path / "kb", ENCODER.space)
    assert list((tmp_path / "kb").iterdir()) == []
    with Index.create(tmp_path / "kb", ENCODER.space) as index:
        assert len(index) == 0
