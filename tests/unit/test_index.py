import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import (
    ArtifactError,
    CorpusError,
    DuplicateIdError,
    IndexLockedError,
    InputError,
    SpaceMismatchError,
    UnknownDocumentError,
)
from routeret.index import Index
from routeret.index import adding as adding_module
from routeret.index import lock as lock_module
from routeret.index.lock import writer_lock
from routeret.index.witness import write_witness
from routeret.space import Space
from routeret.types import Document, EncodedDocuments

DOCUMENTS = [
    Document(id="tax", title="Taxes", text="Can we file jointly?", metadata={"lang": "en", "years": [1, 2]}),
    Document(id="köln", text="Straße – 東京"),
    Document(id="title only", title="Only a title", text=""),
    Document(id="cat", text="the cat sat on the mat"),
]


class TableEncoder:
    """Gives every document the vector that a table holds for its id; records what it was asked."""

    def __init__(self, vector_by_id, *, dim=2, truncated=()):
        self.space = Space(model="0" * 64, pooling="other", max_tokens=8, dim=dim, unit_length=False, similarity="dot")
        self.query_tower = "0" * 16
        self.vector_by_id = vector_by_id
        self.truncated = truncated
        self.batches = []

    def encode_documents(self, documents):
        self.batches.append([document.id for document in documents])
        vectors = np.array([self.vector_by_id[document.id] for document in documents], dtype=np.float32)
        return EncodedDocuments(vectors, np.array([document.id in self.truncated for document in documents]))

    def encode_queries(self, texts):
        raise NotImplementedError


def tables(**vectors):
    return TableEncoder({name: list(vector) for name, vector in vectors.items()})


def texts(*ids):
    return Corpus.of([Document(id=document_id, text=f"text of {document_id}") for document_id in ids])


@pytest.fixture
def encoder():
    return HashingEncoder(dim=32)


@pytest.fixture
def index(tmp_path, encoder):
    with Index.create(tmp_path / "kb", encoder.space) as index:
        yield index


def test_an_empty_index_answers_with_nothing(index, encoder):
    assert (len(index), index.n_rows, index.ids(), index.documents([])) == (0, 0, [], [])
    found = index.search(encoder.encode_queries(["cat", "dog"]), 5, space=encoder.space)
    assert found.rows.shape == found.scores.shape == (2, 0)
    assert index.contains(["cat"]).tolist() == [False]
    assert index.vectors(np.array([], dtype=np.int64)).shape == (0, 32)
    assert index.fulltext.search("cat", 3).numbers.tolist() == []
    assert index.info()["rows"] == 0
    assert index.verify() == []


def test_documents_come_back_as_they_were(index, encoder, tmp_path):
    report = index.add(Corpus.of(DOCUMENTS), encoder)
    assert (report.added, report.unchanged, report.truncated) == (4, 0, 0)
    assert report.seconds > 0
    for opened in (index, Index.open(tmp_path / "kb")):
        assert len(opened) == opened.n_rows == 4
        assert opened.ids() == ["tax", "köln", "title only", "cat"]
        assert opened.documents([3, 0, 3]) == [DOCUMENTS[3], DOCUMENTS[0], DOCUMENTS[3]]
        assert opened.get("köln") == DOCUMENTS[1]
        assert opened.contains(["cat", "dog"]).tolist() == [True, False]
        assert opened.numbers(["cat", "tax"]).tolist() == [3, 0]
        assert opened.row_documents.tolist() == [0, 1, 2, 3]
        assert opened.spans([2, 3]) == [(0, 0), (0, 22)]
        assert opened.located([3, 0, 3]) == [(DOCUMENTS[3], (0, 22)), (DOCUMENTS[0], (0, 20)), (DOCUMENTS[3], (0, 22))]
        assert [span for _, span in opened.located(range(4))] == opened.spans(range(4))
        keys = opened.content_keys([3, 0, 1, 2])
        assert keys.dtype == np.uint64
        assert keys.tolist() == [DOCUMENTS[number].content_key for number in (3, 0, 1, 2)]
        assert opened.space == encoder.space


def test_vectors_are_the_encoders_in_half_precision(index, encoder):
    index.add(Corpus.of(DOCUMENTS[:3]), encoder)
    index.add(Corpus.of(DOCUMENTS[3:]), encoder)
    expected = encoder.encode_documents(DOCUMENTS).vectors.astype(np.float16).astype(np.float32)
    rows = np.array([3, 0, 2, 1, 3])
    taken = index.vectors(rows)
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, expected[rows])
    found = index.search(expected, 1, space=encoder.space)
    assert found.rows.tolist() == [[0], [1], [2], [3]]


