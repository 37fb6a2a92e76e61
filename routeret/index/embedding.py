"""Vectors for the spans of a block of documents, in every space of the index: reused where they are there already.

Where a space keeps token vectors, one pass of its encoder gives both.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from routeret.errors import InputError
from routeret.index.row_format import PackedRows, RowFormat
from routeret.index.segments import StoredVectors
from routeret.index.snapshot import Snapshot
from routeret.index.store_writer import Spans
from routeret.index.tokens import PackedTokens, StoredTokens, TokenEncoder
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.types import Document, EncodedDocuments, FloatArray, IntArray

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
        tokens: the pieces' tokens by the fingerprint of every space that keeps them.
        embedded: how many pieces were encoded; one of several with the same title and text is.
    """

    rows: dict[str, PackedRows] = field(default_factory=dict)
    tokens: dict[str, PackedTokens] = field(default_factory=dict)
    embedded: int = 0


class Embedder:
    """Encodes pieces into every space of an index.

    Attributes:
        truncated: how many of all pieces so far the first space's encoder cut.
    """

    def __init__(
        self,
        encoders: Mapping[str, tuple[Encoder, RowFormat]],
        *,
        token_formats: Mapping[str, RowFormat],
        batch_size: int,
    ) -> None:
        """Take the encoders.

        Args:
            encoders: encoder and row format by the fingerprint of their space.
            token_formats: how a token is stored, by the fingerprint of every space that keeps tokens.
            batch_size: how many texts an encoder gets at once.

        Raises:
            InputError: a space keeps tokens, and its encoder gives none.
        """
        for space in token_formats.keys() & encoders.keys():
            require_tokens(encoders[space][0], space=space)
        self._encoders = encoders
        self._token_formats = token_formats
        self._batch_size = batch_size
        self.truncated = 0
        self._n_tokens = 0
        self._seconds = 0.0

    def note(self) -> str:
        """What was embedded so far, for a progress bar: texts that were cut, and tokens a second of the encoders' time.

        Tokens are left out while no encoder has counted any.
        """
        rate = f", {self._n_tokens / self._seconds:,.0f} tokens/s" if self._seconds else ""
        return f"{self.truncated:,} cut{rate}"

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
        alike = _first_alike(pieces, fresh)
        encoded = np.unique(alike)
        n_alike = np.bincount(alike, minlength=len(pieces))
        into.embedded = len(encoded)
        reused = np.flatnonzero(old_rows != NEW)
        for position, (space, (encoder, row_format)) in enumerate(self._encoders.items()):
            rows = into.rows[space] = row_format.empty(len(pieces))
            token_format = self._token_formats.get(space)
            tokens = None if token_format is None else _Tokens(token_format, n_rows=len(pieces))
            if len(reused):
                stored = StoredVectors(
                    folder, snapshot.segments_of(space), row_format=row_format, n_rows=snapshot.covers(space)
                )
                rows[reused] = stored.packed(old_rows[reused])
                if tokens is not None:
                    tokens.copy(StoredTokens(folder, snapshot, space=space, row_format=tokens.row_format), old_rows)
            done = 0
            for batch in self._batches(pieces, encoded):
                start = time.perf_counter()
                found = _encode(encoder, [pieces[number] for number in batch], rows, batch, row_format, tokens)
                self._count_tokens(found, seconds=time.perf_counter() - start)
                if position == 0:
                    self.truncated += int(n_alike[batch][found.truncated.astype(np.bool_)].sum())
                done += len(batch)
                yield (position + done / len(encoded)) / len(self._encoders)
            rows[fresh] = rows[alike]
            if tokens is not None:
                tokens.repeat(alike, fresh)
                into.tokens[space] = tokens.packed()

    def _count_tokens(self, found: EncodedDocuments, *, seconds: float) -> None:
        """Note the tokens of a batch and the time that they took, if its encoder has counted them."""
        if found.n_tokens is not None:
            self._n_tokens += found.n_tokens
            self._seconds += seconds

    def _batches(self, pieces: Sequence[Piece], fresh: IntArray) -> Iterator[IntArray]:
        """Longest texts first, so that texts of like length share a batch and padding is small."""
        lengths = [-len(pieces[number].document.title) - len(pieces[number].document.text) for number in fresh]
        order = fresh[np.argsort(lengths, kind="stable")]
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]


