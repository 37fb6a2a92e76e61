"""Documents into an index: streamed, embedded and kept in blocks, and shown all together at the end or not at all."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from routeret.corpus import Corpus, duplicate
from routeret.errors import DuplicateIdError
from routeret.index.embedding import EmbeddedBlock, Embedder, Piece, pieces_of
from routeret.index.reports import ChangeReport
from routeret.index.row_format import PackedRows, RowFormat
from routeret.index.segments import Appended, SegmentAppender
from routeret.index.snapshot import Range, Snapshot
from routeret.index.store import Version, metadata_json
from routeret.index.store_writer import Spans, StagedDocument, StoreWriter
from routeret.index.tokens import PackedTokens, append_tokens
from routeret.protocols import Encoder
from routeret.types import BoolArray, Document

BLOCK_DOCUMENTS = 4096
"""Documents that are embedded and committed at once; an interrupted call loses at most these."""

BLOCK_DOCUMENTS_WITH_TOKENS = 512
"""The same where a space keeps token vectors, which take some hundred times the memory."""

BLOCK_CHARACTERS_WITH_TOKENS = 1 << 20
"""There a block ends with the document that brings it to so much text, since spans are as many as a text is long."""

_MOST_PIECES = 100
"""A staged range is cut into so many at most, since every snapshot holds all of them."""

Mode = Literal["add", "upsert", "sync"]
"""What happens to documents that are there: another content is an error, or replaces them, or what does not come is
removed besides."""


@dataclass(frozen=True, slots=True)
class _Incoming:
    document: Document
    place: str
    metadata: str
    old: Version | None


class Adder:
    """One call that brings documents; its counts stand when :meth:`steps` is used up.

    A block is appended to the vector files and inserted into the store as *staged*: it is durable, but no reader sees
    it. The last commit shows all that the call brought and takes out what it replaced. A call that is interrupted
    leaves its blocks staged; the next call that brings the same documents finds them, so nothing is embedded twice.
    """

    def __init__(
        self,
        folder: Path,
        store: StoreWriter,
        *,
        encoders: Mapping[str, tuple[Encoder, RowFormat]],
        spans_of: Callable[[Document], Spans],
        mode: Mode,
        batch_size: int,
    ) -> None:
        """Take what the call works with.

        Args:
            folder: the index's folder.
            store: opened by a write session.
            encoders: encoder and row format of every space of the index, by fingerprint.
            spans_of: cuts a document into spans.
            mode: what happens to documents that are there.
            batch_size: how many texts an encoder gets at once.
        """
        self._folder = folder
        self._store = store
        self._formats = {space: row_format for space, (_, row_format) in encoders.items()}
        self._token_formats = store.token_formats()
        self._embedder = Embedder(encoders, token_formats=self._token_formats, batch_size=batch_size)
        self._spans_of = spans_of
        self._mode = mode
        self._before = store.snapshot()
        self._staged = [one for one in self._before.ranges if one.staged]
        self._own: Range | None = None
        self._touched: dict[int, BoolArray] = {}
        self._kept = np.zeros(self._before.n_numbers, dtype=np.bool_)
        self._replaced = np.zeros(self._before.n_numbers, dtype=np.bool_)
        self.counts = dict.fromkeys(ChangeReport.__dataclass_fields__, 0)

    def note(self) -> str:
        """What was embedded so far, for a progress bar; see :meth:`~routeret.index.embedding.Embedder.note`."""
        return self._embedder.note()

    def steps(self, corpus: Corpus) -> Generator[int, None, None]:
        """Bring a corpus; gives after every batch how many documents it had, so that progress can be drawn.

        What readers see changes with the last step; whoever stops before it changes nothing.
        """
        self._store.forget_places()
        if self._token_formats:
            most = min(BLOCK_DOCUMENTS, BLOCK_DOCUMENTS_WITH_TOKENS)
            blocks = _blocks(corpus, n_documents=most, n_characters=BLOCK_CHARACTERS_WITH_TOKENS)
        else:
            blocks = _blocks(corpus, n_documents=BLOCK_DOCUMENTS)
        block = next(blocks)
        while block:
            fresh = self._fresh(block)
            yield len(block) - len(fresh)
            following = next(blocks, [])
            yield from self._keep(fresh, is_last=not following)
            block = following

    def _keep(self, fresh: Sequence[_Incoming], *, is_last: bool) -> Iterator[int]:
        """Embed a block and commit it, the last one together with what the call changes for readers."""
        staged: list[StagedDocument] = []
        pieces: list[Piece] = []
        for one in fresh:
            spans = self._spans_of(one.document)
            staged.append(StagedDocument(one.document, one.metadata, spans))
            rows = self._rows_of(one.old) if one.old else {}
            pieces += pieces_of(one.document, spans, place=one.place, rows=rows)
        embedded = EmbeddedBlock()
        snapshot = self._store.snapshot()
        n_shown = 0
        if pieces:
            for share in self._embedder.steps(pieces, into=embedded, folder=self._folder, snapshot=snapshot):
                n_new = round(share * len(fresh)) - n_shown
                n_shown += n_new
                yield n_new
            appended = [self._append(space, rows) for space, rows in embedded.rows.items()]
            for space, tokens in embedded.tokens.items():
                appended += self._append_tokens(space, tokens)
        with self._store.transaction():
            if pieces:
                for part in appended:
                    self._store.name(part)
                self._own = self._store.stage(staged, into=self._own or _behind(snapshot))
            if is_last:
                self._show()
        self.counts["truncated"] = self._embedder.truncated
        self.counts["spans_embedded"] += embedded.embedded
        self.counts["spans_reused"] += len(pieces) - embedded.embedded
        yield len(fresh) - n_shown

    def _append(self, space: str, rows: PackedRows) -> Appended:
        appender = SegmentAppender(self._folder, space=space, row_format=self._formats[space])
        return appender.append(rows, self._store.tail(space))

    def _append_tokens(self, space: str, tokens: PackedTokens) -> tuple[Appended, Appended]:
        row_format = self._token_formats[space]
        return append_tokens(self._folder, [tokens], space=space, row_format=row_format, tail=self._store.tail)

    def _fresh(self, block: Sequence[tuple[Document, str]]) -> list[_Incoming]:
        """The documents of a block that no row holds as they came, and note what becomes of the others."""
        for document, place in block:
            first = self._store.see(document.id, place)
            if first is not None:
                raise duplicate(document.id, first=first, second=place)
        versions = self._store.versions([document.id for document, _ in block])
        fresh = []
        for document, place in block:
            metadata = metadata_json(document.metadata, place=place)
            stored = versions.get(document.id, [])
            live = next((one for one in stored if self._before.is_published(one.number)), None)
            if live and not _differing(document, metadata, live):
                self._kept[live.number] = True
                self.counts["unchanged"] += 1
                continue
            if live:
                self._replace(live, document, metadata, place)
            self.counts["changed" if live else "added"] += 1
            same = next((one for one in stored if one is not live and not _differing(document, metadata, one)), None)
            if same:
                self._touch(same.number)
            else:
                fresh.append(_Incoming(document, place, metadata, live or next(iter(stored), None)))
        return fresh

    def _replace(self, live: Version, document: Document, metadata: str, place: str) -> None:
        if self._mode == "add":
            part = _differing(document, metadata, live)[0]
            raise DuplicateIdError(
                f"document id {document.id!r} at {place} is in the index already with another {part}; to replace "
                f"documents use upsert, or give it another id"
            )
        self._replaced[live.number] = True

    def _touch(self, number: int) -> None:
        """Note that a staged document came again."""
        one = next(one for one in self._staged if one.first_document <= number < one.end_document)
        if one.first_document not in self._touched:
            self._touched[one.first_document] = np.zeros(one.end_document - one.first_document, dtype=np.bool_)
        self._touched[one.first_document][number - one.first_document] = True
        self.counts["resumed"] += 1

    def _rows_of(self, old: Version) -> dict[tuple[str, str], int]:
        """The rows of a stored version, by title and text of their spans."""
        found = self._store.spans(range(old.first_row, old.first_row + old.n_rows))
        return {(old.title, old.text[start:end]): row for row, (_, start, end) in found.items()}

    def _show(self) -> None:
        """Publish what came and take out what it replaced, in the transaction that is open."""
        out = self._replaced.copy()
        if self._mode == "sync":
            unseen = self._before.live_documents & ~self._kept & ~self._replaced
            self.counts["removed"] = int(unseen.sum())
            out |= unseen
        numbers = np.flatnonzero(out).tolist()
        shown = [self._own.first_document] if self._own else []
        for first, touched in self._touched.items():
            came, absent = self._cut(first, touched)
            shown += came
            numbers += absent
        if not numbers and not shown:
            return
        self._store.publish(shown)
        self._store.remove(numbers)
        self._store.count_commit()

    def _cut(self, first: int, touched: BoolArray) -> tuple[list[int], list[int]]:
        """Cut a staged range so that what did not come again stays staged for the call that it belongs to.

        Returns:
            The first numbers of the ranges to be shown, and numbers to be removed: where a range would fall into too
            many pieces, it is shown as a whole without those that did not come.
        """
        starts = np.flatnonzero(np.diff(touched, prepend=~touched[:1]))
        if len(starts) > _MOST_PIECES:
            return [first], (first + np.flatnonzero(~touched)).tolist()
        self._store.cut_range(first, (first + starts).tolist())
        return (first + starts[touched[starts]]).tolist(), []


def _blocks(
    corpus: Corpus, *, n_documents: int, n_characters: int | None = None
) -> Iterator[list[tuple[Document, str]]]:
    """Documents with their places, so many at once, or fewer where their texts together reach some length."""
    block: list[tuple[Document, str]] = []
    length = 0
    for document, place in corpus.located():
        block.append((document, place))
        length += len(document.title) + len(document.text)
        if len(block) == n_documents or (n_characters is not None and length >= n_characters):
            yield block
            block, length = [], 0
    if block:
        yield block


def _behind(snapshot: Snapshot) -> Range:
    """An empty staged range behind everything that is stored."""
    number, row = snapshot.n_stored_numbers, snapshot.n_stored_rows
    return Range(number, number, row, row, staged=True)


def _differing(document: Document, metadata: str, stored: Version) -> list[str]:
    """Which parts of a document are not as they are stored."""
    new = (document.title, document.text, metadata)
    old = (stored.title, stored.text, stored.metadata)
    return [part for part, one, other in zip(("title", "text", "metadata"), new, old, strict=True) if one != other]
