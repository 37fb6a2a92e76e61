"""The table of metadata values inside an index's store, and finding documents by a filter.

The table is derived from the documents' metadata and changes in the same transaction. One row holds the numbers of all
documents of a block of 4,096 that have one value in one field, so that a filter that half of a million documents match
reads some hundred rows, and adding a block of documents writes one row for each value in it.

Names are UTF-8, and dotted where mappings lie inside each other. The storage class of a value tells its kind apart,
and SQLite orders the classes: numbers, then TEXT for the few values without an order, then BLOB for strings in UTF-8.
Strings are BLOBs since JSON may hold half a surrogate pair, which TEXT cannot.
"""

import difflib
import hashlib
import json
import math
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import chain
from typing import Any

import numpy as np

from routeret.conditions import (
    AllOf,
    AnyOf,
    Exists,
    Filter,
    InRange,
    Limit,
    Not,
    OneOf,
    fits,
    leaves,
    plain_number,
)
from routeret.errors import InputError
from routeret.filters import LONGEST_LIMIT
from routeret.types import BoolArray

FIELD_TABLES = """
CREATE TABLE fields (
    name BLOB NOT NULL,
    value NOT NULL,
    block INTEGER NOT NULL,
    numbers BLOB NOT NULL,
    PRIMARY KEY (name, value, block)
) WITHOUT ROWID;
"""

Select = Callable[..., list[Any]]
"""Gives all rows of a query: ``select(sql, *parameters)``."""

StoredValue = int | float | str | bytes
FieldRow = tuple[bytes, StoredValue, int]
"""Name, value and document number."""

_Key = tuple[bytes, StoredValue, int]

_BLOCK_BITS = 12
_NUMBERS = np.dtype("<u4")
_EMPTY = "empty"  # a list or mapping that holds nothing: the field exists, and equals no value
AT_ONCE = 500
"""Parameters of one statement; SQLite's older builds take 999."""
_DOCUMENTS_AT_ONCE = 1 << _BLOCK_BITS
_SQL = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NAMES_SHOWN = 10