def test_scores_are_inner_products_and_equal_ones_keep_the_lower_row(tmp_path):
    encoder = tables(a=(1, 0), b=(0, 2), c=(1, 0), d=(3, 4))
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(texts("a", "b", "c", "d"), encoder)
        found = index.search(np.array([[1, 0], [-1, 0], [0, 0.5]], dtype=np.float32), 3, space=encoder.space)
        assert found.rows.tolist() == [[3, 0, 2], [1, 0, 2], [3, 1, 0]]
        assert found.scores.tolist() == [[3, 1, 1], [0, -1, -1], [2, 1, 0]]
        everything = index.search(np.array([[1, 0]], dtype=np.float32), 99, space=encoder.space)
        assert everything.rows.tolist() == [[3, 0, 2, 1]]
        assert index.search(np.empty((0, 2), dtype=np.float32), 3, space=encoder.space).rows.shape == (0, 3)


def test_encoding_is_sorted_by_length_and_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 3)
    names = ["a", "bbb", "cc", "dddd", "e"]
    encoder = tables(**{name: (number + 1, 0) for number, name in enumerate(names)})
    encoder.truncated = ("bbb", "e")
    with Index.create(tmp_path / "kb", encoder.space) as index:
        report = index.add(texts(*names), encoder, batch_size=2)
        assert encoder.batches == [["bbb", "cc"], ["a"], ["dddd", "e"]]
        assert report.truncated == 2
        assert index.ids() == names
        assert index.vectors(np.arange(5))[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_unchanged_documents_are_not_encoded_again(tmp_path):
    encoder = tables(a=(1, 0), b=(0, 1), c=(1, 1))
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(texts("a", "b"), encoder)
        report = index.add(texts("b", "c", "a"), encoder)
        assert (report.added, report.unchanged) == (1, 2)
        assert encoder.batches[1:] == [["c"]]
        report = index.add(texts("a"), encoder)
        assert (report.added, report.unchanged) == (0, 1)
        (path,) = (tmp_path / "kb" / "vectors").rglob("*.f16")
        assert (path.name, path.stat().st_size) == ("000000.f16", 3 * 2 * 2), "later rows stand in the same file"


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (replace(DOCUMENTS[0], text="Other"), "text"),
        (replace(DOCUMENTS[0], title="Other"), "title"),
        (replace(DOCUMENTS[0], metadata={"lang": "de"}), "metadata"),
    ],
)
def test_another_content_under_an_old_id_changes_nothing(index, encoder, document, part):
    index.add(Corpus.of(DOCUMENTS), encoder)
    fresh = Document(id="new", text="new")
    with pytest.raises(DuplicateIdError, match=rf"'tax' at documents\[1\] is in the index already with another {part}"):
        index.add(Corpus.of([fresh, document]), encoder)
    index.refresh()
    assert len(index) == 4
    assert not index.contains(["new"])[0]


def test_an_id_twice_in_one_call_names_both_places(index, encoder, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 2)
    with pytest.raises(DuplicateIdError, match=r"'tax' comes twice: at documents\[0\] and at documents\[4\]"):
        index.add(Corpus.of([*DOCUMENTS, DOCUMENTS[0]]), encoder)
    assert len(Index.open(index.folder)) == 0
    report = index.add(Corpus.of(DOCUMENTS), encoder)
    assert len(index) == report.added == 4
    assert index.ids() == ["tax", "köln", "title only", "cat"]


def test_spaces_must_be_equal(index, encoder):
    other = HashingEncoder(dim=16)
    with pytest.raises(SpaceMismatchError, match=encoder.space.fingerprint):
        index.add(Corpus.of(DOCUMENTS), other)
    with pytest.raises(SpaceMismatchError, match="index 'kb' holds"):
        index.search(other.encode_queries(["cat"]), 1, space=other.space)
    with pytest.raises(InputError, match="one vector a token"):
        Index.create(index.folder.parent / "late", replace(encoder.space, vectors="token"))


@pytest.mark.parametrize(
    ("vector", "found"),
    [
        ((0, 0), "only zeros"),
        ((float("nan"), 1), "NaN"),
        ((1e6, 1), "beyond fp16"),
        ((1e-9, 0), "only zeros"),
    ],
)
def test_unusable_vectors_name_the_document(tmp_path, vector, found):
    encoder = tables(a=(1, 0), b=vector)
    with Index.create(tmp_path / "kb", encoder.space) as index:
        with pytest.raises(InputError, match=rf"document 'b' \(documents\[1\]\) holds .*{found}"):
            index.add(texts("a", "b"), encoder)
        assert len(index) == 0


def test_vectors_of_a_wrong_shape(tmp_path):
    encoder = TableEncoder({"a": [1, 0, 0]}, dim=2)
    with Index.create(tmp_path / "kb", encoder.space) as index:
        with pytest.raises(InputError, match=r"vectors of shape \(1, 3\).*expected \(1, 2\)"):
            index.add(texts("a"), encoder)


