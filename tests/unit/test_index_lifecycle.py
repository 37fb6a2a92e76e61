"""Changing documents over an index's life: what is embedded, what stays, what readers see."""

import json
import shutil
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from cutting import LINES

from routeret.chunking import SentenceWindows
from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError, CorpusError, InputError, SpaceMismatchError, UnknownDocumentError
from routeret.index import Exported, Index
from routeret.index import adding as adding_module
from routeret.index import segments as segments_module
from routeret.index.structures.best import exact_scores, top_k
from routeret.index.witness import write_witness
from routeret.types import Document


class Recording(HashingEncoder):
    """Keeps every text that it was asked for, and fails at a text that holds a given word."""

    def __init__(self, *, dim=16, failing=None):
        super().__init__(dim=dim)
        self.texts = []
        self.failing = failing

    def encode_documents(self, documents):
        for document in documents:
            if self.failing and self.failing in document.text:
                raise RuntimeError("out of memory")
        self.texts += [document.text for document in documents]
        return super().encode_documents(documents)


def corpus(**text_by_id):
    return Corpus.of([Document(id=key, text=text) for key, text in text_by_id.items()])


@pytest.fixture
def encoder():
    return Recording()


@pytest.fixture
def index(tmp_path, encoder):
    with Index.create(tmp_path / "kb", encoder.space) as index:
        yield index


def counts(report):
    return {name: value for name, value in report.as_dict().items() if value and name != "seconds"}


def test_upsert_adds_replaces_and_keeps(index, encoder):
    index.add(corpus(a="red", b="green", c="blue"), encoder)
    encoder.texts.clear()
    report = index.upsert(corpus(b="yellow", c="blue", d="white"), encoder)
    assert counts(report) == {"added": 1, "changed": 1, "unchanged": 1, "spans_embedded": 2}
    assert sorted(encoder.texts) == ["white", "yellow"]
    assert index.ids() == ["a", "c", "b", "d"]
    assert index.get("b").text == "yellow"
    assert (len(index), index.n_numbers) == (4, 5)
    with pytest.raises(InputError, match="document number 1 of index 'kb' was removed"):
        index.documents([1])


def test_metadata_alone_changes_without_embedding(index, encoder):
    index.add(Corpus.of([Document(id="a", text="red", metadata={"year": 2020})]), encoder)
    encoder.texts.clear()
    report = index.upsert(Corpus.of([Document(id="a", text="red", metadata={"year": 2021})]), encoder)
    assert counts(report) == {"changed": 1, "spans_reused": 1}
    assert encoder.texts == []
    assert index.matching({"year": 2021}).tolist() == [False, True]
    np.testing.assert_array_equal(index.vectors([0]), index.vectors([1]))


def test_sync_makes_the_index_equal_to_its_source(index, encoder):
    index.add(corpus(a="red", b="green", c="blue"), encoder)
    encoder.texts.clear()
    report = index.sync(corpus(c="blue", b="grey", d="white"), encoder)
    assert counts(report) == {"added": 1, "changed": 1, "unchanged": 1, "removed": 1, "spans_embedded": 2}
    assert sorted(index.ids()) == ["b", "c", "d"]
    commit = index.info()["commit"]
    assert counts(index.sync(corpus(c="blue", b="grey", d="white"), encoder)) == {"unchanged": 3}
    assert index.info()["commit"] == commit, "nothing changed, so nothing is committed"
    with pytest.raises(CorpusError, match="is empty"):
        index.sync(Corpus.of([]), encoder)
    assert len(index) == 3


