"""Vector segments: raw files of rows that only ever grow behind what a commit names, read as memory maps."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from routeret.artifact import sync_folder
from routeret.errors import ArtifactError
from routeret.index.row_format import PackedRows, RowFormat
from routeret.index.structures.best import exact_scores
from routeret.types import FloatArray, IntArray

VECTORS = "vectors"

SEGMENT_ROWS = 1 << 18
"""Rows of a full segment; the next ones go into a new file."""

BLOCK_ROWS = 1024
"""Rows under one checksum."""

_FILE = re.compile(r"\d{6}\.(f16|f32|i8|i64)")
_FILE_DIGITS = 6
_READ_ROWS = 8192
_SCORED_AT_ONCE = 128  # with their copies in single precision they stay in the caches of a core
_DIGEST_BYTES = 8
_NEXT_STEP = "restore the folder from a copy, or build the index again"


@dataclass(frozen=True, slots=True)
class Segment:
    """Some of the rows of one space.

    Attributes:
        space: fingerprint of the space, or the name of one of its token streams, whose rows are tokens or their ends
            (see :mod:`routeret.index.tokens`).
        file: name of the file below ``vectors/<space>``.
        first_row: the index row of its first vector.
        n_rows: how many vectors a commit names; only the last segment of a space may hold more bytes, which a writer
            that died left behind, or one that is at work has not committed yet.
    """

    space: str
    file: str
    first_row: int
    n_rows: int

    def path(self, folder: Path) -> Path:
        """Where the file stands in an index folder."""
        return folder / VECTORS / self.space / self.file

    @property
    def end_row(self) -> int:
        """The row behind its last one."""
        return self.first_row + self.n_rows


@dataclass(frozen=True, slots=True)
class BlockDigest:
    """The checksum of at most :data:`BLOCK_ROWS` rows.

    Attributes:
        space: fingerprint of the space.
        file: name of the segment's file.
        block: counted from 0 inside the file.
        digest: 8 bytes.
    """

    space: str
    file: str
    block: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the next row of a space goes.

    Attributes:
        last: the segment that may still grow; None where there is none.
        last_digest: the checksum of its last block.
        next_row: the row behind the last one.
        next_file: the number of the next new file.
    """

    last: Segment | None
    last_digest: bytes | None
    next_row: int
    next_file: int


@dataclass(frozen=True, slots=True)
class Appended:
    """What a commit must keep of rows that are on disk already.

    Attributes:
        segments: new and grown segments.
        digests: new and changed checksums.
    """

    segments: tuple[Segment, ...]
    digests: tuple[BlockDigest, ...]

    def joined(self, later: "Appended") -> "Appended":
        """This and what was appended behind it; what grew twice is kept as it is at the end."""
        segments = {(one.space, one.file): one for one in (*self.segments, *later.segments)}
        digests = {(one.space, one.file, one.block): one for one in (*self.digests, *later.digests)}
        return Appended(tuple(segments.values()), tuple(digests.values()))

    def tail(self, *, next_file: int) -> Tail:
        """Where the next row goes; ``next_file`` is a number that no file had before this was appended."""
        if not self.segments:
            return tail_behind(None, None, next_file=next_file)
        return tail_behind(self.segments[-1], self.digests[-1].digest, next_file=next_file)


def number_of(segment: Segment) -> int:
    """The number of a segment's file; no number is ever given twice in an index, so that no reader maps another one."""
    return int(segment.file[:_FILE_DIGITS])


def tail_behind(last: Segment | None, last_digest: bytes | None, *, next_file: int) -> Tail:
    """Where the row behind a segment goes.

    Args:
        last: the last segment of a space; None where there is none.
        last_digest: the checksum of its last block.
        next_file: a number that no file had before.
    """
    if last is None:
        return Tail(None, None, next_row=0, next_file=next_file)
    next_file = max(next_file, number_of(last) + 1)
    if last.n_rows >= SEGMENT_ROWS:
        return Tail(None, None, next_row=last.end_row, next_file=next_file)
    return Tail(last, last_digest, next_row=last.end_row, next_file=next_file)


