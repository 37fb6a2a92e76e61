"""Files of pairs, one a split, that appear together or not at all."""

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from routeret.artifact import sync_folder
from routeret.errors import ArtifactError, InputError
from routeret.mining.citations import CitationGraph


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, by the number of the split.

    Attributes:
        parts: the files, not yet in their places.
        pairs: how many pairs each holds.
        documents: how many documents these pairs hold.
    """

    parts: tuple[Path, ...]
    pairs: tuple[int, ...]
    documents: tuple[int, ...]


def files_of(out: Path, names: Sequence[str]) -> list[Path]:
    """The files of the splits: ``pairs.train.jsonl`` for ``pairs.jsonl``; ``out`` itself where there is no split.

    Args:
        out: the file that was asked for.
        names: the splits.

    Raises:
        InputError: its folder does not exist.
        ArtifactError: one of the files does.
    """
    if not out.parent.is_dir():
        raise InputError(f"folder {out.parent} does not exist; make it first")
    packed = ".gz" if out.name.endswith(".gz") else ""
    ending = Path(out.name.removesuffix(packed)).suffix + packed
    stem = out.name.removesuffix(ending)
    files = [out.with_name(f"{stem}.{name}{ending}") for name in names] or [out]
    for file in files:
        if file.exists():
            raise ArtifactError(f"{file} exists already; choose another file or remove it first")
    return files


def write_pairs(graph: CitationGraph, files: Sequence[Path], *, split_by_row: bytearray, temporary: Path) -> Written:
    """Write the kept pairs of a graph, sorted, into a temporary folder.

    Args:
        graph: holds the pairs.
        files: where the parts belong, by the number of the split; the names tell whether to pack them.
        split_by_row: the number of every document's split.
        temporary: the folder.
    """
    parts = tuple(temporary / f"part-{number}" for number in range(len(files)))
    pairs, documents = [0] * len(parts), [0] * len(parts)
    is_counted = bytearray(len(split_by_row))
    as_json = json.JSONEncoder(ensure_ascii=False).encode
    with ExitStack() as stack:
        opened = [
            stack.enter_context(_durable(part, is_packed=file.name.endswith(".gz")))
            for part, file in zip(parts, files, strict=True)
        ]
        for row_a, id_a, row_b, id_b, n in graph.kept():
            split = split_by_row[row_a]
            opened[split].write(f'{{"a": {as_json(id_a)}, "b": {as_json(id_b)}, "count": {n}}}\n'.encode())
            pairs[split] += 1
            for row in (row_a, row_b):
                documents[split] += not is_counted[row]
                is_counted[row] = 1
    return Written(parts, tuple(pairs), tuple(documents))


def put_in_place(parts: Sequence[Path], files: Sequence[Path]) -> None:
    """Give every part its name, or none of them.

    Args:
        parts: whole files on the same disk.
        files: their names, none of which may be taken.

    Raises:
        ArtifactError: a name was taken meanwhile.
    """
    placed: list[Path] = []
    try:
        for part, file in zip(parts, files, strict=True):
            # Unlike a renamed file, a link never takes the place of another one.
            os.link(part, file)
            placed.append(file)
        sync_folder(files[0].parent)
    except BaseException as error:
        for file in placed:
            file.unlink()
        if isinstance(error, FileExistsError):
            taken = files[len(placed)]
            raise ArtifactError(f"{taken} was written by another process meanwhile; choose another file") from error
        raise


@contextmanager
def _durable(path: Path, *, is_packed: bool) -> Iterator[gzip.GzipFile | BinaryIO]:
    """A file to write, plain or gzip, on the disk when the block ends."""
    with path.open("wb") as raw:
        # Without name and time, equal pairs are equal files.
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) if is_packed else None
        with packed or nullcontext(raw) as file:
            yield file
        raw.flush()
        os.fsync(raw.fileno())