def test_delete_takes_ids_or_a_filter(index, encoder):
    documents = [Document(id=str(year), text=f"in {year}", metadata={"year": year}) for year in range(2000, 2010)]
    index.add(Corpus.of(documents), encoder)
    assert index.delete(["2003", "2007"]).removed == 2
    assert index.delete(filter={"year": {"lt": 2002}}).removed == 2
    assert index.ids() == ["2002", "2004", "2005", "2006", "2008", "2009"]
    assert index.delete(filter={"year": {"gt": 3000}}).removed == 0
    with pytest.raises(UnknownDocumentError, match=r"'2003' is not in index 'kb' \(1 of 2 ids.*nothing was deleted"):
        index.delete(["2002", "2003"])
    with pytest.raises(InputError, match="either ids or a filter"):
        index.delete()
    with pytest.raises(InputError, match="either ids or a filter"):
        index.delete(["2002"], filter={"year": 2002})
    with pytest.raises(InputError, match="a list of strings"):
        index.delete("2002")
    with pytest.raises(InputError, match="yaer"):
        index.delete(filter={"yaer": 2002})
    assert len(index) == 6


def test_a_deleted_document_is_found_by_nobody_and_may_come_again(index, encoder):
    index.add(corpus(a="red tea", b="green tea"), encoder)
    index.delete(["a"])
    query = encoder.encode_queries(["red tea"])
    assert index.search(query, 9, space=encoder.space).rows.tolist() == [[1]]
    assert index.contains(["a", "b"]).tolist() == [False, True]
    with pytest.raises(UnknownDocumentError):
        index.get("a")
    index.add(corpus(a="red tea"), encoder)
    assert index.search(query, 9, space=encoder.space).rows.tolist() == [[2, 1]]
    index.delete(["a", "b"])
    assert (len(index), index.ids()) == (0, [])
    assert index.search(query, 9, space=encoder.space).rows.shape == (1, 0)


def test_what_a_removal_in_a_pattern_leaves_is_all_that_is_found(tmp_path, encoder):
    documents = [Document(id=str(number), text=f"number {number}") for number in range(2600)]
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(Corpus.of(documents), encoder)
        index.delete([str(number) for number in range(2600) if number % 8 != 1])
        queries = encoder.encode_queries(["number 9", "number 12", "words"])
        found = index.search(queries, 10, space=encoder.space)
        assert (found.rows % 8 == 1).all()
        left = np.arange(1, 2600, 8)
        twin = top_k(np.stack([exact_scores(index.vectors(left), query) for query in queries]), 10)
        np.testing.assert_array_equal(found.rows, left[twin.rows])
        np.testing.assert_array_equal(found.scores, twin.scores)


def test_compacting_gives_the_room_back_and_changes_nothing_else(index, encoder):
    index.add(Corpus.of([Document(id=f"d{n}", text=f"word{n}", metadata={"n": n}) for n in range(100)]), encoder)
    index.delete([f"d{n}" for n in range(0, 100, 2)])
    query = encoder.encode_queries(["word51"])
    before = index.search(query, 5, space=encoder.space)
    ids = index.ids(index.row_documents[before.rows[0]])
    encoder.texts.clear()
    with Index.open(index.folder) as reader:
        assert index.compact() == 50
        assert (index.n_rows, index.n_numbers, len(index)) == (50, 50, 50)
        assert index.ids() == [f"d{n}" for n in range(1, 100, 2)]
        after = index.search(query, 5, space=encoder.space)
        assert index.ids(index.row_documents[after.rows[0]]) == ids
        np.testing.assert_array_equal(after.scores, before.scores)
        assert np.flatnonzero(index.matching({"n": {"gte": 90}})).tolist() == [45, 46, 47, 48, 49]
        assert encoder.texts == []
        (path,) = (index.folder / "vectors").rglob("*.f16")
        assert path.stat().st_size == 50 * 16 * 2
        np.testing.assert_array_equal(reader.search(query, 5, space=encoder.space).rows, before.rows)
        assert reader.documents([99])[0].id == "d99", "a reader keeps its commit"
        reader.refresh()
        assert reader.n_rows == 50
    assert index.compact() == 0


