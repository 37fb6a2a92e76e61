"""A build that is interrupted goes on where it stopped: what was embedded and kept is not embedded again."""

import fcntl
import json
import shutil
import subprocess
import sys
from functools import cache

import pytest
from click.testing import CliRunner

from routeret.building import build_index, import_index
from routeret.chunking import SentenceWindows
from routeret.cli import main
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError
from routeret.index import Index
from routeret.retriever import Retriever

BASE = "hashing-16"
BLOCK = 20
DOCUMENTS = [{"id": f"d{number}", "text": f"dog number {number}"} for number in range(50)]

KILLED = """
import os, signal, sys
import routeret.index.adding
from routeret.cli import main
from routeret.encoders.hashing import HashingEncoder
from routeret.retriever import Retriever

point, *arguments = sys.argv[1:]
routeret.index.adding.BLOCK_DOCUMENTS = 20
calls = []


def dying(function, at):
    def call(*arguments):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return call


if point == "third block":
    HashingEncoder.encode_documents = dying(HashingEncoder.encode_documents, 3)
else:
    Retriever.compact = dying(Retriever.compact, 1)
main(arguments)
"""


@pytest.fixture
def docs(tmp_path):
    return write(tmp_path / "docs.jsonl", DOCUMENTS)


@pytest.fixture
def embedded(monkeypatch):
    """The ids of the documents that this process embeds, in blocks of 20."""
    ids = []
    encode = HashingEncoder.encode_documents

    def noting(encoder, documents):
        ids.extend(document.id for document in documents)
        return encode(encoder, documents)

    monkeypatch.setattr(HashingEncoder, "encode_documents", noting)
    monkeypatch.setattr("routeret.index.adding.BLOCK_DOCUMENTS", BLOCK)
    return ids


def write(path, documents):
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    return path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory):
    """What a build of all documents that is killed at a point leaves; each is killed once, and is read only."""

    @cache
    def left_behind(point):
        folder = tmp_path_factory.mktemp("killed")
        docs = write(folder / "docs.jsonl", DOCUMENTS)
        command = [sys.executable, "-c", KILLED, point, "build", str(folder / "kb"), str(docs), "--base", BASE]
        killed = subprocess.run(command, capture_output=True, check=False)
        assert killed.returncode == -9, killed.stderr
        assert names_in(folder) == [".kb.unfinished", "docs.jsonl"]
        return folder / ".kb.unfinished"

    return left_behind


@pytest.fixture
def kill_build(left_behind, tmp_path):
    """Leaves here what a build that is killed at a point leaves."""
    return lambda point: shutil.copytree(left_behind(point), tmp_path / ".kb.unfinished")


def build(folder, docs, *options):
    result = CliRunner().invoke(main, ["build", str(folder), str(docs), "--base", BASE, "--json", *options])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def everything(folder):
    with Retriever.open(folder) as retriever:
        hits = retriever.search("dog number 17", 50)
        found = [(hit.id, hit.score) for hit in hits]
        return retriever.index.ids(), found, retriever.info()["removed_rows"], retriever.info()["staged_documents"]


def test_a_killed_build_goes_on(tmp_path, docs, embedded, kill_build):
    build(tmp_path / "kb", docs)
    whole = everything(tmp_path / "kb")
    for path in sorted((tmp_path / "kb").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "kb").rmdir()
    embedded.clear()

    kill_build("third block")
    report = build(tmp_path / "kb", docs)
    assert (report["added"], report["resumed"], report["spans_embedded"]) == (50, 40, 10)
    assert sorted(embedded) == [f"d{number}" for number in range(40, 50)]
    assert everything(tmp_path / "kb") == whole
    assert names_in(tmp_path) == ["docs.jsonl", "kb"]


def test_what_has_changed_in_between_is_as_in_the_source(tmp_path, docs, embedded, kill_build):
    kill_build("third block")
    changed = [{**DOCUMENTS[0], "text": "a cat"}, *DOCUMENTS[2:]]
    report = build(tmp_path / "kb", write(docs, changed))
    assert (report["added"], report["resumed"], report["n_documents"]) == (49, 38, 49)
    assert set(embedded) == {"d0", *(f"d{number}" for number in range(40, 50))}
    ids, _, removed_rows, staged = everything(tmp_path / "kb")
    assert (sorted(ids), removed_rows, staged) == (sorted(one["id"] for one in changed), 0, 0)


def test_a_build_that_was_killed_before_its_last_step(tmp_path, docs, embedded, kill_build):
    kill_build("last step")
    report = build(tmp_path / "kb", write(docs, DOCUMENTS[1:]))
    assert (report["unchanged"], report["removed"], report["n_documents"]) == (49, 1, 49)
    assert embedded == []
    assert everything(tmp_path / "kb")[2:] == (0, 0)


@pytest.mark.parametrize(
    "options", [("--base", "hashing-32"), ("--chunker", "sentences:size=100,overlap=0"), ("--storage", "fp32")]
)
def test_other_arguments_begin_anew(tmp_path, docs, embedded, kill_build, options):
    kill_build("third block")
    report = build(tmp_path / "kb", docs, *options)
    assert (report["added"], report["resumed"]) == (50, 0)
    assert len(embedded) == 50
    assert names_in(tmp_path) == ["docs.jsonl", "kb"]


