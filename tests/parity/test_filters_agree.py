"""Finding documents in the table of fields gives what asking the filter about every document gives."""

import json
import math
import sqlite3
from contextlib import closing, contextmanager

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from routeret.errors import InputError
from routeret.filters import parse_filter, read_filter
from routeret.index.fields import (
    FIELD_TABLES,
    damaged_fields,
    delete_fields,
    field_rows,
    insert_fields,
    known_fields,
    matching,
    renew_fields,
)

NAMES = ["a", "b", "a.b", "ä", "b.", "", "a.b.c"]
single = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, -0.0, 1.0, 2.5, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 1e300]),
    st.sampled_from(["", "a", "b", "ab", "1", "true", "null", "é", "😀", "\uffff", "\ud83d", "a\0", "x" * 256]),
    st.text(max_size=2),
)
stored = st.one_of(
    single, st.sampled_from([2**63, 10**30, 10**400, math.inf, -math.inf, math.nan, "x" * 257, "x" * 256 + "y"])
)
values = st.recursive(
    stored,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
metadata = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)


def ranges(limit):
    return st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), limit, min_size=1, max_size=3)


conditions = st.one_of(
    single,
    ranges(st.integers(-3, 3) | st.sampled_from([0.5, 2**53, float(2**53), 2**63 - 1, 1e300])),
    ranges(st.sampled_from(["", "a", "ab", "é", "\ud83d", "\uffff", "x" * 256]) | st.text(max_size=2)),
    st.fixed_dictionaries({}, optional={"eq": single, "ne": single, "exists": st.booleans()}).filter(bool),
    st.dictionaries(
        st.sampled_from(["in", "not_in", "any", "all"]), st.lists(single, min_size=1, max_size=3), min_size=1
    ),
)
filters = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), conditions, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)


class Table:
    """A store with nothing but the table of fields and the documents that it is derived from."""

    def __init__(self, connection):
        self.connection = connection
        connection.executescript(FIELD_TABLES)
        connection.execute("CREATE TABLE documents (number INTEGER PRIMARY KEY, metadata TEXT NOT NULL)")

    def select(self, query, *parameters):
        return self.connection.execute(query, parameters).fetchall()

    def insert(self, first, documents):
        numbered = list(enumerate(documents, start=first))
        insert_fields(self.connection, (row for number, one in numbered for row in field_rows(number, one)))
        rows = [(number, json.dumps(one)) for number, one in numbered]
        self.connection.executemany("INSERT INTO documents VALUES (?, ?)", rows)

    def delete(self, numbers):
        for number in numbers:
            ((text,),) = self.select("SELECT metadata FROM documents WHERE number = ?", number)
            delete_fields(self.connection, field_rows(number, json.loads(text)))
            self.connection.execute("DELETE FROM documents WHERE number = ?", (number,))

    def rows(self):
        return [
            (name, value, number)
            for name, value, _, packed in self.select("SELECT * FROM fields")
            for number in np.sort(np.frombuffer(packed, dtype="<u4")).tolist()
        ]


@contextmanager
def table(documents=(), first=0):
    with closing(sqlite3.connect(":memory:")) as connection:
        made = Table(connection)
        made.insert(first, documents)
        yield made


def all_numbers(documents):
    return np.ones(len(documents), dtype=np.bool_)


@settings(max_examples=500, deadline=None)
@given(documents=st.lists(metadata, max_size=8), wanted=filters)
@example(documents=[{"a": 2**53 + 1}, {"a": float(2**53)}], wanted={"a": {"gt": 2**53}})
@example(documents=[{"a": [1, 1.0, True]}, {"a": [True]}], wanted={"a": 1})
def test_the_table_finds_what_matches(documents, wanted):
    documents = json.loads(json.dumps(documents))
    parsed = read_filter(json.dumps(wanted))
    assert parsed == parse_filter(wanted)
    with table(documents) as store:
        # One more document has all fields, so that none is unknown.
        store.insert(len(documents), [dict.fromkeys(NAMES, 0)])
        found = matching(store.select, parsed, alive=all_numbers(documents))
        assert found.tolist() == [parsed.matches(one) for one in documents]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), documents=st.lists(metadata, min_size=1, max_size=8))
def test_what_is_deleted_leaves_nothing(data, documents):
    documents = json.loads(json.dumps(documents))
    first = 4096 - data.draw(st.integers(0, 8))
    gone = data.draw(st.sets(st.integers(first, first + len(documents) - 1)))
    with table(documents, first) as store, table() as expected:
        assert not damaged_fields(store.select)
        store.delete(gone)
        for number, one in enumerate(documents, start=first):
            if number not in gone:
                expected.insert(number, [one])
        assert store.rows() == expected.rows()
        assert not damaged_fields(store.select)
        renew_fields(store.connection)
        assert store.rows() == expected.rows()