def test_changing_a_paragraph_embeds_that_paragraph(tmp_path, encoder):
    with Index.create(tmp_path / "kb", encoder.space, chunker=LINES) as index:
        index.add(corpus(a="one\ntwo\nthree\nfour", b="five"), encoder)
        assert (len(index), index.n_rows) == (2, 5)
        assert index.row_documents.tolist() == [0, 0, 0, 0, 1]
        encoder.texts.clear()
        report = index.upsert(corpus(a="one\nTWO!\nthree\nfour"), encoder)
        assert encoder.texts == ["TWO!"]
        assert counts(report) == {"changed": 1, "spans_embedded": 1, "spans_reused": 3}
        assert [index.get("a").text[slice(*span)] for span in index.spans([5, 6, 7, 8])] == [
            "one",
            "TWO!",
            "three",
            "four",
        ]
        np.testing.assert_array_equal(index.vectors([5, 7, 8]), index.vectors([0, 2, 3]))
        located = index.located([6, 4, 8])
        assert [document for document, _ in located] == [index.get("a"), index.get("b"), index.get("a")]
        assert [document.text[slice(*span)] for document, span in located] == ["TWO!", "five", "four"]


def test_whole_documents_are_located_by_their_rows_whatever_has_changed(tmp_path, encoder):
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(corpus(a="one", b="two words", c="three", d="four"), encoder)
        index.upsert(corpus(b="two", e="five five"), encoder)
        index.delete(["a"])
        assert index.located([3, 5, 4]) == [(index.get(id_), (0, end)) for id_, end in (("d", 4), ("e", 9), ("b", 3))]
        assert index.compact() == 2
        assert index.located([2, 0]) == [(index.get("b"), (0, 3)), (index.get("c"), (0, 5))]
        assert [span for _, span in index.located(range(4))] == index.spans(range(4))


def test_a_long_document_in_sentence_windows(tmp_path):
    encoder = Recording(dim=512)
    paragraphs = [
        f"This is sentence {n} about topic{n}. It has a second part that talks of topic{n}." for n in range(40)
    ]
    with Index.create(tmp_path / "kb", encoder.space, chunker=SentenceWindows(size=200, overlap=0)) as index:
        index.add(corpus(long="\n\n".join(paragraphs), short="topic7 only"), encoder)
        n_rows = index.n_rows
        assert n_rows > 15
        found = index.search(encoder.encode_queries(["topic33"]), 1, space=encoder.space)
        start, end = index.spans(found.rows[0])[0]
        assert "topic33" in index.get("long").text[start:end]
        encoder.texts.clear()
        changed = "\n\n".join([*paragraphs[:20], "Something new.", *paragraphs[20:]])
        report = index.upsert(corpus(long=changed), encoder)
        assert 1 <= report.spans_embedded == len(encoder.texts) <= 6
        assert report.spans_reused >= n_rows - 8


def test_an_index_keeps_its_chunker(tmp_path, encoder):
    with Index.create(tmp_path / "kb", encoder.space, chunker=LINES) as index:
        index.add(corpus(a="one\ntwo"), encoder)
    with Index.open(tmp_path / "kb") as index:
        assert index.n_rows == 2
        with pytest.raises(InputError, match="the function 'lines', version '1'"):
            index.add(corpus(b="three\nfour"), encoder)
    with pytest.raises(InputError, match="version '1' against '2'"):
        Index.open(tmp_path / "kb", chunker=replace(LINES, version="2"))
    with Index.open(tmp_path / "kb", chunker=LINES) as index:
        index.add(corpus(b="three\nfour"), encoder)
        assert index.n_rows == 4


def test_a_failed_call_is_taken_up_again(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 3)
    source = corpus(**{f"d{n}": f"word{n}" for n in range(10)})
    failing = Recording(failing="word7")
    with Index.create(tmp_path / "kb", failing.space) as index:
        with pytest.raises(RuntimeError, match="out of memory"):
            index.add(source, failing)
        assert len(index) == 0
        assert sorted(failing.texts) == [f"word{n}" for n in range(6)]
        with Index.open(index.folder) as reader:
            assert (len(reader), reader.info()["staged_documents"]) == (0, 6)
            assert reader.search(failing.encode_queries(["word3"]), 5, space=failing.space).rows.shape == (1, 0)
        encoder = Recording()
        report = index.add(source, encoder)
        assert counts(report) == {"added": 10, "resumed": 6, "spans_embedded": 4}
        assert sorted(encoder.texts) == [f"word{n}" for n in range(6, 10)]
        assert index.ids() == [f"d{n}" for n in range(10)]
        assert index.info()["staged_documents"] == 0