def test_a_damaged_leftover_is_begun_anew(tmp_path, docs, embedded, kill_build):
    kill_build("third block")
    (tmp_path / ".kb.unfinished" / "kb" / "manifest.json").write_text("{", encoding="utf-8")
    assert build(tmp_path / "kb", docs)["resumed"] == 0
    assert len(embedded) == 50


class Failing:
    """Stops an encoder at a call."""

    def __init__(self, at):
        self.encode = HashingEncoder.encode_documents
        self.left = at

    def __call__(self, encoder, documents):
        self.left -= 1
        if not self.left:
            raise RuntimeError("out of memory")
        return self.encode(encoder, documents)


@pytest.mark.parametrize(("at", "left"), [(1, ["docs.jsonl"]), (3, [".kb.unfinished", "docs.jsonl"])])
def test_a_failure_keeps_what_was_embedded(tmp_path, docs, embedded, monkeypatch, at, left):
    failing = Failing(at)
    with monkeypatch.context() as patch:
        patch.setattr(HashingEncoder, "encode_documents", lambda *arguments: failing(*arguments))
        with pytest.raises(RuntimeError, match="out of memory"):
            build_index(tmp_path / "kb", [docs], base=BASE)
    assert names_in(tmp_path) == left
    embedded.clear()
    report = build_index(tmp_path / "kb", [docs], base=BASE)
    assert report.resumed == 20 * (at - 1)
    assert len(embedded) == 50 - report.resumed


@pytest.mark.usefixtures("embedded")
def test_a_refused_build_leaves_the_unfinished_one(tmp_path, docs, kill_build):
    kill_build("third block")
    broken = write(tmp_path / "broken.jsonl", [{"id": "x"}])
    with pytest.raises(ValueError, match="no text"):
        build_index(tmp_path / "kb", [broken], base=BASE)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_index(tmp_path / "kb", [docs], base="nobody/nowhere")
    assert build_index(tmp_path / "kb", [docs], base=BASE).resumed == 40


def test_two_builds_of_one_index_leave_one(tmp_path, docs, embedded, monkeypatch):
    """The index appeared while the second build was reading its corpora."""
    begin = build_index.__globals__["unfinished_index"]

    def late(path, **options):
        path.mkdir()
        return begin(path, **options)

    monkeypatch.setattr("routeret.building.new.unfinished_index", late)
    with pytest.raises(ArtifactError, match="exists already"):
        build_index(tmp_path / "kb", [docs], base=BASE)
    assert names_in(tmp_path) == ["docs.jsonl", "kb"]
    assert embedded == []


def test_a_folder_that_vanishes_before_it_is_held_is_made_again(tmp_path, docs, monkeypatch):
    """Another build opened the folder first and removed it when it ended."""
    place = tmp_path / ".kb.unfinished"
    flock = fcntl.flock
    calls = []

    def late(descriptor, operation):
        calls.append(descriptor)
        if len(calls) == 1:
            place.rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr("routeret.building.unfinished.fcntl.flock", late)
    assert build_index(tmp_path / "kb", [docs], base=BASE).added == 50
    assert names_in(tmp_path) == ["docs.jsonl", "kb"]


@pytest.mark.usefixtures("embedded")
def test_a_chunked_build_goes_on_by_documents(tmp_path, monkeypatch):
    texts = [f"Short sentence {number}.\n\nAnother short one, {number}." for number in range(30)]
    docs = write(tmp_path / "docs.jsonl", [{"id": f"d{number}", "text": text} for number, text in enumerate(texts)])
    chunker = SentenceWindows(size=30, overlap=0)
    failing = Failing(2)
    with monkeypatch.context() as patch:
        patch.setattr(HashingEncoder, "encode_documents", lambda *arguments: failing(*arguments))
        with pytest.raises(RuntimeError, match="out of memory"):
            build_index(tmp_path / "kb", [docs], base=BASE, chunker=chunker)
    report = build_index(tmp_path / "kb", [docs], base=BASE, chunker=chunker)
    assert (report.added, report.resumed, report.spans_embedded) == (30, 20, 20)
    with Index.open(tmp_path / "kb") as index:
        assert (len(index), index.n_rows) == (30, 60)


def test_an_import_that_fails_leaves_nothing(tmp_path, docs, embedded, monkeypatch):
    build_index(tmp_path / "kb", [docs], base=BASE)
    with Retriever.open(tmp_path / "kb") as retriever:
        retriever.export(tmp_path / "out")

    def fail(*_, **__):
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(Retriever, "import_documents", fail)
        with pytest.raises(RuntimeError, match="no"):
            import_index(tmp_path / "kb2", tmp_path / "out", base=BASE)
    assert names_in(tmp_path) == ["docs.jsonl", "kb", "out"]
    embedded.clear()
    assert import_index(tmp_path / "kb2", tmp_path / "out", base=BASE).added == 50
    assert embedded == []
