"""Edge lists as they come: two ids a line, in JSON lines or CSV, each with its place."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from routeret.errors import CorpusError
from routeret.lines import read_objects, read_rows

_JSON_LINES = (".jsonl", ".jsonl.gz")
_CSV = (".csv", ".csv.gz")
_LEAST_WEIGHT = 1e-30


class Edge(NamedTuple):
    """One line of an edge list.

    Attributes:
        first: the id in the first column.
        second: the id in the second column.
        weight: above 0; 1 where none is given.
        place: file and line.
    """

    first: str
    second: str
    weight: float
    place: str


def read_edges(path: Path | str, *, columns: tuple[str, str], weight: str | None = None) -> Iterator[Edge]:
    """Every edge of a list, in file order; the file is never held whole.

    Args:
        path: JSON lines (``.jsonl``) or CSV with a header (``.csv``), each plain or ``.gz``. Other fields and columns
            are left alone.
        columns: the names of the two ids.
        weight: the name of the weight, which may be absent.

    Raises:
        CorpusError: the file is missing, of an unknown kind or without an edge, or a line has no two ids; the file
            and line are named.
    """
    path = Path(path)
    accepted = f"give JSON lines (.jsonl, .jsonl.gz) or CSV (.csv, .csv.gz) with {' and '.join(map(repr, columns))}"
    if not path.is_file():
        raise CorpusError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; {accepted}")
    if not path.name.endswith(_JSON_LINES + _CSV):
        raise CorpusError(f"{path} is of an unknown kind; {accepted}")
    rows = read_objects(path) if path.name.endswith(_JSON_LINES) else read_rows(path, columns=columns)
    is_empty = True
    for fields, place in rows:
        is_empty = False
        first, second = (_id_of(fields, column, place) for column in columns)
        yield Edge(first, second, 1.0 if weight is None else _weight_of(fields, weight, place), place)
    if is_empty:
        raise CorpusError(f"{path} holds no edge; it must hold at least one")


def _id_of(fields: Mapping[str, Any], column: str, place: str) -> str:
    if column not in fields:
        raise CorpusError(f"{place} has no {column!r}; it has {', '.join(map(repr, fields)) or 'no fields'}")
    value = fields[column]
    if not isinstance(value, str):
        raise CorpusError(
            f"{place} has {value!r} ({type(value).__name__}) as {column!r}; ids must be strings: write it in quotes"
        )
    if not value.strip():
        raise CorpusError(f"{place} has a blank {column!r}; give it an id, or remove the line")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(f"{place} has half a surrogate pair in {column!r}, which is not text") from error
    return value


def _weight_of(fields: Mapping[str, Any], column: str, place: str) -> float:
    value = fields.get(column, 1.0)
    try:
        weight = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not _LEAST_WEIGHT <= weight <= 1 / _LEAST_WEIGHT:
        raise CorpusError(
            f"{place} has the {column} {value!r}; expected a number from {_LEAST_WEIGHT:g} to {1 / _LEAST_WEIGHT:g}"
        )
    return weight
