"""What filters mean for hand-made metadata, how they are read, and what is said about wrong ones."""

import json
import re
from pathlib import Path

import pytest

from routeret.conditions import AllOf, Exists, InRange, Kind, Limit, Not, OneOf, Value, leaves
from routeret.errors import InputError
from routeret.filters import parse_filter, read_filter

PAGE = Path(__file__).parents[2] / "docs" / "filters.md"

FULL = {
    "lang": "en",
    "year": 2021,
    "rating": 4.5,
    "tags": ["a", "b"],
    "mixed": [1, "x", None, [2.5, True]],
    "free": True,
    "gone": None,
    "none": [],
    "author": {"name": "Zoë", "born": {"year": 1970}, "notes": {}},
    "editors": [{"name": "Ana", "age": 30}, {"name": "Bo", "age": 50}],
    "with.dot": {"in.side": 1},
    "": "nameless",
    "eq": 7,
}


@pytest.mark.parametrize(
    ("wanted", "is_match"),
    [
        ({"lang": "en"}, True),
        ({"lang": "de"}, False),
        ({"lang": "EN"}, False),
        ({"lang": "en", "year": 2021}, True),
        ({"lang": "en", "year": 2020}, False),
        ({"year": 2021.0}, True),
        ({"year": "2021"}, False),
        ({"lang": {"eq": "en"}}, True),
        ({"lang": {"ne": "en"}}, False),
        ({"lang": {"ne": "de"}}, True),
        ({"missing": {"ne": "de"}}, True),
        ({"missing": "de"}, False),
        # order
        ({"year": {"gt": 2020}}, True),
        ({"year": {"gt": 2021}}, False),
        ({"year": {"gte": 2021}}, True),
        ({"year": {"lt": 2021}}, False),
        ({"year": {"lte": 2021}}, True),
        ({"year": {"gte": 2020, "lt": 2024}}, True),
        ({"year": {"gte": 2020, "lt": 2021}}, False),
        ({"year": {"gt": 2020.5}}, True),
        ({"year": {"gte": "1"}}, False),
        ({"lang": {"gt": 1}}, False),
        ({"lang": {"gte": "e", "lt": "f"}}, True),
        ({"lang": {"gt": "en"}}, False),
        ({"author.name": {"gt": "Zoe"}}, True),
        ({"missing": {"lt": 5}}, False),
        # one and the same value is within a range
        ({"editors.age": {"gt": 35, "lt": 45}}, False),
        ({"editors.age": {"gt": 45, "lt": 55}}, True),
        ({"and": [{"editors.age": {"gt": 35}}, {"editors.age": {"lt": 45}}]}, True),
        # lists
        ({"tags": "a"}, True),
        ({"tags": "c"}, False),
        ({"tags": {"ne": "a"}}, False),
        ({"tags": {"ne": "c"}}, True),
        ({"tags": {"in": ["c", "b"]}}, True),
        ({"tags": {"any": ["c", "b"]}}, True),
        ({"tags": {"any": ["c", "d"]}}, False),
        ({"tags": {"all": ["b", "a", "b"]}}, True),
        ({"tags": {"all": ["a", "c"]}}, False),
        ({"tags": {"not_in": ["c", "d"]}}, True),
        ({"tags": {"not_in": ["c", "b"]}}, False),
        ({"missing": {"not_in": ["a"]}}, True),
        ({"lang": {"in": ["de", "en"]}}, True),
        ({"lang": {"any": ["en"]}}, True),
        ({"lang": {"all": ["en"]}}, True),
        ({"none": {"ne": "a"}}, True),
        ({"none": None}, False),
        ({"mixed": {"all": [1, "x", None, 2.5, True]}}, True),
        ({"mixed": {"gt": 2, "lt": 3}}, True),
        ({"mixed": {"gt": 3}}, False),
        # kinds
        ({"free": True}, True),
        ({"free": 1}, False),
        ({"free": "true"}, False),
        ({"free": {"gte": 0}}, False),
        ({"year": {"in": [True, None, "2021"]}}, False),
        ({"gone": None}, True),
        ({"gone": "null"}, False),
        ({"gone": {"ne": None}}, False),
        ({"missing": None}, False),
        ({"missing": {"ne": None}}, True),
        ({"missing": {"ne": None, "exists": True}}, False),
        ({"lang": {"ne": None, "exists": True}}, True),
        # existence
        ({"lang": {"exists": True}}, True),
        ({"lang": {"exists": False}}, False),
        ({"gone": {"exists": True}}, True),
        ({"none": {"exists": True}}, True),
        ({"author": {"exists": True}}, True),
        ({"author.notes": {"exists": True}}, True),
        ({"auth": {"exists": True}}, False),
        ({"with": {"exists": True}}, True),
        ({"missing": {"exists": False}}, True),
        # names
        ({"author.name": "Zoë"}, True),
        ({"author.name": "Zoe\u0308"}, False),
        ({"author.born.year": {"lt": 1980}}, True),
        ({"author": "Zoë"}, False),
        ({"author.born": 1970}, False),
        ({"editors.name": "Bo"}, True),
        ({"editors.name": "Ana", "editors.age": 50}, True),
        ({"with.dot.in.side": 1}, True),
        ({"": "nameless"}, True),
        ({"eq": 7}, True),
        # joined
        ({"and": [{"lang": "en"}, {"year": 2021}]}, True),
        ({"and": [{"lang": "en"}, {"year": 2020}]}, False),
        ({"or": [{"lang": "de"}, {"year": 2021}]}, True),
        ({"or": [{"lang": "de"}, {"year": 2020}]}, False),
        ({"not": {"lang": "de"}}, True),
        ({"not": {"lang": "en", "year": 2020}}, True),
        ({"not": {"lang": "en"}}, False),
        ({"not": {"missing": "x"}}, True),
        ({"not": {"not": {"lang": "en"}}}, True),
        ({"lang": "en", "or": [{"year": 1}, {"tags": "b"}], "not": {"tags": "z"}}, True),
        ({"lang": {"ne": "de", "in": ["en", "fr"], "gte": "a"}}, True),
    ],
)
def test_meaning_by_hand(wanted, is_match):
    assert parse_filter(wanted).matches(FULL) is is_match
    assert read_filter(json.dumps(wanted)) == parse_filter(wanted)