def test_another_call_leaves_staged_documents_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 2)
    source = corpus(a="one", b="two", c="three", d="boom")
    with Index.create(tmp_path / "kb", HashingEncoder(dim=16).space) as index:
        with pytest.raises(RuntimeError):
            index.add(source, Recording(failing="boom"))
        index.add(corpus(x="other"), Recording())
        assert index.ids() == ["x"]
        assert (index.info()["staged_documents"], index.info()["rows"], index.info()["removed_rows"]) == (2, 1, 2)
        encoder = Recording()
        assert index.search(encoder.encode_queries(["one"]), 9, space=encoder.space).rows.tolist() == [[2]]
        report = index.add(source, encoder)
        assert counts(report) == {"added": 4, "resumed": 2, "spans_embedded": 2}
        assert sorted(index.ids()) == ["a", "b", "c", "d", "x"]
        assert index.verify() == []


def test_compacting_drops_what_is_staged(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 1)
    with Index.create(tmp_path / "kb", HashingEncoder(dim=16).space) as index:
        with pytest.raises(RuntimeError):
            index.add(corpus(a="one", b="boom"), Recording(failing="boom"))
        assert index.compact() == 1
        assert (index.n_rows, index.info()["staged_documents"]) == (0, 0)
        assert index.add(corpus(a="one"), Recording()).resumed == 0
        assert index.ids() == ["a"]


def test_what_left_the_source_of_an_interrupted_call_is_not_added(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 2)
    with Index.create(tmp_path / "kb", HashingEncoder(dim=16).space) as index:
        with pytest.raises(RuntimeError):
            index.add(corpus(a="one", b="two", c="boom"), Recording(failing="boom"))
        report = index.add(corpus(b="two", c="three"), Recording())
        assert counts(report) == {"added": 2, "resumed": 1, "spans_embedded": 1}
        assert index.ids() == ["b", "c"]
        assert not index.contains(["a"])[0]


def test_a_second_space_over_the_same_documents(index, encoder):
    other = Recording(dim=8)
    index.add(corpus(a="red", b="green", c="blue"), encoder)
    index.delete(["b"])
    assert index.add_space(other, storage="fp32") == 4 - 1
    assert sorted(other.texts) == ["blue", "red"], "what was deleted is not embedded"
    assert index.spaces == (encoder.space, other.space)
    assert index.search(other.encode_queries(["blue"]), 9, space=other.space).rows.tolist()[0][0] == 2
    with pytest.raises(SpaceMismatchError, match="no encoder for it was given"):
        index.add(corpus(d="white"), encoder)
    assert index.add(corpus(d="white"), [other, encoder]).added == 1
    assert other.texts[-1] == "white"
    assert index.search(other.encode_queries(["white"]), 1, space=other.space).rows.tolist() == [[3]]
    assert index.compact() == 1
    np.testing.assert_array_equal(
        index.vectors([0, 1, 2], space=other.space),
        other.encode_documents([Document(id="", text=text) for text in ("red", "blue", "white")]).vectors,
    )
    index.drop_space(other.space)
    assert index.spaces == (encoder.space,)
    assert list((index.folder / "vectors").rglob("*.f32")) == []
    with pytest.raises(SpaceMismatchError, match=other.space.fingerprint):
        index.search(other.encode_queries(["blue"]), 1, space=other.space)
    with pytest.raises(InputError, match="its first one, stays"):
        index.drop_space(encoder.space)