def test_wrong_arguments(index, encoder):
    index.add(Corpus.of(DOCUMENTS), encoder)
    queries = encoder.encode_queries(["cat"])
    with pytest.raises(InputError, match="k is 0, expected at least 1"):
        index.search(queries, 0, space=encoder.space)
    with pytest.raises(InputError, match=r"queries have shape \(32,\), expected \(n_queries, 32\)"):
        index.search(queries[0], 1, space=encoder.space)
    with pytest.raises(InputError, match="query 0 of 1 has a vector that is not finite"):
        index.search(queries * np.float32("nan"), 1, space=encoder.space)
    with pytest.raises(UnknownDocumentError, match=r"document 'dog' is not in index 'kb' \(2 of 3 ids"):
        index.numbers(["cat", "dog", "cow"])
    with pytest.raises(UnknownDocumentError):
        index.get("dog")
    with pytest.raises(InputError, match="ids is the string 'cat'"):
        index.contains("cat")
    with pytest.raises(InputError, match="document number 4 is not in index 'kb', which has 0 to 3"):
        index.documents([0, 4])
    with pytest.raises(InputError, match="row -1"):
        index.vectors(np.array([-1]))
    with pytest.raises(InputError, match="row 4 is not in index 'kb', which has 0 to 3"):
        index.located([0, 4])
    with pytest.raises(InputError, match="metadata that is not JSON"):
        index.add(Corpus.of([Document(id="x", text="x", metadata={"at": object()})]), encoder)
    with pytest.raises(InputError, match="batch_size is 0"):
        index.add(Corpus.of(DOCUMENTS), encoder, batch_size=0)
    with pytest.raises(CorpusError, match="is empty"):
        index.add(Corpus.of([]), encoder)


def test_a_reader_keeps_its_snapshot_until_it_refreshes(index, encoder):
    index.add(Corpus.of(DOCUMENTS[:2]), encoder)
    with Index.open(index.folder) as reader:
        queries = encoder.encode_queries(["the cat sat on the mat"])
        index.add(Corpus.of(DOCUMENTS[2:]), encoder)
        assert len(reader) == 2
        assert reader.ids() == ["tax", "köln"]
        assert reader.contains(["cat", "tax"]).tolist() == [False, True]
        assert reader.search(queries, 9, space=encoder.space).rows.shape == (1, 2)
        assert reader.fulltext.search("cat", 9).numbers.tolist() == []
        reader.refresh()
        assert len(reader) == 4
        assert reader.search(queries, 1, space=encoder.space).rows.tolist() == [[3]]
        assert reader.fulltext.search("cat", 1).numbers.tolist() == [3]


def test_fulltext_is_derived_saved_and_brought_up_to_date(index, encoder):
    index.add(Corpus.of(DOCUMENTS[:3]), encoder)
    assert index.fulltext.search("jointly taxes", 1).numbers.tolist() == [0]
    assert index.fulltext is index.fulltext
    manifest = index.folder / "fulltext" / "manifest.json"
    written = manifest.stat().st_mtime_ns
    with Index.open(index.folder) as reader:
        assert reader.fulltext.search("title", 1).numbers.tolist() == [2]
        assert manifest.stat().st_mtime_ns == written
    index.add(Corpus.of(DOCUMENTS[3:]), encoder)
    assert index.fulltext.search("cat", 1).numbers.tolist() == [3]
    assert manifest.stat().st_mtime_ns > written
    index.delete(["cat"])
    assert index.fulltext.search("cat", 1).numbers.tolist() == []
    manifest.unlink()
    with Index.open(index.folder) as reader, writer_lock(index.folder):
        assert reader.fulltext.search("taxes", 1).numbers.tolist() == [0], "what is missing is built again"


def test_one_writer_at_a_time(index, encoder):
    with writer_lock(index.folder):
        with pytest.raises(IndexLockedError, match=rf"being written by process {os.getpid()}; wait"):
            index.add(Corpus.of(DOCUMENTS), encoder)
    index.add(Corpus.of(DOCUMENTS), encoder)
    assert len(index) == 4


def test_a_folder_that_cannot_be_written(index, encoder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock_module.os, "open", refuse)
    with pytest.raises(ArtifactError, match=r"kb cannot be written \(Permission denied\); make the folder writable"):
        index.add(Corpus.of(DOCUMENTS), encoder)


def test_a_file_system_without_locks_is_refused(index, encoder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock_module.fcntl, "flock", refuse)
    with pytest.raises(ArtifactError, match=r"kb is on a file system without locks \(No locks available\).*local disk"):
        index.add(Corpus.of(DOCUMENTS), encoder)
    monkeypatch.undo()
    assert index.add(Corpus.of(DOCUMENTS), encoder).added == 4


