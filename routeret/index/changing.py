"""The calls that change an index, each under the writer lock."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.chunking import Chunker, checked_spans, require_same_chunker
from routeret.corpus import Corpus
from routeret.errors import InputError, SpaceMismatchError, UnknownDocumentError
from routeret.index.adding import Adder, Mode
from routeret.index.compacting import compact
from routeret.index.embedding import EmbeddedBlock, Embedder, pieces_of, require_tokens
from routeret.index.reports import ChangeReport
from routeret.index.row_format import RowFormat, Storage
from routeret.index.segments import VECTORS, SegmentAppender
from routeret.index.snapshot import Snapshot
from routeret.index.store import Store
from routeret.index.store_writer import Spans, StoreWriter
from routeret.index.structures.ann import ANN
from routeret.index.tokens import PackedTokens, TokenStorage, append_tokens, n_complete_rows, token_streams
from routeret.index.write_session import write_session
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.types import BoolArray, Document

_EMBEDDED_ROWS = 4096
_EMBEDDED_ROWS_WITH_TOKENS = 512


def bring(
    folder: Path,
    corpus: Corpus,
    encoders: Encoder | Sequence[Encoder],
    *,
    chunker: Chunker,
    mode: Mode,
    total: int | None,
    batch_size: int,
    show_progress: bool,
) -> ChangeReport:
    """Add, replace or synchronise documents; see :meth:`routeret.index.Index.add`."""
    start = time.perf_counter()
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1")
    with write_session(folder) as store:
        require_same_chunker(store.chunker(), chunker, here=f"index {folder.name!r}")
        adder = Adder(
            folder,
            store,
            encoders=_encoders_of(store, encoders, folder=folder),
            spans_of=_spans_of(chunker),
            mode=mode,
            batch_size=batch_size,
        )
        steps = adder.steps(corpus)
        # Closed here and not by the garbage collector, so that a failure has undone everything on return.
        with closing(steps):
            for _ in track(
                steps, description="adding", total=total, unit="docs", count=int, note=adder.note, show=show_progress
            ):
                pass
    return replace(ChangeReport(**adder.counts), seconds=time.perf_counter() - start)


def remove(folder: Path, ids: Sequence[str]) -> ChangeReport:
    """Take documents out; all of them or, if one is unknown, none."""
    start = time.perf_counter()
    with write_session(folder) as store:
        snapshot = store.snapshot()
        numbers = {document_id: number for document_id, number in store.numbers(ids) if snapshot.is_published(number)}
        unknown = [document_id for document_id in ids if document_id not in numbers]
        if unknown:
            raise UnknownDocumentError(
                f"document {unknown[0]!r} is not in index {folder.name!r} ({len(unknown)} of {len(ids)} ids are not "
                f"among its {snapshot.n_documents} documents), so nothing was deleted; check the ids"
            )
        _remove(store, set(numbers.values()))
    return ChangeReport(removed=len(numbers), seconds=time.perf_counter() - start)


def remove_matching(folder: Path, matching: Callable[[Store, Snapshot], BoolArray]) -> ChangeReport:
    """Take the documents out that a function marks by number, as the index is once the lock is held."""
    start = time.perf_counter()
    with write_session(folder) as store:
        snapshot = store.snapshot()
        numbers = set(np.flatnonzero(matching(store, snapshot) & snapshot.live_documents).tolist())
        _remove(store, numbers)
    return ChangeReport(removed=len(numbers), seconds=time.perf_counter() - start)


def compact_index(folder: Path) -> int:
    """Give numbers and rows anew; gives how many rows went."""
    with write_session(folder) as store:
        return compact(folder, store)


def embed_space(
    folder: Path,
    encoder: Encoder,
    *,
    storage: Storage,
    tokens: TokenStorage | None,
    batch_size: int,
    show_progress: bool,
) -> int:
    """Give every row a vector in one more space, and its tokens where they are wanted or kept there already.

    Goes on where an interrupted call stopped. Gives how many rows were new.
    """
    space = encoder.space
    with write_session(folder) as store:
        if tokens is not None:
            _require_kept_as(store, space.fingerprint, tokens)
            # Before anything is changed, since an encoder without tokens could never fill them.
            require_tokens(encoder, space=space.fingerprint)
            _require_comparable(encoder)
        with store.transaction():
            if space.fingerprint not in store.spaces():
                store.add_space(space, storage=storage)
                store.count_commit()
            if tokens is not None and space.fingerprint not in store.token_formats():
                store.keep_tokens(space.fingerprint, storage=tokens)
                store.count_commit()
        token_formats = {one: kept for one, kept in store.token_formats().items() if one == space.fingerprint}
        row_format = store.spaces()[space.fingerprint][1]
        snapshot = store.snapshot()
        end = snapshot.n_stored_rows
        first = n_complete_rows(snapshot, space.fingerprint, keeps_tokens=bool(token_formats))
        embedder = Embedder(
            {space.fingerprint: (encoder, row_format)}, token_formats=token_formats, batch_size=batch_size
        )
        step = _EMBEDDED_ROWS_WITH_TOKENS if token_formats else _EMBEDDED_ROWS
        rows = range(first, end, step)
        for start in track(
            rows, description="embedding", total=len(rows), unit="blocks", note=embedder.note, show=show_progress
        ):
            part = range(start, min(start + step, end))
            _embed_rows(folder, store, embedder, space, row_format, part)
        if end > first:
            with store.transaction():
                store.count_commit()
    return end - first


def want_structure(folder: Path, wanted: dict[str, Any]) -> None:
    """Keep what the user wants of the search structures."""
    with write_session(folder) as store, store.transaction():
        store.want_structure(wanted)


def drop_space(folder: Path, fingerprint: str) -> None:
    """Forget a space but the first one, and remove its vectors."""
    with write_session(folder) as store:
        spaces = list(store.spaces())
        if fingerprint not in spaces[1:]:
            others = ", ".join(spaces[1:]) or "none"
            raise InputError(
                f"index {folder.name!r} has no further space {fingerprint}; it could drop: {others} "
                f"({spaces[0]}, its first one, stays)"
            )
        with store.transaction():
            store.remove_space(fingerprint)
            store.count_commit()
        streams = [folder / VECTORS / stream for stream in (fingerprint, *token_streams(fingerprint))]
        for path in (*streams, folder / ANN / fingerprint):
            shutil.rmtree(path, ignore_errors=True)


def drop_tokens(folder: Path, fingerprint: str) -> None:
    """Forget the tokens of a space, and keep its vectors."""
    with write_session(folder) as store:
        if fingerprint not in store.token_formats():
            raise InputError(f"index {folder.name!r} keeps no tokens of space {fingerprint}; there is nothing to drop")
        with store.transaction():
            store.remove_tokens(fingerprint)
            store.count_commit()
        for stream in token_streams(fingerprint):
            shutil.rmtree(folder / VECTORS / stream, ignore_errors=True)


def _remove(store: StoreWriter, numbers: set[int]) -> None:
    if numbers:
        with store.transaction():
            store.remove(numbers)
            store.count_commit()


def _spans_of(chunker: Chunker) -> Callable[[Document], Spans]:
    def spans_of(document: Document) -> Spans:
        return tuple(checked_spans(document, chunker.spans(document)))

    return spans_of


def _encoders_of(
    store: StoreWriter, encoders: Encoder | Sequence[Encoder], *, folder: Path
) -> Mapping[str, tuple[Encoder, RowFormat]]:
    """One encoder for every space of an index, in the index's order."""
    given = list(encoders) if isinstance(encoders, Sequence) else [encoders]
    by_space = {encoder.space.fingerprint: encoder for encoder in given}
    spaces, token_formats = store.spaces(), store.token_formats()
    snapshot = store.snapshot()
    end = snapshot.n_stored_rows
    for number, (fingerprint, (space, _)) in enumerate(spaces.items()):
        if fingerprint not in by_space:
            if number == 0 and len(given) == 1:
                space.require_same(given[0].space, here=f"index {folder.name!r}", there="the encoder")
            raise SpaceMismatchError(
                f"index {folder.name!r} has vectors in space {fingerprint} too, and no encoder for it was given; give "
                f"one encoder for each of its spaces ({', '.join(spaces)}), or drop that space"
            )
        held = n_complete_rows(snapshot, fingerprint, keeps_tokens=fingerprint in token_formats)
        if held != end:
            raise InputError(
                f"space {fingerprint} of index {folder.name!r} holds {held} of {end} rows, since adding it was "
                f"interrupted; finish that with add_space, or drop the space"
            )
    unknown = [encoder for encoder in given if encoder.space.fingerprint not in spaces]
    if unknown:
        raise SpaceMismatchError(
            f"an encoder writes space {unknown[0].space.fingerprint}, index {folder.name!r} holds {', '.join(spaces)}; "
            f"add that space first"
        )
    return {fingerprint: (by_space[fingerprint], row_format) for fingerprint, (_, row_format) in spaces.items()}