def test_a_space_whose_adding_was_interrupted(index, encoder, monkeypatch):
    monkeypatch.setattr("routeret.index.changing._EMBEDDED_ROWS", 2)
    index.add(corpus(a="red", b="green", c="boom"), encoder)
    with pytest.raises(RuntimeError):
        index.add_space(Recording(dim=8, failing="boom"))
    index.refresh()
    other = Recording(dim=8)
    with Index.open(index.folder) as reader:
        with pytest.raises(InputError, match="holds 2 of 3 rows"):
            reader.search(other.encode_queries(["red"]), 1, space=other.space)
        with pytest.raises(InputError, match="finish that with add_space"):
            reader.add(corpus(d="white"), [encoder, other])
        assert reader.search(encoder.encode_queries(["red"]), 1, space=encoder.space).rows.tolist() == [[0]]
    assert index.add_space(other) == 1
    assert other.texts == ["boom"]
    assert index.search(other.encode_queries(["boom"]), 1, space=other.space).rows.tolist() == [[2]]


@pytest.mark.parametrize(("storage", "row_bytes"), [("fp16", 32), ("fp32", 64), ("int8", 20)])
def test_storages_differ_in_size_and_little_else(tmp_path, encoder, storage, row_bytes):
    with Index.create(tmp_path / "kb", encoder.space, storage=storage) as index:
        index.add(corpus(a="red tea", b="green tea", c="blue"), encoder)
        (space,) = index.info()["spaces"].values()
        assert space == {"storage": storage, "rows": 3, "segments": 1, "vectors_bytes": 3 * row_bytes}
        (path,) = (path for path in (tmp_path / "kb" / "vectors").rglob("*") if path.is_file())
        assert path.stat().st_size == 3 * row_bytes
        expected = encoder.encode_documents([index.get(key) for key in "abc"]).vectors
        np.testing.assert_allclose(index.vectors([0, 1, 2]), expected, atol={"int8": 0.004}.get(storage, 0.0005))
        assert index.search(encoder.encode_queries(["green tea"]), 1, space=encoder.space).rows.tolist() == [[1]]
    with pytest.raises(InputError, match="storage is 'fp8', expected one of fp16, fp32, int8"):
        Index.create(tmp_path / "other", encoder.space, storage="fp8")


