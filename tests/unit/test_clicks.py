"""Labels from a click log: clicks over expected clicks, by hand."""

import gzip
import json

import pytest

from routeret.clicks import ClickRecord, clicked_queries, labelled_by_clicks, read_clicks
from routeret.errors import CorpusError, InputError
from routeret.types import LabelledQuery


def write_lines(path, *values):
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
    return path


def test_the_lines_of_a_log(tmp_path):
    path = write_lines(
        tmp_path / "log.jsonl",
        {"query": " Is it  free? ", "shown": ["a", "b"], "clicked": ["b", "b"], "time": 3},
        {"text": "when", "clicked": ["c"]},
        {"query": "when", "shown": ["a"], "clicked": []},
    )
    expected = [
        ClickRecord("Is it free?", ("a", "b"), ("b",)),
        ClickRecord("when", None, ("c",)),
        ClickRecord("when", ("a",), ()),
    ]
    assert read_clicks(path) == expected
    compressed = tmp_path / "log.jsonl.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_clicks(compressed) == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"clicked": ["a"]}, "log.jsonl:2 has no 'query'"),
        ({"query": " ", "clicked": ["a"]}, "log.jsonl:2 has the query ' '"),
        ({"query": "q"}, "log.jsonl:2 has None as 'clicked'"),
        ({"query": "q", "clicked": "a"}, "log.jsonl:2 has 'a' as 'clicked', expected a list of document ids"),
        ({"query": "q", "clicked": [1]}, r"log.jsonl:2 has \[1\] as 'clicked'"),
        ({"query": "q", "clicked": [""]}, r"log.jsonl:2 has \[''\] as 'clicked'"),
        ({"query": "q", "clicked": ["a"], "shown": "a"}, "log.jsonl:2 has 'a' as 'shown'"),
        ({"query": "q", "clicked": [], "shown": ["b", "a", "b"]}, "log.jsonl:2 shows document 'b' twice"),
        ({"query": "q", "clicked": ["z"], "shown": ["a", "b"]}, "log.jsonl:2 has a click on 'z'.* the 2 documents"),
        ([1], "log.jsonl:2 is a JSON list"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, words):
    path = write_lines(tmp_path / "log.jsonl", {"query": "good", "clicked": ["a"]}, line)
    with pytest.raises(CorpusError, match=words):
        read_clicks(path)


def test_a_log_without_a_line_or_a_file_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"nothing\.jsonl does not exist"):
        read_clicks(tmp_path / "nothing.jsonl")
    with pytest.raises(CorpusError, match="is empty"):
        read_clicks(write_lines(tmp_path / "log.jsonl"))


def test_a_place_at_the_top_explains_clicks():
    # Rank 1: 8 clicks in 10 showings, rank 2: 1 in 10, together 9 / 20. With one more showing of that mean:
    # rank 1 (8 + .45) / 11 = .768, rank 2 (1 + .45) / 11 = .132.
    top, second = ("top", "second"), ("second", "top")
    records = [ClickRecord(f"other {number}", ("x", "y"), ("x",)) for number in range(7)]
    records += [ClickRecord("q", top, ("top",)), ClickRecord("q", top, ("second",)), ClickRecord("q", top, ())]
    found = {query.text: query.relevant for query in labelled_by_clicks(records)}
    # top: 1 click where 3 * .768 = 2.3 are expected; second: 1 click where 3 * .132 = .4 are.
    assert found["q"] == ("second",)
    assert found["other 0"] == ("x",)
    # Clicked in the second place twice more, top has 3 clicks. Rank 1 is now (8 + 11 / 24) / 13 = .651, rank 2
    # (3 + 11 / 24) / 13 = .266: expected are 3 * .651 + 2 * .266 = 2.48.
    records += [ClickRecord("q", second, ("top",))] * 2
    assert labelled_by_clicks(records)[-1] == LabelledQuery("q", ("top",))


def test_what_is_always_clicked_always_answers():
    records = [ClickRecord("a", ("x", "y"), ("x",)), ClickRecord("b", ("x",), ("x",))]
    assert labelled_by_clicks(records) == [LabelledQuery("a", ("x",)), LabelledQuery("b", ("x",))]
    everything = [ClickRecord("a", ("x", "y"), ("x", "y"))] * 3
    assert labelled_by_clicks(everything) == [LabelledQuery("a", ("x", "y"))]


def test_without_what_was_shown_clicks_are_counted():
    records = [ClickRecord("q", None, ("a",)), ClickRecord("q", None, ("b", "a")), ClickRecord("r", None, ())]
    assert labelled_by_clicks(records) == [LabelledQuery("q", ("a", "b"))]
    assert labelled_by_clicks(records, least_clicks=2) == [LabelledQuery("q", ("a",))]
    assert labelled_by_clicks(records, least_clicks=3) == []


def test_equal_queries_are_joined_in_their_first_spelling(tmp_path):
    path = write_lines(
        tmp_path / "log.jsonl",
        {"query": "Straße gesperrt", "clicked": ["a"]},
        {"query": "other", "clicked": ["a"]},
        {"query": "STRASSE  gesperrt", "clicked": ["b"]},
    )
    assert clicked_queries(path) == [LabelledQuery("Straße gesperrt", ("a", "b")), LabelledQuery("other", ("a",))]
    assert clicked_queries(path, limit=1) in ([one] for one in clicked_queries(path))


def test_a_log_whose_clicks_say_nothing_is_refused(tmp_path):
    path = write_lines(tmp_path / "log.jsonl", {"query": "q", "clicked": ["a"]})
    with pytest.raises(CorpusError, match="no document with at least 2 clicks"):
        clicked_queries(path, least_clicks=2)
    with pytest.raises(InputError, match="least number of clicks is 0"):
        clicked_queries(path, least_clicks=0)
    with pytest.raises(InputError, match="the limit is 0"):
        clicked_queries(path, limit=0)


@pytest.mark.parametrize(("clicks", "showings"), [(1, 6), (3, 7), (7, 10), (3, 13)])
def test_exactly_the_clicks_expected_are_enough(clicks, showings):
    # One document, always shown alone, 6 times and clicked once: its places explain 6 times (1 + 1/6) / 7 = 1/6.
    records = [ClickRecord("q", ("a",), ("a",) if number < clicks else ()) for number in range(showings)]
    assert labelled_by_clicks(records) == [LabelledQuery("q", ("a",))]
