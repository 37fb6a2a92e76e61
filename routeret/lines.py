"""Text files of lines, plain or ``.gz``, read so that an error can name the line."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
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
            raise CorpusError(f"{place} is a JSON {type(value).__name__}, expected an object with '_id' and 'text'")
        yield value, place


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