def test_segments_are_filled_one_after_the_other(tmp_path, encoder, monkeypatch):
    monkeypatch.setattr(segments_module, "SEGMENT_ROWS", 4)
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(corpus(**{f"a{n}": f"word{n}" for n in range(3)}), encoder)
        index.add(corpus(**{f"b{n}": f"word{n}" for n in range(6)}), encoder)
        sizes = {path.name: path.stat().st_size // 32 for path in (tmp_path / "kb" / "vectors").rglob("*.f16")}
        assert sizes == {"000000.f16": 4, "000001.f16": 4, "000002.f16": 1}
        documents = index.documents(range(9))
        expected = encoder.encode_documents(documents).vectors.astype(np.float16)
        np.testing.assert_array_equal(index.vectors(np.arange(9)), expected)


def test_an_export_comes_back_without_embedding(tmp_path, encoder):
    with Index.create(tmp_path / "kb", encoder.space, chunker=LINES) as index:
        documents = [
            Document(id="ä", title="Straße", text="one\ntwo", metadata={"n": [1, 2]}),
            Document(id="b", text="three"),
            Document(id="c", text="four\nfour"),
        ]
        index.add(Corpus.of(documents), encoder)
        index.delete(["b"])
        index.export(tmp_path / "out")
        assert np.load(tmp_path / "out" / "spans.npy").tolist() == [[0, 0, 3], [0, 4, 7], [1, 0, 4], [1, 5, 9]]
        assert np.load(tmp_path / "out" / "vectors.npy").dtype == np.float16
        lines = [json.loads(line) for line in (tmp_path / "out" / "corpus.jsonl").read_text().splitlines()]
        assert lines[0] == {"_id": "ä", "title": "Straße", "text": "one\ntwo", "metadata": {"n": [1, 2]}}
        exported = Exported(tmp_path / "out")
        assert (len(exported), exported.space) == (2, encoder.space)
        with Index.create(tmp_path / "again", exported.space, chunker=LINES) as again:
            again.add(exported.corpus, exported)
            assert again.documents([0, 1]) == [documents[0], documents[2]]
            np.testing.assert_array_equal(again.vectors(np.arange(4)), index.vectors(index.live_rows))
        with Index.create(tmp_path / "whole", exported.space) as whole:
            with pytest.raises(InputError, match="import its own documents into an index with the same chunker"):
                whole.add(exported.corpus, exported)
            assert len(whole) == 0
        with pytest.raises(ArtifactError, match="exists already"):
            index.export(tmp_path / "out")
        (tmp_path / "out" / "vectors.npy").write_bytes(b"short")
        with pytest.raises(ArtifactError, match=r"vectors.npy is damaged"):
            Exported(tmp_path / "out")


def test_a_lost_log_is_noticed(index, encoder):
    index.add(corpus(a="red"), encoder)
    index.close()
    path = index.folder / "index.json"
    content = path.read_text()
    values = json.loads(content)
    assert (values["kind"], values["format"], values["commit"]) == ("routeret index", 2, 1)
    write_witness(index.folder, commit=2)
    with pytest.raises(ArtifactError, match="is at commit 1, but commit 2 had been written"):
        Index.open(index.folder)
    path.write_text(content.replace("1,", "0,"))
    with pytest.raises(ArtifactError, match="not what was written for commit 0"):
        Index.open(index.folder)
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"index.json is damaged.*routeret verify .* --repair"):
        Index.open(index.folder)
    path.unlink()
    with pytest.raises(ArtifactError, match="index.json is missing"):
        Index.open(index.folder)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE documents SET text = 'redd' WHERE number = 0", "document of number 0 is not what was written"),
        ("UPDATE documents SET metadata = '{\"n\": 1}' WHERE number = 1", "number 1 is not what was written"),
        ("UPDATE documents SET content_key = 7 WHERE number = 1", "number 1 is not what was written"),
        ("UPDATE spans SET end = 2 WHERE row = 0", "number 0 is not what was written"),
        ("DELETE FROM spans WHERE row = 1", "there are 2 spans up to row 3, expected 3"),
        ("DELETE FROM documents WHERE number = 0", "are not the numbers 0 to 2"),
        ("DELETE FROM removed", "are not the numbers 0 to 2"),
        ("UPDATE ranges SET first_row = 1", "a range begins at number 0 and row 1"),
        ("DELETE FROM fields", "metadata fields does not agree"),
        ("UPDATE segments SET first_row = 1", "what it keeps of vector file 000000.f16"),
        ("DELETE FROM blocks", "what it keeps of vector file 000000.f16"),
        ("UPDATE spaces SET space = replace(space, 'true', 'false')", "has the content of space"),
    ],
)
def test_verify_finds_what_the_store_should_not_hold(index, encoder, statement, reason):
    index.add(Corpus.of([Document(id=key, text=key, metadata={"n": 0}) for key in ("red", "tea", "sun")]), encoder)
    index.delete(["sun"])
    assert index.verify() == []
    index.close()
    connection = sqlite3.connect(index.folder / "store.sqlite")
    with connection:
        connection.execute(statement)
    connection.close()
    damage = index.verify()
    assert len(damage) >= 1
    assert any(reason in one.reason for one in damage), damage
    assert not any(one.derived for one in damage)
    with pytest.raises(ArtifactError):
        Index.open(index.folder, verify=True)


def test_a_small_call_leaves_the_rest_of_an_interrupted_large_one(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 4)
    source = corpus(**{f"d{n}": f"word{n}" for n in range(12)})
    with Index.create(tmp_path / "kb", HashingEncoder(dim=16).space) as index:
        with pytest.raises(RuntimeError):
            index.add(source, Recording(failing="word9"))
        encoder = Recording()
        assert counts(index.upsert(corpus(d3="word3"), encoder)) == {"added": 1, "resumed": 1}
        assert index.ids() == ["d3"]
        assert index.search(encoder.encode_queries(["word3"]), 9, space=encoder.space).rows.tolist() == [[3]]
        report = index.add(source, encoder)
        assert counts(report) == {"added": 11, "unchanged": 1, "resumed": 7, "spans_embedded": 4}
        assert index.ids() == [f"d{n}" for n in range(12)]
        assert index.verify() == []