class SegmentAppender:
    """Appends rows to the segments of one space; what it writes counts once a commit names it."""

    def __init__(self, folder: Path, *, space: str, row_format: RowFormat) -> None:
        """Take where and how to write; the index's writer lock must be held.

        Args:
            folder: the index's folder.
            space: fingerprint of the space.
            row_format: how its vectors are stored.
        """
        self._folder = folder
        self._space = space
        self._format = row_format

    def append(self, rows: PackedRows, tail: Tail) -> Appended:
        """Write rows behind the last commit's, durably; bytes that no commit names are cut off first.

        Args:
            rows: packed rows.
            tail: where they go, by the last commit.

        Raises:
            ArtifactError: the last segment is missing, too short, or its last block is damaged.
        """
        grown: list[Segment] = []
        digests: list[BlockDigest] = []
        start, next_file = 0, tail.next_file
        last, last_digest, first_row = tail.last, tail.last_digest, tail.next_row
        while start < len(rows):
            if last is None:
                last, last_digest = Segment(self._space, f"{next_file:06d}.{self._format.suffix}", first_row, 0), None
                next_file += 1
            part = rows[start : start + SEGMENT_ROWS - last.n_rows]
            digests += self._write(last, part, last_digest)
            grown.append(replace(last, n_rows=last.n_rows + len(part)))
            start, first_row, last = start + len(part), first_row + len(part), None
        return Appended(tuple(grown), tuple(digests))

    def _write(self, segment: Segment, rows: PackedRows, last_digest: bytes | None) -> list[BlockDigest]:
        """Append to one file, and give the checksums of the blocks that have changed."""
        path = segment.path(self._folder)
        row_bytes = self._format.row_bytes
        committed = segment.n_rows * row_bytes
        first_block = segment.n_rows // BLOCK_ROWS
        content = np.ascontiguousarray(rows).tobytes()
        is_new = segment.n_rows == 0
        if is_new:
            path.parent.mkdir(parents=True, exist_ok=True)
        else:
            _require_size(path, committed, self._format, segment.n_rows, may_be_longer=True)
        with path.open("w+b" if is_new else "r+b") as file:
            file.truncate(committed)
            file.seek(first_block * BLOCK_ROWS * row_bytes)
            opened = file.read()
            if opened and digest_of(opened) != last_digest:
                raise ArtifactError(f"{path} is damaged in its rows from {first_block * BLOCK_ROWS} on; {_NEXT_STEP}")
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
                sync_folder(folder)
        changed = opened + content
        step = BLOCK_ROWS * row_bytes
        return [
            BlockDigest(segment.space, segment.file, first_block + number, digest_of(changed[start : start + step]))
            for number, start in enumerate(range(0, len(changed), step))
        ]


class StoredVectors:
    """All vectors of one space in row order, memory-mapped; readers share it freely."""

    def __init__(self, folder: Path, segments: Sequence[Segment], *, row_format: RowFormat, n_rows: int) -> None:
        """Map the files.

        Args:
            folder: the index's folder.
            segments: all segments of the space that a commit names, in row order.
            row_format: how its vectors are stored.
            n_rows: how many rows are shown; further ones are not published yet.

        Raises:
            ArtifactError: a file is missing or has the wrong size.
        """
        self._format = row_format
        self.dim = row_format.dim
        self.n_rows = n_rows
        shown = [segment for segment in segments if segment.first_row < n_rows]
        self._maps = [_map(folder, segment, row_format, is_last=segment == segments[-1]) for segment in shown]
        self._first_rows = np.array([segment.first_row for segment in shown], dtype=np.int64)

    def __len__(self) -> int:
        """How many segments."""
        return len(self._maps)

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[FloatArray]:
        """The vectors of the rows from ``start`` to before ``end``, float32, some thousand rows at a time."""
        end = self.n_rows if end is None else min(end, self.n_rows)
        for packed in self.packed_blocks(start, end):
            yield self._format.unpacked(packed)

    def packed_blocks(self, start: int, end: int) -> Iterator[PackedRows]:
        """The same rows as they are stored."""
        for first_row, mapped in zip(self._first_rows.tolist(), self._maps, strict=True):
            here, there = max(start - first_row, 0), min(end - first_row, len(mapped))
            for begin in range(here, there, _READ_ROWS):
                yield mapped[begin : min(begin + _READ_ROWS, there)]

    def take(self, rows: IntArray) -> FloatArray:
        """Vectors of some rows, float32, shape (n, dim), in the order asked for; rows must exist."""
        return self._format.unpacked(self.packed(rows))

    def scores(self, rows: IntArray, query: FloatArray) -> FloatArray:
        """Exact scores of some rows for a query, shape (n,); rows must exist."""
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _SCORED_AT_ONCE):
            some = slice(start, start + _SCORED_AT_ONCE)
            scores[some] = exact_scores(self.take(rows[some]), query)
        return scores

    def packed(self, rows: IntArray) -> PackedRows:
        """The same rows as they are stored."""
        if len(self._maps) == 1:
            return self._maps[0].take(rows, axis=0)
        taken = self._format.empty(len(rows))
        segment_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        for number in np.unique(segment_of):
            here = segment_of == number
            taken[here] = self._maps[number][rows[here] - self._first_rows[number]]
        return taken


