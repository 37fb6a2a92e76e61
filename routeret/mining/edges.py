"""Edge lists as they come: two ids a line, in JSON lines or CSV, each with its place."""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from routeret.errors import CorpusError
from routeret.lines import read_lines, read_objects

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
    rows = read_objects(path) if path.name.endswith(_JSON_LINES) else _read_csv(path, columns)
    is_empty = True
    for fields, place in rows:
        is_empty = False
        first, second = (_id_of(fields, column, place) for column in columns)
        yield Edge(first, second, 1.0 if weight is None else _weight_of(fields, weight, place), place)
    if is_empty:
        raise CorpusError(f"{path} holds no edge; it must hold at least one")


def _read_csv(path: Path, columns: tuple[str, str]) -> Iterator[tuple[dict[str, str], str]]:
    # The csv module needs the line ends back to keep line breaks inside quotes.
    rows = csv.reader((f"{line}\n" for line, _ in read_lines(path)), strict=True)
    header: list[str] = []
    while True:
        place = f"{path}:{rows.line_num + 1}"
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise CorpusError(f"{place} is not valid CSV ({error}); repair it, or use JSON lines") from error
        if not row:
            continue
        if not header:
            header = row
            _require_columns(header, columns, place)
            continue
        if len(row) != len(header):
            raise CorpusError(
                f"{place} has {len(row)} cells, the header has {len(header)} columns ({', '.join(header)})"
            )
        yield dict(zip(header, row, strict=True)), place


def _require_columns(header: list[str], columns: tuple[str, str], place: str) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        raise CorpusError(
            f"{place} has the columns {', '.join(map(repr, header))} and no {missing[0]!r}; the first line must name "
            f"the columns {' and '.join(map(repr, columns))}"
        )
    if len(set(header)) < len(header):
        raise CorpusError(f"{place} names a column twice: {', '.join(header)}; every name must come once")


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
