"""Queries that are documents themselves."""

import pytest

from routeret.evaluation.self_hits import is_itself, without_self_hits
from routeret.types import Document


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a  red\tapple", True), ("Fruit", True), ("Fruit a red apple", True), ("a red", False), ("A red apple", False)],
)
def test_a_query_is_a_document_by_its_words(text, expected):
    assert is_itself(text, Document(id="d", title="Fruit", text="a red\napple")) is expected


def test_hits_of_themselves_go_where_the_text_agrees_too():
    corpus = [Document(id="a", text="a red apple"), Document(id="b", text="a blue boat")]
    run = {"a": {"a": 2.0, "b": 1.0}, "b": {"a": 2.0, "b": 1.0}, "c": {"a": 1.0}}
    texts = {"a": "a red  apple", "b": "where is the boat?"}
    assert without_self_hits(run, texts, corpus) == {"a": {"b": 1.0}, "b": {"a": 2.0, "b": 1.0}, "c": {"a": 1.0}}
    assert run["a"] == {"a": 2.0, "b": 1.0}


def test_the_corpus_is_read_only_where_ids_agree():
    def unread():
        raise AssertionError("read")
        yield

    run = {"q": {"a": 1.0}}
    assert without_self_hits(run, {"q": "apple"}, unread()) is run
