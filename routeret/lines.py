"""Text files of lines, plain or ``.gz``, read so that an error can name the line."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from routeret.errors import CorpusError


def beir_file(folder: Path, stem: str, *, suffix: str = ".jsonl") -> Path | None:
    """The file of this name in a BEIR folder, plain or ``.gz``, if there is one.

    Args:
        folder: the BEIR folder, or its ``qrels`` folder.
        stem: for example ``"corpus"``, ``"queries"`` or a split.
        suffix: ``".jsonl"`` or ``".tsv"``.

    Raises:
        CorpusError: both files are there.
    """
    found = [file for file in (folder / f"{stem}{suffix}", folder / f"{stem}{suffix}.gz") if file.is_file()]
    if len(found) == 2:
        raise CorpusError(f"{folder} holds both {found[0].name} and {found[1].name}; keep one of the two")
    return found[0] if found else None


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every line of a UTF-8 file, plain or ``.gz``, without its end, and its place; blank lines too.

    Raises:
        CorpusError: bad gzip or bad UTF-8; the file and line are named.
    """
    number = 0
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"), f"{path}:{number}"
        except UnicodeDecodeError as error:
            raise CorpusError(f"{path}:{number} is not UTF-8 ({error.reason}); convert the file to UTF-8") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CorpusError(f"{path}:{number + 1} is not whole gzip data ({error}); get the file again") from error


def read_objects(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Every JSON object of a JSON-lines file, plain or ``.gz``, and its place; blank lines are left out.

    Raises:
        CorpusError: a line is not a JSON object, or the file cannot be read; the file and line are named.
    """
    for line, place in read_lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{place} is not valid JSON ({error}); every line must be one JSON object") from error
        if not isinstance(value, dict):
            raise CorpusError(f"{place} is a JSON {type(value).__name__}, expected an object")
        yield value, place


def read_rows(path: Path, *, columns: Sequence[str] = ()) -> Iterator[tuple[dict[str, str], str]]:
    """Every row of a CSV file with a header, plain or ``.gz``, by the names of its columns, and its place.

    Args:
        path: the file.
        columns: names that the header must have.

    Raises:
        CorpusError: the file is no CSV, the header lacks a column or names one twice, or a row is too long or too
            short; the file and line are named.
    """
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


def _require_columns(header: Sequence[str], columns: Sequence[str], place: str) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        raise CorpusError(
            f"{place} has the columns {', '.join(map(repr, header))} and no {missing[0]!r}; the first line must name "
            f"the columns {' and '.join(map(repr, columns))}"
        )
    if len(set(header)) < len(header):
        raise CorpusError(f"{place} names a column twice: {', '.join(header)}; every name must come once")


def read_id(fields: Mapping[str, Any], place: str, *, field: str | None = None) -> tuple[str, str]:
    """The name of the id's field and the id.

    Args:
        fields: a JSON object or a CSV row.
        place: where it stands.
        field: the field of the id; by default ``_id``, or ``id``.

    Raises:
        CorpusError: there is no id, or it is not a string, or it is blank.
    """
    name = field or ("_id" if "_id" in fields else "id")
    if name not in fields:
        expected = repr(field) if field else "'_id' or 'id'"
        raise CorpusError(f"{place} has no {expected}; it has {', '.join(map(repr, fields)) or 'no fields'}")
    value = fields[name]
    if not isinstance(value, str):
        raise CorpusError(
            f"{place} has the id {value!r} ({type(value).__name__}); ids must be strings: write it in quotes"
        )
    if not value.strip():
        raise CorpusError(f"{place} has a blank id; give every document an id")
    return name, value
