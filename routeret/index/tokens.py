"""The token vectors of a space's rows: one row after the other in one stream, where each row ends in another.

A stream is stored in segments, as the vectors of a space are; so both are checksummed, grow behind what a commit names,
and are removed and copied by the same code.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from routeret.errors import InputError
from routeret.index.row_format import PackedRows, RowFormat
from routeret.index.segments import Appended, SegmentAppender, StoredVectors, Tail
from routeret.index.snapshot import Snapshot
from routeret.protocols import Encoder
from routeret.ranges import expanded
from routeret.types import Document, EncodedDocuments, FloatArray, IntArray

TokenStorage = Literal["fp16", "int8"]
"""Precision of token vectors; ``int8`` keeps a float32 scale for every token."""

ENDS = RowFormat("int64", 1)
"""A row of the second stream: the number of the token behind its last one, counted over the whole first stream."""


@runtime_checkable
class TokenEncoder(Encoder, Protocol):
    """An encoder that gives the token vectors of a document with its vector, by one pass.

    One that can do so with some models only says whether it can with its own, by an attribute ``has_token_vectors``.
    """

    def encode_document_tokens(self, documents: Sequence[Document]) -> tuple[EncodedDocuments, list[FloatArray]]:
        """What ``encode_documents`` gives, and of every document float32, shape (n_tokens, dim), at least one."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedTokens:
    """The tokens of some rows.

    Attributes:
        vectors: packed, shape (n_tokens, ...); those of the first row, then of the second.
        counts: how many every row has, int64, shape (n_rows,).
    """

    vectors: PackedRows
    counts: IntArray


def token_streams(space: str) -> tuple[str, str]:
    """The names of a space's streams of tokens and of ends."""
    return f"{space}.tokens", f"{space}.ends"


def append_tokens(
    folder: Path,
    parts: Iterable[PackedTokens],
    *,
    space: str,
    row_format: RowFormat,
    tail: Callable[[str], Tail],
) -> tuple[Appended, Appended]:
    """Write the tokens of further rows behind the last commit's, durably; they count once a commit names them.

    Args:
        folder: the index's folder.
        parts: rows in order, some at a time.
        space: fingerprint of the space.
        row_format: of a token.
        tail: gives where the next row of a stream goes.

    Raises:
        ArtifactError: what is there is damaged; see :meth:`routeret.index.segments.SegmentAppender.append`.
    """
    streams = token_streams(space)
    appenders = [
        SegmentAppender(folder, space=stream, row_format=one)
        for stream, one in zip(streams, (row_format, ENDS), strict=True)
    ]
    tails = [tail(stream) for stream in streams]
    next_files = [one.next_file for one in tails]
    written: tuple[list[Appended], list[Appended]] = ([], [])
    for part in parts:
        ends = tails[0].next_row + np.cumsum(part.counts, dtype=np.int64)
        for place, rows in enumerate((part.vectors, ends[:, None])):
            if len(rows):
                written[place].append(appenders[place].append(rows, tails[place]))
                tails[place] = written[place][-1].tail(next_file=next_files[place])
    return _together(written[0]), _together(written[1])


def _together(parts: Sequence[Appended]) -> Appended:
    """What was appended one after the other, at once: joining part to part would take the square of their number."""
    segments = {(one.space, one.file): one for part in parts for one in part.segments}
    digests = {(one.space, one.file, one.block): one for part in parts for one in part.digests}
    return Appended(tuple(segments.values()), tuple(digests.values()))


class StoredTokens:
    """The tokens of all rows of one space, memory-mapped; readers share it freely."""

    def __init__(self, folder: Path, snapshot: Snapshot, *, space: str, row_format: RowFormat) -> None:
        """Map the files.

        Args:
            folder: the index's folder.
            snapshot: the commit that names them.
            space: fingerprint of the space.
            row_format: of a token.

        Raises:
            ArtifactError: a file is missing or has the wrong size.
        """
        self._format = row_format
        self._tokens, self._ends = (
            StoredVectors(folder, snapshot.segments_of(stream), row_format=one, n_rows=snapshot.covers(stream))
            for stream, one in zip(token_streams(space), (row_format, ENDS), strict=True)
        )

    @property
    def n_rows(self) -> int:
        """How many rows have their tokens here."""
        return self._ends.n_rows

    def info(self) -> dict[str, Any]:
        """Plain JSON values: precision, number of tokens, size in bytes."""
        n_tokens = self._tokens.n_rows
        return {
            "storage": self._format.storage,
            "tokens": n_tokens,
            "bytes": n_tokens * self._format.row_bytes + self.n_rows * ENDS.row_bytes,
        }

    def take(self, rows: IntArray) -> tuple[FloatArray, IntArray]:
        """The tokens of some rows, which must exist, and how many each has.

        Returns:
            float32, shape (n_tokens, dim), in the order of the rows; and int64, shape (n_rows,).
        """
        packed = self.packed(rows)
        return self._format.unpacked(packed.vectors), packed.counts

    def packed(self, rows: IntArray) -> PackedTokens:
        """The same tokens as they are stored."""
        bounds = self._ends.packed(np.concatenate([np.maximum(rows - 1, 0), rows]))[:, 0]
        starts, ends = np.where(rows > 0, bounds[: len(rows)], 0), bounds[len(rows) :]
        counts = ends - starts
        return PackedTokens(self._tokens.packed(expanded(starts, counts)), counts)

    def packed_parts(self, rows: IntArray, *, n_rows: int) -> Iterator[PackedTokens]:
        """The same tokens, those of ``n_rows`` rows at a time."""
        for start in range(0, len(rows), n_rows):
            yield self.packed(rows[start : start + n_rows])

    def ends_differ(self) -> bool:
        """Whether the ends fall, or do not end where the tokens do; reads all of them."""
        last = 0
        for part in self._ends.packed_blocks(0, self.n_rows):
            if last > part[0, 0] or (np.diff(part[:, 0]) < 0).any():
                return True
            last = int(part[-1, 0])
        return last != self._tokens.n_rows


def n_complete_rows(snapshot: Snapshot, space: str, *, keeps_tokens: bool) -> int:
    """How many rows have all that a space keeps; all published ones unless the space is still being added.

    Args:
        snapshot: one commit.
        space: fingerprint of the space.
        keeps_tokens: whether it keeps tokens.
    """
    n_rows = snapshot.covers(space)
    return min(n_rows, snapshot.covers(token_streams(space)[1])) if keeps_tokens else n_rows


def require_token_storage(storage: str) -> TokenStorage:
    """The precision of a name.

    Raises:
        InputError: there is none of that name for token vectors.
    """
    for known in get_args(TokenStorage):
        if storage == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"token storage is {storage!r}, expected one of {', '.join(get_args(TokenStorage))}")