def damaged_files(
    folder: Path,
    segments: Sequence[Segment],
    *,
    row_format: RowFormat,
    digests_of: Callable[[Segment], Sequence[bytes]],
) -> Iterator[tuple[Segment, str]]:
    """The segments of a space whose files are not what was written, and what is wrong, in words.

    Args:
        folder: the index's folder.
        segments: all segments of the space, as a commit names them, in row order.
        row_format: how its vectors are stored.
        digests_of: gives the checksums of a segment in block order.
    """
    for segment in segments:
        is_last = segment == segments[-1]
        reason = _damage(folder, segment, row_format=row_format, digests=digests_of(segment), is_last=is_last)
        if reason:
            yield segment, reason


def _damage(
    folder: Path, segment: Segment, *, row_format: RowFormat, digests: Sequence[bytes], is_last: bool
) -> str | None:
    path = segment.path(folder)
    try:
        _require_size(path, segment.n_rows * row_format.row_bytes, row_format, segment.n_rows, may_be_longer=is_last)
    except ArtifactError as error:
        return str(error)
    n_blocks = -(-segment.n_rows // BLOCK_ROWS)
    if n_blocks != len(digests):
        return f"{path} has {n_blocks} blocks, the store has checksums of {len(digests)}; {_NEXT_STEP}"
    try:
        with path.open("rb") as file:
            for block, expected in enumerate(digests):
                first = block * BLOCK_ROWS
                n_rows = min(BLOCK_ROWS, segment.n_rows - first)
                if digest_of(file.read(n_rows * row_format.row_bytes)) != expected:
                    rows = f"{segment.first_row + first} to {segment.first_row + first + n_rows - 1}"
                    return f"{path} is damaged in rows {rows}: their checksum differs; {_NEXT_STEP}"
    except FileNotFoundError:
        return _missing(path)
    return None


def remove_orphans(folder: Path, segments: Sequence[Segment]) -> None:
    """Remove segment files that no commit names, left by a writer that died; only the writer may call this.

    Args:
        folder: the index's folder.
        segments: all segments that the last commit names, of all spaces.
    """
    named = {segment.path(folder) for segment in segments}
    for path in (folder / VECTORS).glob("*/*"):
        if _FILE.fullmatch(path.name) and path not in named:
            path.unlink()


def digest_of(content: bytes) -> bytes:
    """The checksum of a block."""
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _map(folder: Path, segment: Segment, row_format: RowFormat, *, is_last: bool) -> PackedRows:
    path = segment.path(folder)
    _require_size(path, segment.n_rows * row_format.row_bytes, row_format, segment.n_rows, may_be_longer=is_last)
    try:
        return row_format.mapped(path, segment.n_rows)
    except FileNotFoundError as error:
        raise ArtifactError(_missing(path)) from error


def _require_size(path: Path, expected: int, row_format: RowFormat, n_rows: int, *, may_be_longer: bool) -> None:
    try:
        found = path.stat().st_size
    except FileNotFoundError as error:
        raise ArtifactError(_missing(path)) from error
    if found < expected or (found > expected and not may_be_longer):
        raise ArtifactError(
            f"{path} has {found} bytes, expected {expected} ({n_rows} vectors of {row_format.dim} numbers); "
            f"{_NEXT_STEP}"
        )


def _missing(path: Path) -> str:
    return f"{path} is missing, and the index's last commit names it; {_NEXT_STEP}"