def test_a_range_that_would_fall_into_too_many_pieces_is_shown_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(adding_module, "BLOCK_DOCUMENTS", 10)
    monkeypatch.setattr(adding_module, "_MOST_PIECES", 3)
    with Index.create(tmp_path / "kb", HashingEncoder(dim=16).space) as index:
        with pytest.raises(RuntimeError):
            index.add(corpus(**{f"d{n}": f"word{n}" for n in range(11)}), Recording(failing="word10"))
        report = index.add(corpus(d1="word1", d3="word3", d5="word5"), Recording())
        assert counts(report) == {"added": 3, "resumed": 3}
        assert index.ids() == ["d1", "d3", "d5"]
        assert index.info()["staged_documents"] == 0
        assert index.verify() == []


def test_no_file_name_is_given_twice(index, encoder):
    index.add(corpus(a="red"), encoder)
    with Index.open(index.folder) as reader:
        index.delete(["a"])
        index.compact()
        index.add(corpus(b="blue"), encoder)
        (path,) = (index.folder / "vectors").rglob("*.f16")
        assert path.name == "000001.f16"
        np.testing.assert_array_equal(
            reader.vectors([0])[0], encoder.encode_documents(reader.documents([0])).vectors[0].astype(np.float16)
        )


def test_words_of_a_document_that_was_removed_later(index, encoder):
    index.add(corpus(a="red tea", b="green tea"), encoder)
    with Index.open(index.folder) as reader:
        shutil.rmtree(index.folder / "fulltext")
        index.delete(["a"])
        index.add(corpus(c="black tea"), encoder)
        assert index.fulltext.search("tea", 9).numbers.tolist() == [1, 2]
        assert reader.fulltext.search("tea", 9).numbers.tolist() == [0, 1]


def test_a_log_does_not_grow_without_end(index, encoder, monkeypatch):
    monkeypatch.setattr("routeret.index.store.LONG_LOG_BYTES", 200_000)
    monkeypatch.setattr("routeret.index.store_writer.LONG_LOG_BYTES", 200_000)
    index.add(Corpus.of([Document(id=f"d{n}", text=f"word{n} " * 20) for n in range(300)]), encoder)
    for n in range(60):
        index.upsert(corpus(**{f"d{n}": "another text " * 20}), encoder)
    assert (index.folder / "store.sqlite-wal").stat().st_size < 1_000_000


def test_ids_must_be_strings(index, encoder):
    index.add(corpus(a="red"), encoder)
    with pytest.raises(InputError, match=r"ids holds \['a'\] of kind list, expected strings only"):
        index.delete([["a"]])
    with pytest.raises(UnknownDocumentError):
        index.delete(["\ud800"])
    with pytest.raises(InputError, match="k is 2.5, expected a whole number"):
        index.search(encoder.encode_queries(["red"]), 2.5, space=encoder.space)
    index.close()
    with pytest.raises(InputError, match="was closed; open it again"):
        index.get("a")


def test_identical_texts_are_embedded_once(index, encoder):
    report = index.add(corpus(a="red", b="green", c="red", d="blue", e="red"), encoder)
    assert sorted(encoder.texts) == ["blue", "green", "red"]
    assert counts(report) == {"added": 5, "spans_embedded": 3, "spans_reused": 2}
    vectors = index.vectors(np.arange(5))
    np.testing.assert_array_equal(vectors[2], vectors[0])
    np.testing.assert_array_equal(vectors[4], vectors[0])
    expected = HashingEncoder(dim=16).encode_documents([Document("b", "green"), Document("d", "blue")]).vectors
    np.testing.assert_allclose(vectors[[1, 3]], expected, atol=1e-3)


def test_every_text_that_was_cut_is_counted(tmp_path, e5_model):
    from routeret.encoders import TorchEncoder

    encoder = TorchEncoder(e5_model, max_tokens=6, device="cpu")
    with Index.create(tmp_path / "cut", encoder.space) as index:
        report = index.add(corpus(a="bank " * 9, b="bank " * 9, c="tax", d="bank " * 9), encoder)
    assert (report.truncated, report.spans_embedded, report.spans_reused) == (3, 2, 2)
