"""Adding documents to an index: streamed, encoded in blocks, kept as a whole or not at all."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from routeret.corpus import Corpus, duplicate
from routeret.errors import DuplicateIdError, InputError
from routeret.index.segments import HalfArray, Segment, SegmentWriter, remove_orphans
from routeret.index.store import Store, metadata_json
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.types import Document

_BLOCK_DOCUMENTS = 4096


@dataclass(frozen=True, slots=True)
class AddReport:
    """What one call of :meth:`Index.add` did.

    Attributes:
        added: documents that are new in the index.
        unchanged: documents that the index held already, with the same title, text and metadata.
        truncated: new documents whose text was cut at the encoder's token limit.
        seconds: how long the call took.
    """

    added: int
    unchanged: int
    truncated: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Incoming:
    document: Document
    place: str
    metadata: str


class Adder:
    """One call of :meth:`Index.add`; its counts stand when :meth:`steps` is used up."""

    def __init__(self, folder: Path, store: Store, encoder: Encoder, *, batch_size: int) -> None:
        """Take what the call works with.

        Args:
            folder: the index's folder; its writer lock is held.
            store: a connection that may write.
            encoder: of the index's space.
            batch_size: how many documents the encoder gets at once.
        """
        self._folder = folder
        self._store = store
        self._encoder = encoder
        self._batch_size = batch_size
        self._place_by_id: dict[str, str] = {}
        self.added = 0
        self.unchanged = 0
        self.truncated = 0

    def steps(self, corpus: Corpus) -> Generator[None, None, None]:
        """Add a corpus; gives one item a document, so that progress can be drawn.

        The commit is the last step: whoever stops before the end adds nothing.
        """
        before = self._store.snapshot()
        remove_orphans(self._folder, before.segments)
        space = self._encoder.space
        writer = SegmentWriter(
            self._folder,
            space=space.fingerprint,
            number=len(before.segments),
            first_row=before.n_rows,
            dim=space.dim,
        )
        with writer, self._store.transaction():
            located = corpus.located()
            while block := list(islice(located, _BLOCK_DOCUMENTS)):
                fresh = self._fresh(block)
                for _ in range(len(block) - len(fresh)):
                    yield None
                if not fresh:
                    continue
                vectors = np.empty((len(fresh), space.dim), dtype=np.float16)
                yield from self._encode(fresh, into=vectors, space=space)
                writer.append(vectors)
                self._store.insert(
                    [(one.document, one.metadata) for one in fresh],
                    first_number=before.n_documents + self.added,
                    first_row=before.n_rows + self.added,
                )
                self.added += len(fresh)
            if self.added:
                segment: Segment = writer.finish()
                self._store.finish(segment)

    def _fresh(self, block: Sequence[tuple[Document, str]]) -> list[_Incoming]:
        """The documents of a block that the index does not hold yet."""
        for document, place in block:
            if document.id in self._place_by_id:
                raise duplicate(document.id, first=self._place_by_id[document.id], second=place)
            self._place_by_id[document.id] = place
        stored = self._store.stored([document.id for document, _ in block])
        fresh = []
        for document, place in block:
            metadata = metadata_json(document.metadata, place=place)
            if document.id not in stored:
                fresh.append(_Incoming(document, place, metadata))
                continue
            _, title, text, old_metadata = stored[document.id]
            new = {"title": document.title, "text": document.text, "metadata": metadata}
            old = {"title": title, "text": text, "metadata": old_metadata}
            differing = [part for part in new if new[part] != old[part]]
            if differing:
                raise DuplicateIdError(
                    f"document id {document.id!r} at {place} is in the index already with another {differing[0]}; "
                    f"give it another id, or build the index again from the new documents"
                )
            self.unchanged += 1
        return fresh

    def _encode(self, fresh: Sequence[_Incoming], *, into: HalfArray, space: Space) -> Iterator[None]:
        """Encode a block, longest texts first, so that texts of like length share a batch and padding is small."""
        lengths = [-len(one.document.title) - len(one.document.text) for one in fresh]
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            documents = [fresh[number].document for number in batch]
            encoded = self._encoder.encode_documents(documents)
            if encoded.vectors.shape != (len(batch), space.dim) or encoded.truncated.shape != (len(batch),):
                raise InputError(
                    f"the encoder gave vectors of shape {encoded.vectors.shape} and truncation of shape "
                    f"{encoded.truncated.shape} for {len(batch)} documents from {documents[0].id!r} on; expected "
                    f"({len(batch)}, {space.dim}) and ({len(batch)},)"
                )
            with np.errstate(over="ignore"):
                into[batch] = encoded.vectors
            _require_vectors(into[batch], [fresh[number] for number in batch])
            self.truncated += int(encoded.truncated.sum())
            for _ in batch:
                yield None


def _require_vectors(vectors: HalfArray, incoming: Sequence[_Incoming]) -> None:
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1))
    if len(bad):
        one, vector = incoming[bad[0]], vectors[bad[0]]
        found = "only zeros" if np.isfinite(vector).all() else "NaN, or a number beyond half precision"
        raise InputError(
            f"the encoder's vector of document {one.document.id!r} ({one.place}) holds {found}; "
            f"repair or remove the document, or use another encoder"
        )
