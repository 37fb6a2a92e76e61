"""Queries from files: plain, labelled, and of a BEIR folder."""

import gzip
import json

import pytest

from routeret.errors import CorpusError, InputError
from routeret.labelled import labelled_queries_of, read_labelled_queries, read_queries
from routeret.types import LabelledQuery


def write_lines(path, *values):
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
    return path


def test_plain_queries_are_lines(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text("how?\n\n  wo ist die Tür?  \r\n{why}", encoding="utf-8")
    assert read_queries(path) == ["how?", "wo ist die Tür?", "{why}"]


def test_plain_queries_may_be_compressed(tmp_path):
    path = tmp_path / "questions.txt.gz"
    path.write_bytes(gzip.compress("één\ntwee\n".encode()))
    assert read_queries(path) == ["één", "twee"]


def test_queries_of_json_lines_are_query_or_text(tmp_path):
    path = write_lines(tmp_path / "q.jsonl", {"query": "a"}, {"_id": "1", "text": "b"}, {"query": "c", "text": "d"})
    assert read_queries(path) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"q": "a"}, r"q\.jsonl:1 has no 'query'; it has 'q'"),
        ({}, r"q\.jsonl:1 has no 'query'; it has no fields"),
        ({"query": " "}, r"q\.jsonl:1 has the query ' '"),
        ({"query": 3}, r"q\.jsonl:1 has the query 3"),
    ],
)
def test_an_object_without_a_query_is_named(tmp_path, values, words):
    path = write_lines(tmp_path / "q.jsonl", values)
    with pytest.raises(CorpusError, match=words):
        read_queries(path)


@pytest.mark.parametrize("read", [read_queries, read_labelled_queries])
def test_files_without_a_query_are_refused(tmp_path, read):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"empty\.jsonl is empty; it must hold at least one query"):
        read(empty)
    with pytest.raises(CorpusError, match=r"nothing\.jsonl does not exist"):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(CorpusError, match="is a folder"):
        read(tmp_path)


def test_labelled_queries(tmp_path):
    path = write_lines(
        tmp_path / "l.jsonl",
        {"query": "one", "relevant": ["d1"], "note": "kept by somebody"},
        {"text": "two", "relevant": ["d2", "d1", "d2"]},
    )
    assert read_labelled_queries(path) == [LabelledQuery("one", ("d1",)), LabelledQuery("two", ("d2", "d1"))]


@pytest.mark.parametrize(
    ("relevant", "words"),
    [
        ([], r"l\.jsonl:2 has no relevant document"),
        ("d1", r"l\.jsonl:2 has 'd1' as 'relevant', expected a list of document ids"),
        (None, r"l\.jsonl:2 has None as 'relevant'"),
        ([1], r"l\.jsonl:2 has \[1\] as 'relevant'"),
        ([""], r"l\.jsonl:2 has \[''\] as 'relevant'"),
    ],
)
def test_a_line_without_relevant_ids_is_named(tmp_path, relevant, words):
    path = write_lines(tmp_path / "l.jsonl", {"query": "a", "relevant": ["d"]}, {"query": "b", "relevant": relevant})
    with pytest.raises(CorpusError, match=words):
        read_labelled_queries(path)


def test_a_limit_draws_some_in_their_order(tmp_path):
    path = write_lines(tmp_path / "l.jsonl", *({"query": f"q{n:02}", "relevant": ["d"]} for n in range(50)))
    drawn = [query.text for query in read_labelled_queries(path, limit=10, seed=1)]
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn)
    assert drawn == [query.text for query in read_labelled_queries(path, limit=10, seed=1)]
    assert drawn != [query.text for query in read_labelled_queries(path, limit=10, seed=2)]
    assert len(read_labelled_queries(path, limit=51)) == 50
    assert len(read_labelled_queries(path, limit=1)) == 1
    with pytest.raises(InputError, match="the limit is 0, expected at least 1"):
        read_labelled_queries(path, limit=0)


@pytest.fixture
def beir_folder(tmp_path):
    folder = tmp_path / "faq"
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", *({"_id": f"d{n}", "text": f"text {n}"} for n in range(3)))
    write_lines(folder / "queries.jsonl", *({"_id": f"q{n}", "text": f"question {n}"} for n in range(3)))
    lines = ["query-id\tcorpus-id\tscore", "q2\td0\t1", "q0\td1\t2", "q0\td2\t0", "q1\td2\t0"]
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "qrels" / "dev.tsv").write_text("q1\td2\t0\n", encoding="utf-8")
    return folder


def test_a_split_gives_queries_with_documents_of_a_grade_above_0(beir_folder):
    expected = [LabelledQuery("question 0", ("d1",)), LabelledQuery("question 2", ("d0",))]
    assert labelled_queries_of(beir_folder, split="train") == expected
    prefixed = labelled_queries_of(beir_folder, split="train", prefix_ids=True)
    assert [query.relevant for query in prefixed] == [("faq/d1",), ("faq/d0",)]
    assert len(labelled_queries_of(beir_folder, split="train", limit=1)) == 1


def test_a_split_without_relevant_documents_is_refused(beir_folder):
    with pytest.raises(CorpusError, match="split 'dev' of .*faq has no query with a relevant document"):
        labelled_queries_of(beir_folder, split="dev")
    with pytest.raises(CorpusError, match="no split 'test'; it has: dev, train"):
        labelled_queries_of(beir_folder, split="test")


def test_a_seed_below_zero_is_named(tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "a", "relevant": ["d"]}\n', encoding="utf-8")
    with pytest.raises(InputError, match="the seed is -1, expected a whole number of at least 0"):
        read_labelled_queries(path, limit=1, seed=-1)
