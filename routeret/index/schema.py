"""The tables of an index's store, and how a store file is made and opened."""

import json
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from routeret import __version__
from routeret.artifact import sync_folder
from routeret.errors import ArtifactError
from routeret.index.fields import FIELD_TABLES
from routeret.index.row_format import Storage
from routeret.index.tokens import TokenStorage
from routeret.space import Space

STORE = "store.sqlite"
FORMAT = 2
TOKENS_FORMAT = 3
"""A store of format 2 that keeps token vectors of a space; one that keeps none stays what older versions read."""

KIND = "routeret index"

LONG_LOG_BYTES = 16_000_000
"""From here on SQLite's log is moved into the store; for every small change that would cost more than the change."""

_TABLES = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spaces (
    position INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,
    space TEXT NOT NULL,
    storage TEXT NOT NULL
);
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    content_key INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    n_rows INTEGER NOT NULL,
    digest BLOB NOT NULL
);
CREATE INDEX documents_by_id ON documents (id);
CREATE TABLE spans (
    row INTEGER PRIMARY KEY,
    document INTEGER NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL
);
CREATE TABLE ranges (
    first_document INTEGER PRIMARY KEY,
    end_document INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    end_row INTEGER NOT NULL,
    staged INTEGER NOT NULL
);
CREATE TABLE removed (
    position INTEGER PRIMARY KEY,
    document INTEGER NOT NULL UNIQUE,
    first_row INTEGER NOT NULL,
    n_rows INTEGER NOT NULL
);
CREATE TABLE segments (
    space TEXT NOT NULL,
    file TEXT NOT NULL,
    first_row INTEGER NOT NULL,
    n_rows INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (space, file)
) WITHOUT ROWID;
CREATE TABLE blocks (
    space TEXT NOT NULL,
    file TEXT NOT NULL,
    block INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (space, file, block)
) WITHOUT ROWID;
{FIELD_TABLES}
"""

_TOKENS_TABLE = "CREATE TABLE IF NOT EXISTS tokens (space TEXT PRIMARY KEY, storage TEXT NOT NULL) WITHOUT ROWID"


def create_store(folder: Path, space: Space, *, storage: Storage, chunker: dict[str, Any]) -> None:
    """Write an empty store, whole or not at all.

    Args:
        folder: the index's folder.
        space: the space of the first set of vectors.
        storage: how they are stored.
        chunker: what cuts documents into spans, as plain JSON values.

    Raises:
        ArtifactError: there is a store already.
    """
    path = folder / STORE
    if path.exists():
        raise ArtifactError(f"{folder} holds an index already; add to it, or choose another folder")
    meta = {
        "kind": KIND,
        "format": str(FORMAT),
        "chunker": json.dumps(chunker, sort_keys=True),
        "commit": "0",
        "generation": "0",
        "files": "0",
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
                insert_space(connection, space, storage=storage)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        try:
            # Unlike a renamed file, a link never takes the place of another one.
            os.link(unfinished, path)
        except FileExistsError as error:
            raise ArtifactError(f"{folder} was made an index by another process meanwhile; open that") from error
    sync_folder(folder)


def insert_space(connection: sqlite3.Connection, space: Space, *, storage: Storage) -> None:
    """Name one more space behind those that are there."""
    values = (space.fingerprint, json.dumps(space.as_dict(), sort_keys=True), storage)
    connection.execute(
        "INSERT INTO spaces SELECT coalesce(max(position) + 1, 0), ?, ?, ? FROM spaces",
        values,
    )


def insert_token_storage(connection: sqlite3.Connection, space: str, *, storage: TokenStorage) -> None:
    """Note that the rows of a space have token vectors, which makes a store one of :data:`TOKENS_FORMAT`."""
    connection.execute(_TOKENS_TABLE)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'format'", (str(TOKENS_FORMAT),))
    connection.execute("INSERT INTO tokens VALUES (?, ?)", (space, storage))


def connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    """Connect to a store that is there.

    Raises:
        ArtifactError: it is missing, not a store of an index, damaged, or of another format.
    """
    if not path.is_file():
        raise ArtifactError(f"{path.parent} holds no index: {STORE} is missing; build one, or give another folder")
    try:
        connection = _connect(path, writing=writing)
        try:
            _require_readable(connection, path)
            _require_size(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        raise ArtifactError(f"{path} is not the store of an index ({error}); give another folder") from error
    return connection


def store_mark(path: Path) -> tuple[int, ...] | None:
    """What changes with the file of a store that is read as if nobody changed it; None for every other store."""
    if not _is_frozen(path):
        return None
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_frozen(path: Path) -> bool:
    """Whether SQLite can make no file beside a store, as it wants to in WAL mode, and needs none to read it now."""
    log = path.with_name(f"{path.name}-wal")
    return not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)


def _connect(path: Path, *, writing: bool) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=rw"
    if not writing and not os.access(path.parent, os.W_OK):
        # Who may write can change a frozen store under its reader, who compares marks.
        uri = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if _is_frozen(path) else ''}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA query_only={'OFF' if writing else 'ON'}")
    except BaseException:
        connection.close()
        raise
    return connection


def _require_size(connection: sqlite3.Connection, path: Path) -> None:
    """See that a store is not cut short, which SQLite itself notices only where it happens to read.

    While commits are in its log, the file may rightly be shorter than the store.
    """
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size:
        return
    ((n_pages,),) = connection.execute("PRAGMA page_count")
    ((page_bytes,),) = connection.execute("PRAGMA page_size")
    found = path.stat().st_size
    if found < n_pages * page_bytes:
        raise ArtifactError(
            f"{path} has {found} bytes, expected {n_pages * page_bytes}; restore the folder from a copy, or build the "
            f"index again"
        )


def _require_readable(connection: sqlite3.Connection, path: Path) -> None:
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    if meta.get("kind") != KIND:
        raise ArtifactError(f"{path} is a {meta.get('kind')!r}, expected a {KIND!r}; give another folder")
    if meta.get("format") not in (str(FORMAT), str(TOKENS_FORMAT)):
        raise ArtifactError(
            f"{path} has index format {meta.get('format')}, this version reads formats {FORMAT} and {TOKENS_FORMAT}; "
            f"it was written by routeret {meta.get('routeret', 'of an unknown version')}: open it with that version, "
            f"or build it again"
        )
