"""An index without what was removed: numbers and rows given anew, vectors copied, nothing embedded."""

import logging
import sqlite3
from pathlib import Path

import numpy as np

from routeret.errors import ArtifactError
from routeret.index.row_format import RowFormat
from routeret.index.segments import (
    Appended,
    SegmentAppender,
    StoredVectors,
    Tail,
    damaged_files,
    remove_orphans,
    tail_behind,
)
from routeret.index.snapshot import Range, Snapshot
from routeret.index.store_writer import StoreWriter
from routeret.index.tokens import StoredTokens, append_tokens
from routeret.types import IntArray

_COPIED_ROWS = 1 << 16
_COPIED_ROWS_WITH_TOKENS = 1 << 10

# What is left, in its old order, with the new numbers and rows beside the old ones.
_KEPT = """
CREATE TEMP TABLE kept AS
SELECT number AS old, first_row AS old_row, n_rows,
       row_number() OVER (ORDER BY number) - 1 AS new,
       sum(n_rows) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) - n_rows AS new_row
FROM documents ORDER BY number
"""
_RENUMBER = (
    """
    CREATE TEMP TABLE moved_spans AS
    SELECT row - old_row + new_row AS row, new AS document, start, end
    FROM temp.kept CROSS JOIN spans ON spans.row >= old_row AND spans.row < old_row + n_rows
    """,
    "DELETE FROM spans",
    "INSERT INTO spans SELECT row, document, start, end FROM temp.moved_spans ORDER BY row",
    "DROP TABLE temp.moved_spans",
    "CREATE UNIQUE INDEX temp.kept_by_old ON kept (old)",
    # In number order every new number is free: it is at most the old one, and those below have moved already.
    """
    UPDATE documents SET
        first_row = (SELECT new_row FROM temp.kept WHERE old = number),
        number = (SELECT new FROM temp.kept WHERE old = number)
    """,
    "DROP TABLE temp.kept",
    "DELETE FROM removed",
    "DELETE FROM segments",
    "DELETE FROM blocks",
)

_logger = logging.getLogger(__name__)


def compact(folder: Path, store: StoreWriter) -> int:
    """Give numbers and rows anew, without those of removed and staged documents; gives how many rows went.

    Everything changes in one commit; until then, and for readers that do not refresh, the index is what it was.

    Args:
        folder: the index's folder.
        store: opened by a write session.

    Raises:
        ArtifactError: a vector file is damaged; copying would give the damage a new checksum.
    """
    before = store.snapshot()
    if before.n_stored_rows == before.n_live_rows:
        return 0
    rows = np.flatnonzero(before.live_rows)
    _require_whole(folder, store, before)
    copied = [
        _copied(folder, store, before, rows, space, row_format) for space, (_, row_format) in store.spaces().items()
    ]
    for space, row_format in store.token_formats().items():
        copied += _copied_tokens(folder, store, before, rows, space, row_format)
    with store.transaction():
        for one in before.ranges:
            if one.staged:
                bounds = (one.first_document, one.end_document)
                store.execute("DELETE FROM documents WHERE number >= ? AND number < ?", *bounds)
        store.execute("DROP TABLE IF EXISTS temp.kept")
        store.execute(_KEPT)
        for statement in _RENUMBER:
            store.execute(statement)
        for appended in copied:
            store.name(appended)
        n_documents = before.n_documents
        store.set_ranges([Range(0, n_documents, 0, len(rows), staged=False)] if n_documents else [])
        store.renumber_fields()
        store.begin_generation(commit=before.commit + 1)
    remove_orphans(folder, store.snapshot().segments)
    _shrink(store)
    return before.n_stored_rows - len(rows)


def _require_whole(folder: Path, store: StoreWriter, before: Snapshot) -> None:
    """Do nothing if no file is damaged."""
    for stream, row_format in store.streams().items():
        segments = before.segments_of(stream)
        for _, damage in damaged_files(folder, segments, row_format=row_format, digests_of=store.digests):
            raise ArtifactError(damage)


def _copied(
    folder: Path, store: StoreWriter, before: Snapshot, rows: IntArray, space: str, row_format: RowFormat
) -> Appended:
    """The vectors of some rows in new files."""
    appender = SegmentAppender(folder, space=space, row_format=row_format)
    stored = StoredVectors(folder, before.segments_of(space), row_format=row_format, n_rows=before.covers(space))
    rows = rows[rows < stored.n_rows]
    copied = Appended((), ())
    next_file = store.tail(space).next_file
    for start in range(0, len(rows), _COPIED_ROWS):
        part = stored.packed(rows[start : start + _COPIED_ROWS])
        copied = copied.joined(appender.append(part, copied.tail(next_file=next_file)))
    return copied


def _copied_tokens(
    folder: Path, store: StoreWriter, before: Snapshot, rows: IntArray, space: str, row_format: RowFormat
) -> tuple[Appended, Appended]:
    """The tokens of some rows in new files, and where they end there."""
    stored = StoredTokens(folder, before, space=space, row_format=row_format)
    parts = stored.packed_parts(rows[rows < stored.n_rows], n_rows=_COPIED_ROWS_WITH_TOKENS)

    def tail(stream: str) -> Tail:
        return tail_behind(None, None, next_file=store.tail(stream).next_file)

    return append_tokens(folder, parts, space=space, row_format=row_format, tail=tail)


def _shrink(store: StoreWriter) -> None:
    try:
        store.execute("VACUUM")
    except sqlite3.OperationalError as error:
        # The index is compacted already; only the room inside the store's file is not given back.
        _logger.warning("%s stays as large as it was (%s)", store.folder, error)