def field_rows(number: int, metadata: Mapping[str, Any]) -> Iterator[FieldRow]:
    """Every value of a document's metadata with the name of its field; the same one in a field comes once.

    Args:
        number: the document's number, below 2 ** 32.
        metadata: as ``json.loads`` gives it.
    """
    rows: dict[FieldRow, None] = {}
    pending = list(metadata.items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            pending.extend((f"{name}.{key}", inner) for key, inner in value.items())
        elif isinstance(value, list | tuple) and value:
            pending.extend((name, element) for element in value)
        else:
            rows[_bytes(name), _stored(value), number] = None
    return iter(rows)


def insert_fields(connection: sqlite3.Connection, rows: Iterable[FieldRow]) -> None:
    """Add the rows of documents that have none yet, some thousand documents at once; the caller holds a transaction."""
    connection.executemany(
        # Joining BLOBs gives TEXT of the same bytes.
        "INSERT INTO fields VALUES (?, ?, ?, ?) ON CONFLICT (name, value, block) "
        "DO UPDATE SET numbers = CAST(numbers || excluded.numbers AS BLOB)",
        ((*key, _packed(numbers)) for key, numbers in _grouped(rows).items()),
    )


def delete_fields(connection: sqlite3.Connection, rows: Iterable[FieldRow]) -> None:
    """Take out the rows of some documents, as they were inserted; the caller holds a transaction."""
    where = "WHERE name = ? AND value = ? AND block = ?"
    for key, gone in _grouped(rows).items():
        # Several times faster than np.isin on so few numbers.
        stays = np.ones(1 << _BLOCK_BITS, dtype=np.bool_)
        stays[np.array(gone) % len(stays)] = False
        for (packed,) in connection.execute(f"SELECT numbers FROM fields {where}", key).fetchall():
            numbers = np.frombuffer(packed, dtype=_NUMBERS)
            left = numbers[stays[numbers % len(stays)]]
            if len(left):
                connection.execute(f"UPDATE fields SET numbers = ? {where}", (left.tobytes(), *key))
            else:
                connection.execute(f"DELETE FROM fields {where}", key)


def renew_fields(connection: sqlite3.Connection) -> None:
    """Derive the whole table again from the documents that are stored; the caller holds a transaction."""
    connection.execute("DELETE FROM fields")
    for rows in _document_rows(lambda query, *parameters: connection.execute(query, parameters).fetchall()):
        insert_fields(connection, rows)


def damaged_fields(select: Select) -> bool:
    """Whether the table is not what the stored documents' metadata give."""
    total = 0
    for rows in _document_rows(select):
        total += _digest((key, _packed(numbers)) for key, numbers in _grouped(rows).items())
    query = "SELECT * FROM fields WHERE (name, value, block) > (?, ?, ?) ORDER BY name, value, block LIMIT ?"
    last: tuple[object, ...] = (b"", -math.inf, -1)
    while found := select(query, *last, AT_ONCE):
        if any(not isinstance(packed, bytes) or len(packed) % _NUMBERS.itemsize for *_, packed in found):
            return True
        total -= _digest((tuple(key), packed) for *key, packed in found)
        last = found[-1][:3]
    return total % (1 << 64) != 0


def known_fields(select: Select) -> tuple[str, ...]:
    """The names of all fields, in order."""
    found = select(
        "WITH RECURSIVE names (name) AS ("
        "SELECT min(name) FROM fields UNION ALL "
        "SELECT (SELECT min(name) FROM fields WHERE name > names.name) FROM names WHERE name IS NOT NULL"
        ") SELECT name FROM names WHERE name IS NOT NULL"
    )
    return tuple(name.decode("utf-8", "surrogatepass") for (name,) in found)


def matching(select: Select, wanted: Filter, *, alive: BoolArray) -> BoolArray:
    """The documents that a filter finds; the same as asking ``wanted.matches`` for every one of them.

    Args:
        select: asks the store.
        wanted: the filter.
        alive: shape (n_numbers,); whether each document number is a document.

    Returns:
        Shape (n_numbers,); whether each number is a document that matches.

    Raises:
        InputError: there are documents, but none has a field that is compared; the message lists the fields that
            there are. A field for which the filter also asks ``exists`` may be missing.
    """
    if alive.any():
        _require_known(select, wanted)
    found: BoolArray = _mask(select, wanted, len(alive)) & alive
    return found


def _mask(select: Select, wanted: Filter, n_numbers: int) -> BoolArray:
    """The numbers that match; numbers that are no document may be among them."""
    match wanted:
        case OneOf(field, values):
            return _one_of(select, n_numbers, _bytes(field), [_stored(value.content) for value in values])
        case InRange(field, limits):
            condition, bounds = _range(limits)
            return _numbers(select, n_numbers, f"name = ? AND {condition}", _bytes(field), *bounds)
        case Exists(field):
            name = _bytes(field)
            inside = _numbers(select, n_numbers, "name >= ? AND name < ?", name + b".", name + b"/")
            return inside | _numbers(select, n_numbers, "name = ?", name)
        case AllOf(parts):
            return _joined(np.logical_and, (_mask(select, part, n_numbers) for part in parts))
        case AnyOf(parts):
            return _joined(np.logical_or, (_mask(select, part, n_numbers) for part in parts))
        case Not(part):
            return ~_mask(select, part, n_numbers)


def _one_of(select: Select, n_numbers: int, name: bytes, stored: Sequence[StoredValue]) -> BoolArray:
    parts = (stored[start : start + AT_ONCE] for start in range(0, len(stored), AT_ONCE))
    return _joined(
        np.logical_or,
        (
            _numbers(select, n_numbers, f"name = ? AND value IN ({', '.join('?' * len(part))})", name, *part)
            for part in parts
        ),
    )


def _range(limits: Iterable[Limit]) -> tuple[str, list[StoredValue]]:
    """SQL for values inside limits, and its parameters."""
    sides = [(_SQL[limit.operator], _stored(limit.value.content)) for limit in limits]
    operators = "".join(side for side, _ in sides)
    # Numbers come before every other value and strings after them, so only the side between the two needs an end.
    if isinstance(sides[0][1], bytes):
        sides += [] if ">" in operators else [(">=", b"")]
    else:
        sides += [] if "<" in operators else [("<=", math.inf)]
    return " AND ".join(f"value {side} ?" for side, _ in sides), [bound for _, bound in sides]


def _numbers(select: Select, n_numbers: int, condition: str, *parameters: object) -> BoolArray:
    # One BLOB of all numbers is several times faster to fetch than a row for every value and block.
    query = f"SELECT CAST(group_concat(numbers, '') AS BLOB) FROM fields WHERE {condition}"
    ((packed,),) = select(query, *parameters)
    numbers = np.frombuffer(packed or b"", dtype=_NUMBERS)
    mask = np.zeros(n_numbers, dtype=np.bool_)
    mask[numbers[numbers < n_numbers]] = True
    return mask


def _joined(join: Callable[..., Any], masks: Iterable[BoolArray]) -> BoolArray:
    return reduce(lambda left, right: join(left, right, out=left), masks)


def _require_known(select: Select, wanted: Filter) -> None:
    asked = {leaf.field for leaf in leaves(wanted) if isinstance(leaf, Exists)}
    for leaf in leaves(wanted):
        if leaf.field in asked or select("SELECT 1 FROM fields WHERE name = ? LIMIT 1", _bytes(leaf.field)):
            continue
        known = known_fields(select)
        if not known:
            raise InputError(f"the filter names the field {leaf.field!r}, but no document has metadata; leave it out")
        nearest = difflib.get_close_matches(leaf.field, known, n=_NAMES_SHOWN, cutoff=0.0)
        more = f" and {len(known) - len(nearest)} more" if len(known) > len(nearest) else ""
        raise InputError(
            f"the filter names the field {leaf.field!r}, which no document has; the nearest of the fields that there "
            f"are: {', '.join(map(repr, nearest))}{more}"
        )


def _document_rows(select: Select) -> Iterator[Iterator[FieldRow]]:
    """The rows that the stored documents should have, those of some documents at once."""
    last = -1
    query = "SELECT number, metadata FROM documents WHERE number > ? ORDER BY number LIMIT ?"
    while found := select(query, last, _DOCUMENTS_AT_ONCE):
        yield chain.from_iterable(field_rows(number, json.loads(metadata)) for number, metadata in found)
        last = found[-1][0]


def _grouped(rows: Iterable[FieldRow]) -> dict[_Key, list[int]]:
    """Document numbers by name, value and block."""
    grouped: dict[_Key, list[int]] = {}
    for name, value, number in rows:
        grouped.setdefault((name, value, number >> _BLOCK_BITS), []).append(number)
    return grouped


def _packed(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _digest(rows: Iterable[tuple[tuple[object, ...], bytes]]) -> int:
    """A checksum of rows of the table; those of its parts add up to that of the whole, modulo 2 ** 64."""
    keys, counts, packed = [], [], []
    for key, numbers in rows:
        keys.append(hashlib.blake2b(repr(key).encode(), digest_size=8).digest())
        counts.append(len(numbers) // _NUMBERS.itemsize)
        packed.append(numbers)
    mixed = np.frombuffer(b"".join(packed), dtype=_NUMBERS).astype(np.uint64)
    mixed = (mixed + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.repeat(np.frombuffer(b"".join(keys), dtype="<u8"), counts)
    return int(mixed.sum(dtype=np.uint64))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _stored(value: Any) -> StoredValue:  # noqa: ANN401 - any JSON value that holds no other
    """A value as the table keeps it; equal ones, such as 1 and 1.0, alike."""
    if isinstance(value, str):
        text = _bytes(value)
        # Strings longer than any limit keep their order to the limits by their beginning.
        return text if len(text) <= LONGEST_LIMIT else text[:LONGEST_LIMIT] + hashlib.blake2b(text).digest()
    if isinstance(value, bool) or value is None:
        return json.dumps(value)  # TEXT, so that it is no number
    if not isinstance(value, int | float):
        return _EMPTY
    number = plain_number(value)
    if isinstance(number, float) and number.is_integer() and fits(int(number)):
        return int(number)
    return "nan" if math.isnan(number) else number