def test_documents_without_metadata():
    assert not parse_filter({"a": 1}).matches({})
    assert parse_filter({"a": {"ne": 1}}).matches({})
    assert not parse_filter({"a": {"exists": True}}).matches({})


@pytest.mark.parametrize(
    ("stored", "wanted", "is_match"),
    [
        (2**53 + 1, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
        (2**53 + 1, float(2**53), False),
        (2**53 + 1, {"gt": float(2**53)}, True),
        (2**63 - 1, 2**63 - 1, True),
        (2**63 - 1, {"lt": float(2**63)}, True),
        (-(2**63), {"lte": -(2**63)}, True),
        (10**30, 1e30, True),
        (10**30 + 1, 1e30, True),
        (10**30, {"gt": 2**63 - 1}, True),
        (-(10**400), {"lt": -1e308}, True),
        (float("nan"), {"lte": 0}, False),
        (float("nan"), {"gt": 0}, False),
        (float("nan"), {"exists": True}, True),
        (float("inf"), {"gt": 1e308}, True),
        (-0.0, 0, True),
        ("\ud83d", "\ud83d", True),
        ("\ud83d", {"lt": "\ue000"}, True),
        ("a\0b", "a", False),
        ("😀", {"gt": "\uffff"}, True),
    ],
)
def test_unusual_values(stored, wanted, is_match):
    assert parse_filter({"a": wanted}).matches({"a": stored}) is is_match
    assert parse_filter({"a": wanted}).matches({"a": [[], [stored]]}) is is_match


def test_what_is_read():
    text, number = Value(Kind.STRING, "en"), Value(Kind.NUMBER, 2020)
    assert parse_filter({"lang": "en"}) == OneOf("lang", frozenset([text]))
    assert parse_filter({"a": {"not_in": ["en", "en"]}}) == Not(OneOf("a", frozenset([text])))
    assert parse_filter({"year": {"gte": 2020}, "a": {"exists": False}}) == AllOf(
        (InRange("year", frozenset([Limit("gte", number)])), Not(Exists("a")))
    )
    parsed = parse_filter({"or": [{"b": 1}, {"not": {"a": {"exists": True, "lt": 3}}}]})
    assert [leaf.field for leaf in leaves(parsed)] == ["b", "a", "a"]
    assert parse_filter(parsed) is parsed


def test_equal_filters_mean_the_same():
    assert parse_filter({"a": True}) != parse_filter({"a": 1})
    assert parse_filter({"a": 1}) == parse_filter({"a": {"eq": 1.0}})
    assert parse_filter({"a": {"in": ["x", "y"]}}) == parse_filter({"a": {"any": ["y", "x"]}})
    assert hash(parse_filter({"a": {"lt": 1, "gt": 0}})) == hash(parse_filter({"a": {"gt": 0, "lt": 1}}))


def nested(depth):
    return {"a": 1} if depth == 0 else {"not": nested(depth - 1)}


@pytest.mark.parametrize(
    ("wanted", "place", "found", "expected"),
    [
        ([], "the filter", "a list", "expected a mapping"),
        ("lang=en", "the filter", "the string 'lang=en'", "expected a mapping"),
        (None, "the filter", "null", "expected a mapping"),
        ({}, "the filter", "empty", "at least one condition"),
        ({1: "a"}, "the filter", "the name the number 1", "expected strings"),
        ({"and": []}, "filter and", "an empty list", "at least one of its filters"),
        ({"or": {"a": 1}}, "filter or", "a mapping", "expected a list of filters"),
        ({"or": [{"a": 1}, 5]}, "filter or[1]", "the number 5", "expected a mapping"),
        ({"not": [{"a": 1}]}, "filter not", "a list", "expected a mapping"),
        ({"not": {"and": [{"a": 1}, {}]}}, "filter not.and[1]", "empty", "at least one condition"),
        ({"year": {}}, "filter year", "empty", "at least one condition"),
        ({"year": {"$gte": 1}}, "filter year", "the operator '$gte'", "did you mean 'gte'"),
        ({"year": {"not": {"gte": 1}}}, "filter year", "the operator 'not'", "write {'not': ...} around the field"),
        ({"author": {"name": "x"}}, "filter author", "the operator 'name'", "'author.name'"),
        ({"year": {3: 1}}, "filter year", "the name the number 3", "expected strings"),
        ({"tags": ["a"]}, "filter tags", "a list", "{'any': [...]}"),
        ({"tags": {"eq": ["a"]}}, "filter tags.eq", "a list", "{'any': [...]}"),
        ({"a": {"ne": {"b": 1}}}, "filter a.ne", "a mapping", "expected a string, a number, true, false or null"),
        ({"a": {"in": "en"}}, "filter a.in", "the string 'en'", "expected a list of single values"),
        ({"a": {"any": []}}, "filter a.any", "an empty list", "at least one"),
        ({"a": {"all": [1, [2]]}}, "filter a.all[1]", "a list", "expected one value"),
        ({"a": {"not_in": [b"x"]}}, "filter a.not_in[0]", "a bytes", "expected a string"),
        ({"a": {"exists": 1}}, "filter a.exists", "the number 1", "expected true or false"),
        ({"or": [{"b": 1}, {"year": {"gte": [1]}}]}, "filter or[1].year.gte", "a list", "a number or a string"),
        ({"a": {"gt": None}}, "filter a.gt", "null", "a number or a string"),
        ({"a": {"lt": True}}, "filter a.lt", "true", "a number or a string"),
        ({"a": {"gt": 1, "lt": "2"}}, "filter a", "a number (gt) and a string (lt)", "limits of one kind"),
        ({"a": {"gt": "é" * 129}}, "filter a.gt", "more than 256 bytes", "cut it"),
        ({"a": float("nan")}, "filter a", "nan", "expected a finite number"),
        ({"a": {"lt": float("-inf")}}, "filter a.lt", "-inf", "expected a finite number"),
        ({"a": 2**63}, "filter a", "beyond 64 bits", "as strings"),
        ({"a": {"in": [0, -(2**63) - 1]}}, "filter a.in[1]", "beyond 64 bits", "as strings"),
        (nested(33), "filter not.not.not", "more than 32 levels", "flatter"),
    ],
)
def test_wrong_filters(wanted, place, found, expected):
    with pytest.raises(InputError) as error:
        parse_filter(wanted)
    message = str(error.value)
    assert message.startswith(place)
    assert message.removeprefix(place)[:1] in " ."
    assert found in message
    assert expected in message


def test_the_deepest_filter():
    assert parse_filter(nested(32)).matches({"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lang=en", "the filter 'lang=en' is not valid JSON"),
        ("", "the filter '' is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "is not valid JSON"),
        ("[1]", "the filter is a list, expected a mapping"),
        ('{"a": NaN}', "filter a is nan, expected a finite number"),
        ('{"a": 1, "b": 2, "a": 3}', "the filter names 'a' twice"),
        ('{"year": {"gt": 1, "gt": 2}}', "the filter names 'gt' twice"),
    ],
)
def test_wrong_text(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read_filter(text)


def test_the_page_shows_filters_that_can_be_read():
    shown = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    filters = [line for block in shown for line in block.splitlines()]
    assert len(filters) > 5
    for text in filters:
        read_filter(text)
