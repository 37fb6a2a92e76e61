"""The single source of truth of an index: documents, spans, segments and settings in one SQLite file."""

import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret import __version__
from routeret.artifact import sync_folder
from routeret.errors import ArtifactError, InputError
from routeret.index.segments import Segment
from routeret.space import Space
from routeret.types import Document, HashArray, IntArray

STORE = "store.sqlite"
FORMAT = 1

_KIND = "routeret index"
_AT_ONCE = 500  # SQLite's older builds take 999 parameters
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    content_key INTEGER NOT NULL
);
CREATE TABLE spans (
    row INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES documents (number),
    start INTEGER NOT NULL,
    end INTEGER NOT NULL
);
CREATE TABLE segments (
    space TEXT NOT NULL,
    file TEXT NOT NULL,
    first_row INTEGER NOT NULL,
    n_rows INTEGER NOT NULL,
    dim INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (space, file)
);
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one commit holds; documents and rows are only ever added behind it.

    Attributes:
        commit: counts the commits that changed documents.
        n_documents: how many documents; their numbers are 0 to ``n_documents - 1``.
        n_rows: how many spans; their rows are 0 to ``n_rows - 1``.
        segments: vector files, in row order.
    """

    commit: int
    n_documents: int
    n_rows: int
    segments: tuple[Segment, ...]


class Store:
    """One connection to the SQLite file of an index; reads may come from several threads."""

    def __init__(self, path: Path, connection: sqlite3.Connection, *, writing: bool) -> None:
        """Keep a connection; :meth:`create` and :meth:`open` are the way in."""
        self.path = path
        self._connection = connection
        self._writing = writing
        self._lock = threading.Lock()

    @classmethod
    def create(cls, folder: Path, space: Space) -> None:
        """Write an empty store, whole or not at all.

        Raises:
            ArtifactError: there is one already.
        """
        path = folder / STORE
        if path.exists():
            raise ArtifactError(f"{folder} holds an index already; add to it, or choose another folder")
        meta = {
            "kind": _KIND,
            "format": str(FORMAT),
            "space": json.dumps(space.as_dict(), sort_keys=True),
            "commit": "0",
            "routeret": __version__,
        }
        with tempfile.TemporaryDirectory(prefix=f".{STORE}.tmp-", dir=folder) as temporary:
            unfinished = Path(temporary) / STORE
            with closing(sqlite3.connect(unfinished)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(_TABLES)
                with connection:
                    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            unfinished.rename(path)
        sync_folder(folder)

    @classmethod
    def open(cls, folder: Path, *, writing: bool = False) -> "Store":
        """Connect to the store of an index folder and check what it is.

        Raises:
            ArtifactError: it is missing, not a store of an index, damaged, or of another format.
        """
        path = folder / STORE
        if not path.is_file():
            raise ArtifactError(f"{folder} holds no index: {STORE} is missing; build one, or give another folder")
        try:
            connection = _connect(path, writing=writing)
        except sqlite3.DatabaseError as error:
            raise ArtifactError(f"{path} is not the store of an index ({error}); give another folder") from error
        store = cls(path, connection, writing=writing)
        try:
            store._require_readable()
        except BaseException:
            connection.close()
            raise
        return store

    def close(self) -> None:
        """Give the connection up; a writer first moves its commits from the log into the store."""
        if self._writing:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def space(self) -> Space:
        """The space of the vectors."""
        return Space.from_dict(json.loads(self._meta()["space"]))

    def snapshot(self) -> Snapshot:
        """The last commit."""
        with self._lock:
            self._connection.execute("SAVEPOINT snapshot")
            try:
                (commit,) = self._connection.execute("SELECT value FROM meta WHERE name = 'commit'").fetchone()
                (n_documents,) = self._connection.execute(
                    "SELECT coalesce(max(number) + 1, 0) FROM documents"
                ).fetchone()
                (n_rows,) = self._connection.execute("SELECT coalesce(max(row) + 1, 0) FROM spans").fetchone()
                segments = self._connection.execute(
                    "SELECT space, file, first_row, n_rows, dim, sha256 FROM segments ORDER BY first_row"
                ).fetchall()
            finally:
                self._connection.execute("RELEASE snapshot")
        return Snapshot(int(commit), n_documents, n_rows, tuple(Segment(*segment) for segment in segments))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes of the block, or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def insert(self, documents: Sequence[tuple[Document, str]], *, first_number: int, first_row: int) -> None:
        """Add documents with their metadata as JSON, each with one span that is its whole text.

        Args:
            documents: documents that are not in the index, and their metadata.
            first_number: the number of the first one.
            first_row: the row of the first one's span.
        """
        self._connection.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)",
            (
                (number, document.id, document.title, document.text, metadata, _signed(document.content_key))
                for number, (document, metadata) in enumerate(documents, start=first_number)
            ),
        )
        self._connection.executemany(
            "INSERT INTO spans VALUES (?, ?, 0, ?)",
            (
                (first_row + offset, first_number + offset, len(document.text))
                for offset, (document, _) in enumerate(documents)
            ),
        )

    def finish(self, segment: Segment) -> None:
        """Name a segment that is on disk already, and count the commit."""
        self._connection.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", astuple(segment))
        self._connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'commit'")

    def stored(self, ids: Sequence[str]) -> dict[str, tuple[int, str, str, str]]:
        """Number, title, text and metadata JSON of those ids that are there."""
        rows = self._select_in("SELECT id, number, title, text, metadata FROM documents WHERE id IN", ids)
        return {row[0]: row[1:] for row in rows}

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """Document number by id, of those ids that are there."""
        return dict(self._select_in("SELECT id, number FROM documents WHERE id IN", ids))

    def documents(self, numbers: Sequence[int]) -> dict[int, Document]:
        """Document by number."""
        rows = self._select_in("SELECT number, id, title, text, metadata FROM documents WHERE number IN", numbers)
        return {
            number: Document(id=document_id, title=title, text=text, metadata=json.loads(metadata))
            for number, document_id, title, text, metadata in rows
        }

    def spans(self, rows: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Start and end of a span by row, in characters of the document's text."""
        found = self._select_in("SELECT row, start, end FROM spans WHERE row IN", rows)
        return {row: (start, end) for row, start, end in found}

    def ids(self, n_documents: int) -> list[str]:
        """The ids of the first documents, in number order."""
        return [
            row[0] for row in self._select("SELECT id FROM documents WHERE number < ? ORDER BY number", n_documents)
        ]

    def row_documents(self, n_rows: int) -> IntArray:
        """The document number of each of the first rows."""
        found = self._select("SELECT document FROM spans WHERE row < ? ORDER BY row", n_rows)
        return np.fromiter((row[0] for row in found), dtype=np.int64, count=len(found))

    def content_keys(self, n_documents: int) -> HashArray:
        """The content keys of the first documents, in number order."""
        found = self._select("SELECT content_key FROM documents WHERE number < ? ORDER BY number", n_documents)
        return np.fromiter((row[0] for row in found), dtype=np.int64, count=len(found)).view(np.uint64)

    def texts(self, n_documents: int) -> Iterator[str]:
        """Title and text of the first documents, in number order, some at a time."""
        for start in range(0, n_documents, _AT_ONCE):
            found = self._select(
                "SELECT title, text FROM documents WHERE number >= ? AND number < ? ORDER BY number",
                start,
                min(start + _AT_ONCE, n_documents),
            )
            yield from (f"{title} {text}" for title, text in found)

    def _select(self, query: str, *parameters: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    def _select_in(self, query: str, values: Sequence[object]) -> Iterator[Any]:
        for start in range(0, len(values), _AT_ONCE):
            part = values[start : start + _AT_ONCE]
            yield from self._select(f"{query} ({', '.join('?' * len(part))})", *part)

    def _meta(self) -> dict[str, str]:
        return dict(self._select("SELECT name, value FROM meta"))

    def _require_readable(self) -> None:
        try:
            meta = self._meta()
        except sqlite3.DatabaseError as error:
            raise ArtifactError(f"{self.path} is not the store of an index ({error}); give another folder") from error
        if meta.get("kind") != _KIND:
            raise ArtifactError(f"{self.path} is a {meta.get('kind')!r}, expected a {_KIND!r}; give another folder")
        if meta.get("format") != str(FORMAT):
            raise ArtifactError(
                f"{self.path} has index format {meta.get('format')}, this version reads format {FORMAT}; it was "
                f"written by routeret {meta.get('routeret', 'of an unknown version')}: open it with that version"
            )


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


def _connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=rw"
    wal = path.with_name(f"{path.name}-wal")
    if not os.access(path.parent, os.W_OK) and not (wal.exists() and wal.stat().st_size):
        # SQLite wants to make files beside a store in WAL mode; where it cannot, nobody writes either.
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA query_only={'OFF' if writing else 'ON'}")
    except BaseException:
        connection.close()
        raise
    return connection


def _signed(key: int) -> int:
    """A 64-bit key as SQLite's signed integer of the same bits."""
    return key - (1 << 64) if key >= 1 << 63 else key