def test_blocks_and_batches():
    documents = [{"year": number % 7, "tags": ["even" if number % 2 == 0 else "odd", number]} for number in range(9000)]
    with table(documents[:5]) as store:
        for start, end in ((5, 6), (6, 5000), (5000, 9000)):
            store.insert(start, documents[start:end])
        for wanted in (
            {"tags": "even", "year": {"gte": 3}},
            {"tags": {"in": list(range(0, 9000, 3))}},
            {"tags": {"gt": 8990}},
            {"not": {"tags": {"lt": 4097}}},
        ):
            parsed = parse_filter(wanted)
            found = matching(store.select, parsed, alive=all_numbers(documents))
            assert found.tolist() == [parsed.matches(one) for one in documents]
        assert not damaged_fields(store.select)


def test_only_documents_are_found():
    with table([{"a": 1}, {"a": 2}, {"a": 1}, {"a": 1}]) as store:
        alive = np.array([True, True, False])
        assert matching(store.select, parse_filter({"a": 1}), alive=alive).tolist() == [True, False, False]
        assert matching(store.select, parse_filter({"a": {"ne": 1}}), alive=alive).tolist() == [False, True, False]
        assert alive.tolist() == [True, True, False]


def test_rows_by_hand():
    given = {"a": [1, 1.0, True, "é"], "b": {"c": None, "d": [], "e": [{"f": 2.5}, {"f": 3}]}, "n": float("nan")}
    assert sorted(field_rows(5, given), key=repr) == [
        (b"a", "true", 5),
        (b"a", 1, 5),
        (b"a", "é".encode(), 5),
        (b"b.c", "null", 5),
        (b"b.d", "empty", 5),
        (b"b.e.f", 2.5, 5),
        (b"b.e.f", 3, 5),
        (b"n", "nan", 5),
    ]


def test_deep_metadata():
    deep = {"a": 1}
    for _ in range(300):
        deep = {"a": [deep]}
    with table([deep]) as store:
        wanted = parse_filter({".".join("a" * 301): 1})
        assert wanted.matches(deep)
        assert matching(store.select, wanted, alive=np.array([True])).tolist() == [True]


def test_unknown_fields():
    documents = [{"lang": "en", "year": 2020, "author": {"name": "x"}}] + [{f"f{number}": 1} for number in range(20)]
    with table(documents) as store:
        alive = all_numbers(documents)
        for wanted in ({"langg": "en"}, {"not": {"langg": "en"}}, {"or": [{"lang": "en"}, {"langg": {"gt": "a"}}]}):
            with pytest.raises(InputError, match="the field 'langg', which no document has.*: 'lang', .* and 13 more"):
                matching(store.select, parse_filter(wanted), alive=alive)
        with pytest.raises(InputError, match="'author.name'"):
            matching(store.select, parse_filter({"author": "x"}), alive=alive)
        for wanted, n_found in (
            ({"archived": {"exists": True}}, 0),
            ({"archived": {"exists": False}}, 21),
            ({"archived": {"exists": True, "eq": True}}, 0),
            ({"author": {"exists": True}}, 1),
        ):
            assert matching(store.select, parse_filter(wanted), alive=alive).sum() == n_found
        assert known_fields(store.select)[:3] == ("author.name", "f0", "f1")
        assert len(known_fields(store.select)) == 23


@pytest.mark.parametrize("documents", [[], [{}], [{}, {}]])
def test_documents_without_fields(documents):
    with table(documents) as store:
        assert known_fields(store.select) == ()
        assert not damaged_fields(store.select)
        wanted = parse_filter({"a": {"ne": 1}})
        nobody = np.zeros(len(documents), dtype=np.bool_)
        assert matching(store.select, wanted, alive=nobody).tolist() == nobody.tolist()
        if documents:
            with pytest.raises(InputError, match="no document has metadata"):
                matching(store.select, wanted, alive=all_numbers(documents))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE fields SET numbers = x'05000000' WHERE name = x'61'",
        "UPDATE fields SET numbers = x'0000' WHERE name = x'61'",
        "UPDATE fields SET numbers = CAST(numbers AS TEXT) WHERE name = x'61'",
        "UPDATE fields SET numbers = CAST(numbers || numbers AS BLOB) WHERE name = x'61'",
        "UPDATE fields SET value = 1.5 WHERE name = x'61'",
        "UPDATE fields SET name = x'63' WHERE name = x'61'",
        "UPDATE fields SET block = 1 WHERE name = x'61'",
        "UPDATE fields SET value = 'one' WHERE name = x'62'",
        "DELETE FROM fields WHERE name = x'62'",
        "INSERT INTO fields VALUES (x'62', 7, 0, x'00000000')",
        "UPDATE documents SET metadata = '{}' WHERE number = 0",
    ],
)
def test_damage_is_seen(change):
    with table([{"a": 1, "b": "one"}, {"a": 1}]) as store:
        assert not damaged_fields(store.select)
        store.connection.execute(change)
        assert damaged_fields(store.select)
        store.connection.execute('UPDATE documents SET metadata = \'{"a": 1, "b": "one"}\' WHERE number = 0')
        renew_fields(store.connection)
        assert not damaged_fields(store.select)