class _Tokens:
    """The tokens of some rows, which come in any order."""

    def __init__(self, row_format: RowFormat, *, n_rows: int) -> None:
        self.row_format = row_format
        self._by_row = [row_format.empty(0)] * n_rows

    def copy(self, stored: StoredTokens, old_rows: IntArray) -> None:
        """Take the tokens of the rows that are there already."""
        reused = np.flatnonzero(old_rows != NEW)
        found = stored.packed(old_rows[reused])
        for row, end, count in zip(reused, np.cumsum(found.counts), found.counts, strict=True):
            self._by_row[row] = found.vectors[end - count : end]

    def repeat(self, sources: IntArray, targets: IntArray) -> None:
        """Take for some rows the tokens of others."""
        for source, target in zip(sources, targets, strict=True):
            self._by_row[target] = self._by_row[source]

    def put(self, vectors: Sequence[FloatArray], where: IntArray, pieces: Sequence[Piece]) -> None:
        """Take the tokens of a batch.

        Raises:
            InputError: a piece has no token, one of the wrong length, or one that cannot be stored.
        """
        if len(vectors) != len(pieces):
            raise InputError(
                f"the encoder gave token vectors of {len(vectors)} documents for {len(pieces)} from "
                f"{pieces[0].document.id!r} on; expected those of every document, in their order"
            )
        for row, one, piece in zip(where, vectors, pieces, strict=True):
            if one.ndim != 2 or one.shape[0] < 1 or one.shape[1] != self.row_format.dim:
                raise InputError(
                    f"the encoder gave token vectors of shape {one.shape} for document {piece.document.id!r} "
                    f"({piece.place}); expected (n_tokens, {self.row_format.dim}) with at least one token"
                )
            packed = self._by_row[row] = self.row_format.packed(np.asarray(one, dtype=np.float32))
            if not (np.isfinite(one).all() and np.isfinite(self.row_format.unpacked(packed)).all()):
                raise InputError(
                    f"a token vector of document {piece.document.id!r} ({piece.place}) holds NaN, or a number beyond "
                    f"{self.row_format.storage}; repair or remove the document, or use another encoder"
                )

    def packed(self) -> PackedTokens:
        """The tokens of all rows, in the order of the rows."""
        counts = np.array([len(one) for one in self._by_row], dtype=np.int64)
        return PackedTokens(np.concatenate([self.row_format.empty(0), *self._by_row]), counts)


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


def _first_alike(pieces: Sequence[Piece], fresh: IntArray) -> IntArray:
    """For every fresh piece the number of the first one of the same title and text: that one is encoded for all."""
    first: dict[tuple[str, str], int] = {}
    keys = ((pieces[number].document.title, pieces[number].document.text) for number in fresh)
    return np.array([first.setdefault(key, number) for key, number in zip(keys, fresh, strict=True)], dtype=np.int64)


def _encode(
    encoder: Encoder,
    pieces: Sequence[Piece],
    rows: PackedRows,
    where: IntArray,
    row_format: RowFormat,
    tokens: _Tokens | None,
) -> EncodedDocuments:
    """Encode a batch into its rows, and its tokens where they are kept; gives what the encoder gave."""
    documents = [piece.document for piece in pieces]
    if tokens is not None and isinstance(encoder, TokenEncoder):
        encoded, vectors = encoder.encode_document_tokens(documents)
        tokens.put(vectors, where, pieces)
    else:
        encoded = encoder.encode_documents(documents)
    _require_shape(encoded.vectors.shape, encoded.truncated.shape, pieces, encoder.space)
    packed = row_format.packed(np.asarray(encoded.vectors, dtype=np.float32))
    _require_vectors(encoded.vectors, row_format.unpacked(packed), pieces, row_format)
    rows[where] = packed
    return encoded


def require_tokens(encoder: Encoder, *, space: str) -> None:
    """Do nothing if an encoder gives token vectors.

    Args:
        encoder: of the space.
        space: fingerprint of a space whose tokens are kept.

    Raises:
        InputError: it gives none.
    """
    if not isinstance(encoder, TokenEncoder):
        raise InputError(
            f"the index keeps token vectors in space {space}, and {type(encoder).__name__} gives none; give the "
            f"model itself, or drop that space"
        )


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
