"""The single source of truth of an index, read at one commit: documents, spans, segments and settings."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from routeret.chunking import WholeText
from routeret.errors import ArtifactError, InputError
from routeret.index.fields import AT_ONCE
from routeret.index.row_format import RowFormat, require_storage
from routeret.index.schema import LONG_LOG_BYTES, STORE, TOKENS_FORMAT, connect, store_mark
from routeret.index.segments import Segment, Tail, digest_of, tail_behind
from routeret.index.snapshot import Range, Snapshot
from routeret.index.tokens import ENDS, token_streams
from routeret.space import Space
from routeret.types import Document, HashArray, IntArray


class Version(NamedTuple):
    """One version of a document, as it is stored."""

    number: int
    id: str
    title: str
    text: str
    metadata: str
    first_row: int
    n_rows: int


class Store:
    """One connection to the SQLite file of an index; reads may come from several threads.

    A store that is open for reading stands in one read transaction, so it sees one commit until :meth:`renew`.
    """

    def __init__(self, folder: Path, *, writing: bool = False) -> None:
        """Connect, and check what it is.

        Args:
            folder: the index's folder.
            writing: stand in no transaction, so that changes can be made.

        Raises:
            ArtifactError: it is missing, not a store of an index, damaged, or of another format.
        """
        self.folder = folder
        self._writing = writing
        self._lock = threading.Lock()
        self._connection = connect(folder / STORE, writing=writing)
        self._mark = store_mark(folder / STORE)
        self._removed = np.empty((0, 3), dtype=np.int64)
        self._removed_generation = -1
        self.renew()

    def close(self) -> None:
        """Give the connection up."""
        with self._lock:
            self._connection.close()

    def renew(self) -> None:
        """See the last commit from now on."""
        if self._writing:
            return
        with self._lock:
            if self._mark is not None:
                self._connection.close()
                self._mark = store_mark(self.folder / STORE)
                self._connection = connect(self.folder / STORE, writing=False)
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            log = self.folder / f"{STORE}-wal"
            if self._mark is None and log.exists() and log.stat().st_size > LONG_LOG_BYTES:
                # No reader of this process holds an older commit now, so the log can begin anew.
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._connection.execute("BEGIN")
            # The transaction begins with the first read.
            self._connection.execute("SELECT value FROM meta WHERE name = 'commit'").fetchone()

    def spaces(self) -> dict[str, tuple[Space, RowFormat]]:
        """Every space, by fingerprint, with how its vectors are stored; the first one is the base's."""
        found = {}
        columns = "fingerprint, space, storage"
        for fingerprint, values, storage in self.select(f"SELECT {columns} FROM spaces ORDER BY position"):
            space = Space.from_dict(json.loads(values))
            found[fingerprint] = (space, self._row_format(storage, space))
        return found

    def token_formats(self) -> dict[str, RowFormat]:
        """How a token is stored, by the fingerprint of every space that keeps token vectors."""
        if self._counter("format") < TOKENS_FORMAT:
            return {}
        spaces = self.spaces()
        found = {}
        for fingerprint, storage in self.select("SELECT space, storage FROM tokens ORDER BY space"):
            if fingerprint not in spaces:
                raise ArtifactError(
                    f"{self.folder / STORE} is damaged: it keeps tokens of space {fingerprint} and has spaces "
                    f"{', '.join(spaces)}; restore the folder from a copy, or build the index again"
                )
            found[fingerprint] = self._row_format(storage, spaces[fingerprint][0])
        return found

    def streams(self) -> dict[str, RowFormat]:
        """How a row is stored, by the name of everything that has segments: every space, and its token streams."""
        streams = {fingerprint: row_format for fingerprint, (_, row_format) in self.spaces().items()}
        for fingerprint, row_format in self.token_formats().items():
            streams |= zip(token_streams(fingerprint), (row_format, ENDS), strict=True)
        return streams

    def chunker(self) -> dict[str, Any]:
        """What cuts documents into spans."""
        ((values,),) = self.select("SELECT value FROM meta WHERE name = 'chunker'")
        return dict(json.loads(values))

    def commit(self) -> int:
        """Counts the commits that changed what a reader sees."""
        return self._counter("commit")

    def ranges(self) -> list[Range]:
        """All numbers and rows, staged or not, in order."""
        found = self.select("SELECT * FROM ranges ORDER BY first_document")
        return [Range(first, end, first_row, end_row, bool(staged)) for first, end, first_row, end_row, staged in found]

    def snapshot(self) -> Snapshot:
        """What the commit holds."""
        generation = self._counter("generation")
        if generation != self._removed_generation:
            self._removed, self._removed_generation = np.empty((0, 3), dtype=np.int64), generation
        # Inside a generation the table only grows, and its positions count from 1.
        further = self.select(
            "SELECT document, first_row, n_rows FROM removed WHERE position > ? ORDER BY position", len(self._removed)
        )
        if further:
            self._removed = np.concatenate([self._removed, np.array(further, dtype=np.int64)])
        return Snapshot(
            commit=self.commit(),
            generation=generation,
            ranges=tuple(self.ranges()),
            removed=self._removed,
            segments=tuple(
                Segment(*values)
                for values in self.select(
                    "SELECT space, file, first_row, n_rows FROM segments ORDER BY space, first_row"
                )
            ),
        )

    def digests(self, segment: Segment) -> list[bytes]:
        """The checksums of a segment, in block order."""
        found = self.select(
            "SELECT digest FROM blocks WHERE space = ? AND file = ? ORDER BY block", segment.space, segment.file
        )
        return [digest for (digest,) in found]

    def tail(self, space: str) -> Tail:
        """Where the next row of a space goes."""
        found = self.select(
            "SELECT space, file, first_row, n_rows FROM segments WHERE space = ? ORDER BY first_row DESC LIMIT 1", space
        )
        next_file = self._counter("files")
        if not found:
            return tail_behind(None, None, next_file=next_file)
        last = Segment(*found[0])
        return tail_behind(last, self.digests(last)[-1], next_file=next_file)

    def damaged_segments(self) -> list[str]:
        """The files of segments whose place or checksums are not those that were written."""
        found = self.select("SELECT space, file, first_row, n_rows, digest FROM segments ORDER BY space, first_row")
        segments = [(Segment(*values), digest) for *values, digest in found]
        return [one.file for one, digest in segments if digest != segment_digest(one, self.digests(one))]

    def versions(self, ids: Sequence[str]) -> dict[str, list[Version]]:
        """All versions of documents that are stored under some ids, published or staged, in number order."""
        found: dict[str, list[Version]] = {}
        columns = "number, id, title, text, metadata, first_row, n_rows"
        for values in self._select_in(f"SELECT {columns} FROM documents WHERE id IN", ids, order="number"):
            found.setdefault(values[1], []).append(Version(*values))
        return found

    def numbers(self, ids: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Id and number of all versions that are stored under some ids, published or staged."""
        return self._select_in("SELECT id, number FROM documents WHERE id IN", ids)

    def documents(self, numbers: Sequence[int]) -> dict[int, Document]:
        """Document by number."""
        rows = self._select_in("SELECT number, id, title, text, metadata FROM documents WHERE number IN", numbers)
        return {
            number: Document(id=document_id, title=title, text=text, metadata=_metadata(metadata))
            for number, document_id, title, text, metadata in rows
        }

    def located(self, rows: Sequence[int]) -> dict[int, tuple[Document, tuple[int, int]]]:
        """The document that a span is of, and start and end of the span in characters of its text, by row."""
        if self._keeps_documents_whole:
            # A document has the number of its only row.
            return {row: (document, (0, len(document.text))) for row, document in self.documents(rows).items()}
        columns = "row, start, end, number, id, title, text, metadata"
        query = f"SELECT {columns} FROM spans JOIN documents ON number = document WHERE row IN"
        documents: dict[int, Document] = {}
        found = {}
        for row, start, end, number, document_id, title, text, metadata in self._select_in(query, rows):
            if number not in documents:
                documents[number] = Document(id=document_id, title=title, text=text, metadata=_metadata(metadata))
            found[row] = documents[number], (start, end)
        return found

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """Id by number."""
        return dict(self._select_in("SELECT number, id FROM documents WHERE number IN", numbers))

    def spans(self, rows: Sequence[int]) -> dict[int, tuple[int, int, int]]:
        """Document number, start and end of a span by row; start and end in characters of the document's text."""
        found = self._select_in("SELECT row, document, start, end FROM spans WHERE row IN", rows)
        return {row: (document, start, end) for row, document, start, end in found}

    def row_documents(self, start: int, end: int) -> IntArray:
        """The document number of each row from ``start`` to before ``end``, alive or not."""
        found = self.select("SELECT document FROM spans WHERE row >= ? AND row < ? ORDER BY row", start, end)
        return np.fromiter((row[0] for row in found), dtype=np.int64, count=len(found))

    def content_keys(self, numbers: Sequence[int]) -> HashArray:
        """The content keys of some documents, in the order asked for."""
        found = dict(self._select_in("SELECT number, content_key FROM documents WHERE number IN", numbers))
        return np.array([found[number] for number in numbers], dtype=np.int64).view(np.uint64)

    def texts(self, start: int, end: int) -> Iterator[tuple[int, str]]:
        """Number, and title and text, of what is stored from one number to before another, some at a time."""
        for first in range(start, end, AT_ONCE):
            for number, title, text in self.select(
                "SELECT number, title, text FROM documents WHERE number >= ? AND number < ? ORDER BY number",
                first,
                min(first + AT_ONCE, end),
            ):
                yield number, f"{title} {text}"

    def structure(self) -> dict[str, Any]:
        """What the user wants of the search structures: ``recall``, and ``factory`` unless it is chosen by size."""
        found = self.select("SELECT value FROM meta WHERE name = 'structure'")
        return dict(json.loads(found[0][0])) if found else {}

    def select(self, query: str, *parameters: object) -> list[Any]:
        """All rows of a query.

        Raises:
            ArtifactError: the store is damaged.
        """
        with self._lock:
            if self._mark is not None and self._mark != store_mark(self.folder / STORE):
                raise ArtifactError(
                    f"the store of index {self.folder} was changed while this reader, who must not write beside it, "
                    f"had it open; refresh, or let readers write to the folder"
                )
            try:
                return self._connection.execute(query, parameters).fetchall()
            except sqlite3.ProgrammingError as error:
                raise InputError(f"index {self.folder} was closed; open it again") from error
            except sqlite3.DatabaseError as error:
                raise ArtifactError(
                    f"{self.folder / STORE} cannot be read ({error}); check it with: routeret verify {self.folder}"
                ) from error

    @cached_property
    def _keeps_documents_whole(self) -> bool:
        """Whether every document is one span, from the beginning of its text to the end."""
        return self.chunker() == WholeText().as_dict()

    def _select_in(self, query: str, values: Sequence[object], *, order: str | None = None) -> Iterator[Any]:
        ending = f" ORDER BY {order}" if order else ""
        for start in range(0, len(values), AT_ONCE):
            part = values[start : start + AT_ONCE]
            yield from self.select(f"{query} ({', '.join('?' * len(part))}){ending}", *part)

    def _row_format(self, storage: str, space: Space) -> RowFormat:
        try:
            return RowFormat(require_storage(storage), space.dim)
        except InputError as error:
            raise ArtifactError(
                f"{self.folder / STORE} is damaged: {error}; restore the folder from a copy, or build the index again"
            ) from error

    def _counter(self, name: str) -> int:
        ((value,),) = self.select("SELECT value FROM meta WHERE name = ?", name)
        return int(value)


def segment_digest(segment: Segment, digests: Sequence[bytes]) -> bytes:
    """The checksum of what a store keeps of a segment."""
    values = f"{segment.space}/{segment.file} {segment.first_row} {segment.n_rows} "
    return digest_of(values.encode() + b"".join(digests))


def _metadata(stored: str) -> dict[str, Any]:
    """The metadata of a document; many have none, and parsing that takes as long as all else about a document."""
    metadata: dict[str, Any] = {} if stored == "{}" else json.loads(stored)
    return metadata


def metadata_json(metadata: Mapping[str, Any], *, place: str) -> str:
    """Metadata in the one form in which it is stored and compared.

    Raises:
        InputError: it holds something that is not JSON.
    """
    try:
        return json.dumps(dict(metadata), sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{place} has metadata that is not JSON ({error}); use strings, numbers, lists and mappings"
        ) from error
