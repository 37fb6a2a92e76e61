"""Vectors for the spans of a block of documents, in every space of the index: reused where they are there already."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from routeret.errors import InputError
from routeret.index.row_format import PackedRows, RowFormat
from routeret.index.segments import StoredVectors
from routeret.index.snapshot import Snapshot
from routeret.index.store_writer import Spans
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.types import Document, IntArray

NEW = -1
"""Stands for a span that no row holds yet."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One span to be stored.

    Attributes:
        document: the document's id and title with the span's text.
        place: where the document stands in its source.
        old_row: a row with the vector of the same title and text, or :data:`NEW`.
    """

    document: Document
    place: str
    old_row: int


@dataclass(slots=True)
class EmbeddedBlock:
    """The rows of some pieces.

    Attributes:
        rows: packed rows by the fingerprint of their space, in the order of the pieces.
        truncated: how many texts the first space's encoder cut.
        embedded: how many pieces were encoded.
    """

    rows: dict[str, PackedRows] = field(default_factory=dict)
    truncated: int = 0
    embedded: int = 0


class Embedder:
    """Encodes pieces into every space of an index."""

    def __init__(self, encoders: Mapping[str, tuple[Encoder, RowFormat]], *, batch_size: int) -> None:
        """Take the encoders.

        Args:
            encoders: encoder and row format by the fingerprint of their space.
            batch_size: how many texts an encoder gets at once.
        """
        self._encoders = encoders
        self._batch_size = batch_size

    def steps(
        self, pieces: Sequence[Piece], *, into: EmbeddedBlock, folder: Path, snapshot: Snapshot
    ) -> Iterator[float]:
        """Fill a block; gives the share that is done, so that progress can be drawn.

        Args:
            pieces: what to embed.
            into: takes the rows.
            folder: the index's folder.
            snapshot: the last commit, which holds the rows that are used again.
        """
        old_rows = np.array([piece.old_row for piece in pieces], dtype=np.int64)
        fresh = np.flatnonzero(old_rows == NEW)
        into.embedded = len(fresh)
        for position, (space, (encoder, row_format)) in enumerate(self._encoders.items()):
            rows = into.rows[space] = row_format.empty(len(pieces))
            if len(fresh) < len(pieces):
                stored = StoredVectors(
                    folder, snapshot.segments_of(space), row_format=row_format, n_rows=snapshot.covers(space)
                )
                reused = np.flatnonzero(old_rows != NEW)
                rows[reused] = stored.packed(old_rows[reused])
            done = 0
            for batch in self._batches(pieces, fresh):
                truncated = _encode(encoder, [pieces[number] for number in batch], rows, batch, row_format)
                into.truncated += truncated if position == 0 else 0
                done += len(batch)
                yield (position + done / len(fresh)) / len(self._encoders)

    def _batches(self, pieces: Sequence[Piece], fresh: IntArray) -> Iterator[IntArray]:
        """Longest texts first, so that texts of like length share a batch and padding is small."""
        lengths = [-len(pieces[number].document.title) - len(pieces[number].document.text) for number in fresh]
        order = fresh[np.argsort(lengths, kind="stable")]
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]


def pieces_of(document: Document, spans: Spans, *, place: str, rows: Mapping[tuple[str, str], int]) -> list[Piece]:
    """The spans of a document as pieces.

    Args:
        document: what came.
        spans: start and end of its spans.
        place: where it stands in its source.
        rows: rows that hold vectors already, by title and text of their spans.
    """
    pieces = []
    for start, end in spans:
        is_whole = (start, end) == (0, len(document.text))
        piece = document if is_whole else replace(document, text=document.text[start:end])
        pieces.append(Piece(piece, place, rows.get((piece.title, piece.text), NEW)))
    return pieces


def _encode(encoder: Encoder, pieces: Sequence[Piece], rows: PackedRows, where: IntArray, row_format: RowFormat) -> int:
    """Encode a batch into its rows; gives how many texts were cut."""
    encoded = encoder.encode_documents([piece.document for piece in pieces])
    _require_shape(encoded.vectors.shape, encoded.truncated.shape, pieces, encoder.space)
    packed = row_format.packed(np.asarray(encoded.vectors, dtype=np.float32))
    _require_vectors(encoded.vectors, row_format.unpacked(packed), pieces, row_format)
    rows[where] = packed
    return int(encoded.truncated.sum())


def _require_shape(vectors: tuple[int, ...], truncated: tuple[int, ...], pieces: Sequence[Piece], space: Space) -> None:
    if vectors != (len(pieces), space.dim) or truncated != (len(pieces),):
        raise InputError(
            f"the encoder gave vectors of shape {vectors} and truncation of shape {truncated} for {len(pieces)} "
            f"documents from {pieces[0].document.id!r} on; expected ({len(pieces)}, {space.dim}) and ({len(pieces)},)"
        )


def _require_vectors(given: np.ndarray, stored: np.ndarray, pieces: Sequence[Piece], row_format: RowFormat) -> None:
    bad = np.flatnonzero(~(np.isfinite(given) & np.isfinite(stored)).all(axis=1) | ~stored.any(axis=1))
    if len(bad):
        piece = pieces[bad[0]]
        found = f"NaN, or a number beyond {row_format.storage}"
        if np.isfinite(given[bad[0]]).all() and np.isfinite(stored[bad[0]]).all():
            found = "only zeros"
        raise InputError(
            f"the encoder's vector of document {piece.document.id!r} ({piece.place}) holds {found}; repair or remove "
            f"the document, or use another encoder"
        )
