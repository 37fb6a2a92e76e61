"""The two files that hold the terms of every document: they only grow, and every commit knows how far it reaches."""

import os
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from routeret.errors import ArtifactError
from routeret.index.lexical.terms import LINE, DocumentTerms, laid_out
from routeret.types import HashArray, IntArray

ENTRIES = "entries.bin"
DOCUMENTS = "documents.bin"

_ITEM_BYTES = 8
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the two files count; what a kill left behind that does not.

    Attributes:
        n_documents: end of the document numbers.
        n_entries: how many entries.
        documents_crc: CRC-32 of the documents' lines up to there.
        entries_crc: CRC-32 of the entries up to there.
    """

    n_documents: int = 0
    n_entries: int = 0
    documents_crc: int = 0
    entries_crc: int = 0

    @property
    def bytes_by_file(self) -> dict[str, int]:
        """How many bytes of each file count."""
        return {DOCUMENTS: self.n_documents * LINE * _ITEM_BYTES, ENTRIES: self.n_entries * _ITEM_BYTES}


def read_terms(folder: Path, extent: Extent) -> DocumentTerms:
    """Map the terms of a folder up to an extent.

    Raises:
        ArtifactError: a file is missing or too short.
    """
    for name, expected in extent.bytes_by_file.items():
        _require_bytes(folder / name, expected)
    entries: HashArray = _mapped(folder / ENTRIES, extent.n_entries).view(np.uint64)
    documents: IntArray = _mapped(folder / DOCUMENTS, extent.n_documents * LINE)
    return DocumentTerms(entries, documents.reshape(extent.n_documents, LINE))


def append_terms(folder: Path, texts: Iterable[tuple[int, str]], *, extent: Extent, n_documents: int) -> Extent:
    """Write the terms of more documents behind an extent, over whatever does not count there.

    Args:
        folder: holds the two files, or will.
        texts: document numbers in rising order, from ``extent.n_documents`` on, and their texts; read once.
        extent: what counts now.
        n_documents: the end of the numbers afterwards; those without a text are absent.

    Returns:
        The new extent, durable.

    Raises:
        InputError: a number is not above the one before it, or not one of the new numbers.
        ArtifactError: a file is missing or too short.
    """
    n_bytes = extent.bytes_by_file
    n_entries = extent.n_entries
    with (
        _Appender(folder / DOCUMENTS, n_bytes[DOCUMENTS], crc=extent.documents_crc) as documents,
        _Appender(folder / ENTRIES, n_bytes[ENTRIES], crc=extent.entries_crc) as entries,
    ):
        laid = laid_out(texts, start=extent.n_documents, n_entries=n_entries, n_documents=n_documents)
        for found, lines in laid:
            n_entries += len(found)
            entries.add(array("Q", found).tobytes())
            documents.add(array("q", lines).tobytes())
        return Extent(n_documents, n_entries, documents_crc=documents.finish(), entries_crc=entries.finish())


def damaged_terms(folder: Path, extent: Extent) -> list[tuple[Path, str]]:
    """What is wrong with the two files, read whole: paths and reasons."""
    problems = []
    crc_by_file = {DOCUMENTS: extent.documents_crc, ENTRIES: extent.entries_crc}
    for name, n_bytes in extent.bytes_by_file.items():
        path = folder / name
        try:
            _require_bytes(path, n_bytes)
        except ArtifactError as error:
            problems.append((path, str(error)))
            continue
        found = crc_of(path, n_bytes)
        if found != crc_by_file[name]:
            problems.append((path, f"{path} is damaged: CRC-32 {found:08x}, expected {crc_by_file[name]:08x}"))
    return problems


def crc_of(path: Path, n_bytes: int) -> int:
    """CRC-32 of the first bytes of a file."""
    crc = 0
    with path.open("rb") as file:
        while n_bytes and (block := file.read(min(n_bytes, _BLOCK))):
            crc = zlib.crc32(block, crc)
            n_bytes -= len(block)
    return crc


class _Appender:
    """A file that grows from an offset on; its checksum is continued, not computed again."""

    def __init__(self, path: Path, offset: int, *, crc: int) -> None:
        if offset:
            _require_bytes(path, offset)
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(offset)
        self._file.seek(offset)
        self._crc = crc
        self._buffer = bytearray()

    def __enter__(self) -> "_Appender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, content: bytes) -> None:
        """Write some bytes, sooner or later."""
        self._buffer += content
        if len(self._buffer) >= _BLOCK:
            self._write()

    def finish(self) -> int:
        """Make everything durable and give the checksum of the whole file."""
        self._write()
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._crc

    def _write(self) -> None:
        self._crc = zlib.crc32(self._buffer, self._crc)
        self._file.write(self._buffer)
        self._buffer.clear()


def _require_bytes(path: Path, expected: int) -> None:
    found = path.stat().st_size if path.is_file() else 0
    if found < expected or not path.is_file():
        raise ArtifactError(f"{path} has {found} bytes, expected at least {expected}; build the full text again")


def _mapped(path: Path, n_items: int) -> IntArray:
    if not n_items:
        return np.zeros(0, dtype=np.int64)
    # A plain array over the map: slices of np.memmap itself are slow.
    return np.asarray(np.memmap(path, dtype="<i8", mode="r", shape=(n_items,)))