def test_a_folder_without_write_permission_can_be_read(index, encoder, monkeypatch):
    index.add(Corpus.of(DOCUMENTS), encoder)
    index.close()
    assert not (index.folder / "store.sqlite-wal").exists()
    monkeypatch.setattr("routeret.index.schema.os.access", lambda *_: False)
    with Index.open(index.folder) as reader:
        assert reader.ids() == ["tax", "köln", "title only", "cat"]
        names = {path.name for path in index.folder.iterdir()}
        assert names == {"fulltext", "fulltext.lock", "index.json", "store.sqlite", "vectors", "writer.lock"}


def test_folders_that_are_no_index(index, encoder, tmp_path):
    with pytest.raises(ArtifactError, match="holds no index: store.sqlite is missing"):
        Index.open(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match="holds an index already"):
        Index.create(index.folder, encoder.space)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "store.sqlite").write_text("hello, I am not a database, but a text of some length" * 10)
    write_witness(foreign, commit=0)
    with pytest.raises(ArtifactError, match="store.sqlite is not the store of an index"):
        Index.open(foreign)
    (foreign / "store.sqlite").unlink()
    connection = sqlite3.connect(foreign / "store.sqlite")
    connection.execute("CREATE TABLE pets (name)")
    connection.close()
    with pytest.raises(ArtifactError, match="store.sqlite is not the store of an index"):
        Index.open(foreign)


def test_another_format_is_refused(index):
    index.close()
    connection = sqlite3.connect(index.folder / "store.sqlite")
    with connection:
        connection.execute("UPDATE meta SET value = '4' WHERE name = 'format'")
    connection.close()
    with pytest.raises(
        ArtifactError, match=r"format 4, this version reads formats 2 and 3; it was written by routeret \d"
    ):
        Index.open(index.folder)


def test_missing_and_cut_segments_are_named(index, encoder):
    index.add(Corpus.of(DOCUMENTS), encoder)
    (path,) = (index.folder / "vectors").rglob("*.f16")
    content = path.read_bytes()
    assert len(content) == 4 * 32 * 2
    path.write_bytes(content[:-2])
    with pytest.raises(ArtifactError, match=r"000000.f16 has 254 bytes, expected 256 \(4 vectors of 32"):
        Index.open(index.folder)
    path.unlink()
    with pytest.raises(ArtifactError, match="000000.f16 is missing"):
        Index.open(index.folder)


def test_orphans_are_removed_by_the_next_writer(index, encoder):
    vectors = index.folder / "vectors" / encoder.space.fingerprint
    vectors.mkdir(parents=True)
    (vectors / "000000.f16").write_bytes(b"half a segment")
    (vectors / "000007.i8").write_bytes(b"")
    (vectors / "notes.txt").write_text("not ours")
    index.add(Corpus.of(DOCUMENTS), encoder)
    assert sorted(path.name for path in vectors.iterdir()) == ["000000.f16", "notes.txt"]
    assert index.search(encoder.encode_queries(["cat sat"]), 1, space=encoder.space).rows.tolist() == [[3]]


def test_info_counts(index, encoder):
    index.add(Corpus.of(DOCUMENTS), encoder)
    index.delete(["tax"])
    info = json.loads(json.dumps(index.info()))
    assert info.pop("store_bytes") > 0
    assert info.pop("structure")["factory"] == "exact"
    assert info == {
        "documents": 3,
        "rows": 3,
        "removed_rows": 1,
        "staged_documents": 0,
        "commit": 2,
        "chunker": {"kind": "none"},
        "space": encoder.space.fingerprint,
        "spaces": {encoder.space.fingerprint: {"storage": "fp16", "rows": 4, "segments": 1, "vectors_bytes": 256}},
    }


def test_threads_share_an_index(index, encoder):
    index.add(Corpus.of(DOCUMENTS), encoder)
    queries = encoder.encode_queries(["cat sat"])
    found = []

    def search():
        for _ in range(20):
            rows = index.search(queries, 1, space=encoder.space).rows[0]
            found.append(
                (index.documents(index.row_documents[rows])[0].id, index.fulltext.search("cat", 1).numbers.tolist()[0])
            )

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [("cat", 3)] * 80


def test_progress_counts_documents_on_stderr(index, encoder, capfd):
    index.add(Corpus.of(DOCUMENTS), encoder, total=4, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "adding: 100%" in err
    assert "4/4" in err


def test_opening_takes_milliseconds_and_loads_no_library(tmp_path):
    encoder = HashingEncoder(dim=8)
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(texts(*map(str, range(3000))), encoder)
    start = time.perf_counter()
    Index.open(tmp_path / "kb").close()
    assert time.perf_counter() - start < 0.2
    code = (
        "import sys; from routeret.index import Index; Index.open(sys.argv[1]);"
        "print([name for name in ('faiss', 'torch', 'bm25s', 'scipy', 'transformers') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code, tmp_path / "kb"], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
