"""The changes that a store can take, each inside a transaction of the writer."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from routeret.index.fields import AT_ONCE, delete_fields, field_rows, insert_fields, renew_fields
from routeret.index.row_format import Storage
from routeret.index.schema import LONG_LOG_BYTES, STORE, insert_space, insert_token_storage
from routeret.index.segments import Appended, digest_of, number_of
from routeret.index.snapshot import Range
from routeret.index.store import Store, segment_digest
from routeret.index.tokens import TokenStorage, token_streams
from routeret.space import Space
from routeret.types import Document

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class StagedDocument:
    """A document whose vectors are on disk already.

    Attributes:
        document: what came.
        metadata: its metadata in the stored form.
        spans: start and end of its spans, at least one.
    """

    document: Document
    metadata: str
    spans: Spans


class StoreWriter(Store):
    """The one connection that changes a store; the index's writer lock must be held."""

    def __init__(self, folder: Path) -> None:
        """Connect; see :class:`Store`."""
        super().__init__(folder, writing=True)

    def close(self) -> None:
        """Give the connection up; a log that has grown long is first moved into the store, as far as readers let it."""
        log = self.folder / f"{STORE}-wal"
        if log.exists() and log.stat().st_size > LONG_LOG_BYTES:
            self._connection.execute("PRAGMA busy_timeout=0")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        super().close()

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

    def name(self, appended: Appended) -> None:
        """Keep rows that are on disk already."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)",
            ((one.space, one.file, one.block, one.digest) for one in appended.digests),
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?)",
            (
                (one.space, one.file, one.first_row, one.n_rows, segment_digest(one, self.digests(one)))
                for one in appended.segments
            ),
        )
        next_file = max((number_of(one) + 1 for one in appended.segments), default=0)
        self._connection.execute(
            "UPDATE meta SET value = max(CAST(value AS INTEGER), ?) WHERE name = 'files'", (next_file,)
        )

    def stage(self, documents: Sequence[StagedDocument], *, into: Range) -> Range:
        """Insert documents behind a range that is staged; gives the range with them."""
        number, row = into.end_document, into.end_row
        document_rows: list[tuple[Any, ...]] = []
        span_rows: list[tuple[int, int, int, int]] = []
        for one in documents:
            document = one.document
            key = stored_key(document)
            digest = document_digest(document, metadata=one.metadata, key=key, spans=one.spans)
            document_rows.append(
                (number, document.id, document.title, document.text, one.metadata, key, row, len(one.spans), digest)
            )
            span_rows += [(row + place, number, start, end) for place, (start, end) in enumerate(one.spans)]
            number, row = number + 1, row + len(one.spans)
        self._connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", document_rows)
        self._connection.executemany("INSERT INTO spans VALUES (?, ?, ?, ?)", span_rows)
        insert_fields(
            self._connection,
            (
                fields
                for first, one in zip(range(into.end_document, number), documents, strict=True)
                for fields in field_rows(first, json.loads(one.metadata))
            ),
        )
        grown = replace(into, end_document=number, end_row=row)
        self._connection.execute(
            "INSERT OR REPLACE INTO ranges VALUES (?, ?, ?, ?, 1)",
            (grown.first_document, grown.end_document, grown.first_row, grown.end_row),
        )
        return grown

    def cut_range(self, first_document: int, starts: Sequence[int]) -> None:
        """Cut a range into several that begin at some of its documents, the first one among them."""
        ranges = []
        for one in self.ranges():
            if one.first_document != first_document:
                ranges.append(one)
                continue
            rows = dict(self._select_in("SELECT number, first_row FROM documents WHERE number IN", starts))
            ends = [*starts[1:], one.end_document]
            end_rows = [*(rows[start] for start in starts[1:]), one.end_row]
            for start, end, end_row in zip(starts, ends, end_rows, strict=True):
                ranges.append(Range(start, end, rows[start], end_row, staged=one.staged))
        self.set_ranges(ranges)

    def publish(self, first_documents: Iterable[int]) -> None:
        """Show the documents of staged ranges, named by their first numbers."""
        shown = set(first_documents)
        merged: list[Range] = []
        for one in self.ranges():
            current = replace(one, staged=one.staged and one.first_document not in shown)
            last = merged[-1] if merged else None
            if last and not last.staged and not current.staged:
                merged[-1] = replace(last, end_document=current.end_document, end_row=current.end_row)
            else:
                merged.append(current)
        self.set_ranges(merged)

    def set_ranges(self, ranges: Iterable[Range]) -> None:
        """Put ranges in place of all that are there."""
        self._connection.execute("DELETE FROM ranges")
        self._connection.executemany(
            "INSERT INTO ranges VALUES (?, ?, ?, ?, ?)",
            ((one.first_document, one.end_document, one.first_row, one.end_row, int(one.staged)) for one in ranges),
        )

    def remove(self, numbers: Iterable[int]) -> None:
        """Take published documents out; their rows stay until the index is compacted."""
        ordered = sorted(numbers)
        for start in range(0, len(ordered), AT_ONCE):
            part = ordered[start : start + AT_ONCE]
            places = ", ".join("?" * len(part))
            found = self.select(f"SELECT number, metadata FROM documents WHERE number IN ({places})", *part)
            delete_fields(
                self._connection,
                (fields for number, metadata in found for fields in field_rows(number, json.loads(metadata))),
            )
            self._connection.execute(
                f"INSERT INTO removed SELECT NULL, number, first_row, n_rows FROM documents WHERE number IN ({places}) "
                f"ORDER BY number",
                part,
            )
            self._connection.execute(f"DELETE FROM documents WHERE number IN ({places})", part)

    def renumber_fields(self) -> None:
        """Derive the table of metadata values again, after documents got other numbers."""
        renew_fields(self._connection)

    def count_commit(self) -> None:
        """Tell readers that what they see has changed."""
        self._connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'commit'")

    def begin_generation(self, *, commit: int) -> None:
        """Make everything that was derived from numbers and rows so far stale, as of a commit that readers see."""
        self._connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation'")
        self._connection.execute("UPDATE meta SET value = ? WHERE name = 'commit'", (str(commit),))

    def add_space(self, space: Space, *, storage: Storage) -> None:
        """Name one more space; its vectors are to come."""
        insert_space(self._connection, space, storage=storage)

    def keep_tokens(self, fingerprint: str, *, storage: TokenStorage) -> None:
        """Note that the rows of a space have token vectors too; they are to come."""
        insert_token_storage(self._connection, fingerprint, storage=storage)

    def remove_space(self, fingerprint: str) -> None:
        """Forget a space with its vectors and tokens."""
        self.remove_tokens(fingerprint)
        self._connection.execute("DELETE FROM spaces WHERE fingerprint = ?", (fingerprint,))
        self._remove_stream(fingerprint)

    def remove_tokens(self, fingerprint: str) -> None:
        """Forget the tokens of a space, which may have none; its vectors stay."""
        if fingerprint in self.token_formats():
            self._connection.execute("DELETE FROM tokens WHERE space = ?", (fingerprint,))
        for stream in token_streams(fingerprint):
            self._remove_stream(stream)

    def _remove_stream(self, stream: str) -> None:
        for table in ("segments", "blocks"):
            self._connection.execute(f"DELETE FROM {table} WHERE space = ?", (stream,))

    def want_structure(self, wanted: dict[str, Any]) -> None:
        """Keep what the user wants of the search structures."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('structure', ?)", (json.dumps(wanted),))

    def forget_places(self) -> None:
        """Begin a call: no id has come yet."""
        self._connection.execute("DROP TABLE IF EXISTS temp.seen")
        self._connection.execute("CREATE TEMP TABLE seen (id TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID")

    def see(self, document_id: str, place: str) -> str | None:
        """Keep where an id stands in this call; gives the first place, and keeps that, if it came before."""
        found = self._connection.execute("SELECT place FROM temp.seen WHERE id = ?", (document_id,)).fetchone()
        if found is None:
            self._connection.execute("INSERT INTO temp.seen VALUES (?, ?)", (document_id, place))
        return found[0] if found else None

    def execute(self, statement: str, *parameters: object) -> None:
        """Run a statement that gives nothing back."""
        self._connection.execute(statement, parameters)


def document_digest(document: Document, *, metadata: str, key: int, spans: Spans) -> bytes:
    """The checksum of everything that is stored of a document but its number and rows, which may be given anew."""
    content = json.dumps([document.id, document.title, document.text, metadata, key, spans], ensure_ascii=False)
    return digest_of(content.encode())


def stored_key(document: Document) -> int:
    """A document's content key, 64 bits, as SQLite's signed integer of the same bits."""
    key = document.content_key
    return key - (1 << 64) if key >= 1 << 63 else key