def _embed_rows(
    folder: Path, store: StoreWriter, embedder: Embedder, space: Space, row_format: RowFormat, rows: range
) -> None:
    """Embed some rows into a space and commit them; those of removed documents stay zero and without tokens.

    Rows that have their vector already are embedded for their tokens alone.
    """
    spans = store.spans(rows)
    documents = store.documents(sorted({number for number, _, _ in spans.values()}))
    alive = [row for row in rows if spans[row][0] in documents]
    pieces = [
        piece
        for row in alive
        for piece in pieces_of(documents[spans[row][0]], (spans[row][1:],), place=f"row {row}", rows={})
    ]
    embedded = EmbeddedBlock()
    snapshot = store.snapshot()
    for _ in embedder.steps(pieces, into=embedded, folder=folder, snapshot=snapshot):
        pass
    places = np.array(alive, dtype=np.int64) - rows.start
    packed = row_format.empty(len(rows))
    packed[:] = np.zeros((), dtype=packed.dtype)
    packed[places] = embedded.rows[space.fingerprint]
    appender = SegmentAppender(folder, space=space.fingerprint, row_format=row_format)
    n_held = max(snapshot.covers(space.fingerprint) - rows.start, 0)
    appended = [appender.append(packed[n_held:], store.tail(space.fingerprint))]
    for name, tokens in embedded.tokens.items():
        counts = np.zeros(len(rows), dtype=np.int64)
        counts[places] = tokens.counts
        part = PackedTokens(tokens.vectors, counts)
        token_format = store.token_formats()[name]
        appended += append_tokens(folder, [part], space=name, row_format=token_format, tail=store.tail)
    with store.transaction():
        for one in appended:
            store.name(one)


def _require_comparable(encoder: Encoder) -> None:
    """Do nothing if an encoder gives tokens with the model that it has.

    Raises:
        InputError: it says that it does not.
    """
    if not getattr(encoder, "has_token_vectors", True):
        raise InputError(
            f"the model of space {encoder.space.fingerprint} has no token vectors whose mean is its pooled one, so no "
            f"tokens can be kept; choose a model that pools by the mean with nothing but normalisation behind it, or "
            f"keep no tokens"
        )


def _require_kept_as(store: StoreWriter, space: str, wanted: TokenStorage) -> None:
    """Do nothing if a space keeps no tokens yet, or keeps them in the precision that is wanted.

    Raises:
        InputError: it keeps them in another one.
    """
    kept = store.token_formats().get(space)
    if kept is not None and kept.storage != wanted:
        raise InputError(
            f"index {store.folder.name!r} keeps tokens of space {space} as {kept.storage}, wanted is {wanted}; take "
            f"{kept.storage}, or drop its tokens first"
        )
