"""An index at one commit: its documents, vectors and full text, and searching them."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from routeret.conditions import Filter
from routeret.errors import InputError, SpaceMismatchError, UnknownDocumentError
from routeret.filters import parse_filter
from routeret.index.derived import advise_faiss, open_fulltext, open_search
from routeret.index.fields import matching
from routeret.index.lexical import Fulltext
from routeret.index.row_format import RowFormat
from routeret.index.schema import STORE
from routeret.index.segments import StoredVectors
from routeret.index.snapshot import Snapshot
from routeret.index.store import Store
from routeret.index.structures.row_search import RowSearch
from routeret.optional import is_installed
from routeret.space import Space
from routeret.types import BoolArray, Document, FloatArray, HashArray, IntArray, TopK

_FILTERS_KEPT = 32


class Reader:
    """What can be asked of an open index; several threads may ask at once."""

    def __init__(self, folder: Path, store: Store) -> None:
        """Keep an open store.

        Args:
            folder: the index's folder.
            store: open for reading.
        """
        self._folder = folder
        self._store = store
        self._building = threading.RLock()
        self._row_documents = np.empty(0, dtype=np.int64)
        self._generation = -1
        self._fulltext: Fulltext | None = None
        self._searches: dict[str, RowSearch] = {}
        self._matching: dict[Filter, BoolArray] = {}
        self._show()

    def close(self) -> None:
        """Give the store's connection up; the index cannot be used afterwards."""
        self._store.close()

    @property
    def folder(self) -> Path:
        """Where it stands."""
        return self._folder

    @property
    def space(self) -> Space:
        """The space that it was created with."""
        return next(iter(self._spaces.values()))[0]

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All spaces in which its rows have vectors, or are being given some."""
        return tuple(space for space, _ in self._spaces.values())

    @property
    def n_rows(self) -> int:
        """The row behind the last one; rows of removed documents count."""
        return self._snapshot.n_rows

    @property
    def n_numbers(self) -> int:
        """The document number behind the last one; numbers of removed documents count."""
        return self._snapshot.n_numbers

    @property
    def live_documents(self) -> BoolArray:
        """Whether each document number is in use, shape (n_numbers,); do not change it."""
        return self._snapshot.live_documents

    @property
    def live_rows(self) -> IntArray:
        """The rows of all documents, int64, in order."""
        return np.flatnonzero(self._snapshot.live_rows)

    def __len__(self) -> int:
        """How many documents."""
        return self._snapshot.n_documents

    def refresh(self) -> None:
        """See what others have changed since."""
        self._store.renew()
        if self._store.commit() != self._snapshot.commit:
            self._show()

    def matching(self, filter: Filter | Mapping[str, Any]) -> BoolArray:
        """Whether each document number matches a filter on its metadata, shape (n_numbers,); do not change it.

        Args:
            filter: see :func:`routeret.filters.parse_filter`.

        Raises:
            InputError: the filter is malformed, or names a field that no document has.
        """
        parsed = parse_filter(filter)
        with self._building:
            if parsed not in self._matching:
                if len(self._matching) >= _FILTERS_KEPT:
                    self._matching.pop(next(iter(self._matching)))
                self._matching[parsed] = matching_documents(parsed, self._store, self._snapshot)
            return self._matching[parsed]

    def search(self, queries: FloatArray, k: int, *, space: Space, documents: BoolArray | None = None) -> TopK:
        """The best rows of every query.

        Args:
            queries: float32, shape (n_queries, dim).
            k: at least 1; more than the rows gives all of them.
            space: what the queries were written into; one of the index's.
            documents: shape (n_numbers,); which document numbers may be found, for example by :meth:`matching`. None
                is all of them. No row outside is counted among the k.

        Returns:
            Rows and inner products, shape (n_queries, min(k, rows that may be found)), best first; equal scores keep
            the lower row first.

        Raises:
            SpaceMismatchError: the queries are of another space.
            InputError: a wrong shape, a number that is not finite, ``k`` below 1, or a space that does not have all
                its vectors yet.
        """
        vectors, _ = self._stored(space)
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != space.dim:
            raise InputError(f"queries have shape {queries.shape}, expected (n_queries, {space.dim})")
        if not np.isfinite(queries).all():
            bad = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise InputError(f"query {bad} of {len(queries)} has a vector that is not finite; check the encoder")
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        return self._search_of(space, vectors).search(queries, k, allowed=self._allowed(documents))

    def vectors(self, rows: IntArray, *, space: Space | None = None) -> FloatArray:
        """The vectors of some rows, float32, shape (n, dim), in the order asked for.

        Args:
            rows: row numbers.
            space: one of the index's; by default its first one.
        """
        vectors, _ = self._stored(space or self.space)
        return vectors.take(self._checked(rows, end=self.n_rows, what="row"))

    @property
    def row_documents(self) -> IntArray:
        """The document number of every row, int64, shape (n_rows,), in order; do not change it."""
        with self._building:
            known = len(self._row_documents)
            if known < self.n_rows:
                if self.n_rows == self.n_numbers:
                    # Every document has at least one row, so each has one, and the numbers are the same.
                    self._row_documents = np.arange(self.n_rows)
                else:
                    further = self._store.row_documents(known, self.n_rows)
                    self._row_documents = np.concatenate([self._row_documents, further])
            return self._row_documents

    def content_keys(self, numbers: IntArray | Sequence[int]) -> HashArray:
        """The content keys of some documents, uint64, in the order asked for."""
        return self._store.content_keys(self._live(numbers))

    def spans(self, rows: IntArray | Sequence[int]) -> list[tuple[int, int]]:
        """Start and end of the spans of some rows, in characters of their documents' texts."""
        checked = self._checked(rows, end=self.n_rows, what="row").tolist()
        found = self._store.spans(checked)
        return [found[row][1:] for row in checked]

    def documents(self, numbers: IntArray | Sequence[int]) -> list[Document]:
        """The documents of some numbers, in the order asked for."""
        live = self._live(numbers)
        found = self._store.documents(live)
        return [found[number] for number in live]

    def ids(self, numbers: IntArray | Sequence[int] | None = None) -> list[str]:
        """The ids of some document numbers, in the order asked for; of all documents, in number order, by default."""
        live = np.flatnonzero(self.live_documents).tolist() if numbers is None else self._live(numbers)
        found = self._store.ids(live)
        return [found[number] for number in live]

    def contains(self, ids: Sequence[str]) -> BoolArray:
        """Whether each id is in the index, shape (n,)."""
        found = self._known(ids)
        return np.array([document_id in found for document_id in ids], dtype=np.bool_)

    def numbers(self, ids: Sequence[str]) -> IntArray:
        """The document numbers of some ids, int64, shape (n,).

        Raises:
            UnknownDocumentError: an id is not in the index.
        """
        found = self._known(ids)
        unknown = [document_id for document_id in ids if document_id not in found]
        if unknown:
            raise UnknownDocumentError(
                f"document {unknown[0]!r} is not in index {self._folder.name!r} ({len(unknown)} of {len(ids)} ids "
                f"are not among its {len(self)} documents); check the ids, or add the documents first"
            )
        return np.array([found[document_id] for document_id in ids], dtype=np.int64)

    def get(self, document_id: str) -> Document:
        """The document of an id.

        Raises:
            UnknownDocumentError: it is not in the index.
        """
        return self.documents(self.numbers([document_id]))[0]

    @property
    def has_structure(self) -> bool:
        """Whether rows of the first space are found by a FAISS structure, and not by exact search alone."""
        ann = self._search_of(self.space, self._vectors[self.space.fingerprint]).ann
        return ann is not None and ann.structure is not None

    @property
    def fulltext(self) -> Fulltext:
        """BM25 over titles and texts, by document number; made again where it is missing or stale."""
        with self._building:
            if self._fulltext is None:
                self._fulltext = open_fulltext(self._folder, self._store, self._snapshot)
            return self._fulltext

    def info(self) -> dict[str, Any]:
        """Plain JSON values: counts, spaces, sizes in bytes, and what searches it."""
        snapshot = self._snapshot
        return {
            "documents": len(self),
            "rows": snapshot.n_live_rows,
            "removed_rows": snapshot.n_rows - snapshot.n_live_rows,
            "staged_documents": snapshot.n_staged,
            "commit": snapshot.commit,
            "chunker": self._store.chunker(),
            "store_bytes": sum(file.stat().st_size for file in self._folder.glob(f"{STORE}*")),
            "space": self.space.fingerprint,
            "structure": self._search_of(self.space, self._vectors[self.space.fingerprint]).info(),
            "spaces": {
                space.fingerprint: {
                    "storage": row_format.storage,
                    "rows": snapshot.covers(space.fingerprint),
                    "segments": len(snapshot.segments_of(space.fingerprint)),
                    "vectors_bytes": snapshot.covers(space.fingerprint) * row_format.row_bytes,
                }
                for space, row_format in self._spaces.values()
            },
        }

    def _show(self) -> None:
        """Stand at the store's commit; what is derived from documents is built again when it is needed."""
        snapshot = self._store.snapshot()
        with self._building:
            self._spaces = self._store.spaces()
            self._snapshot = snapshot
            if snapshot.generation != self._generation:
                self._row_documents = np.empty(0, dtype=np.int64)
                self._searches = {}
            self._generation = snapshot.generation
            self._matching = {}
            self._fulltext = None
            self._vectors = {
                fingerprint: StoredVectors(
                    self._folder,
                    snapshot.segments_of(fingerprint),
                    row_format=row_format,
                    n_rows=min(snapshot.n_rows, snapshot.covers(fingerprint)),
                )
                for fingerprint, (_, row_format) in self._spaces.items()
            }
            self._searches = {
                fingerprint: search.extended(self._vectors[fingerprint])
                for fingerprint, search in self._searches.items()
                if fingerprint in self._vectors
            }

    def _search_of(self, space: Space, vectors: StoredVectors) -> RowSearch:
        with self._building:
            fingerprint = space.fingerprint
            if fingerprint not in self._searches:
                self._searches[fingerprint] = open_search(self._folder, fingerprint, vectors, self._snapshot)
                if self._searches[fingerprint].is_due and not is_installed("faiss"):
                    advise_faiss()
            return self._searches[fingerprint]

    def _stored(self, space: Space) -> tuple[StoredVectors, RowFormat]:
        """The vectors of a space, which must be one of the index's and hold all its rows."""
        if space.fingerprint not in self._spaces:
            if len(self._spaces) == 1:
                self.space.require_same(space, here=f"index {self._folder.name!r}", there="the query side")
            raise SpaceMismatchError(
                f"index {self._folder.name!r} holds spaces {', '.join(self._spaces)}, the query side writes space "
                f"{space.fingerprint}; use a model of one of them, or add the space with its documents' encoder"
            )
        vectors = self._vectors[space.fingerprint]
        if vectors.n_rows < self.n_rows:
            raise InputError(
                f"space {space.fingerprint} of index {self._folder.name!r} holds {vectors.n_rows} of {self.n_rows} "
                f"rows, since adding it was interrupted; finish that with add_space"
            )
        return vectors, self._spaces[space.fingerprint][1]

    def _allowed(self, documents: BoolArray | None) -> BoolArray | None:
        """Which rows may be found, shape (n_rows,); None where all may."""
        if documents is None:
            return None if self._snapshot.is_whole else self._snapshot.live_rows
        if documents.shape != (self.n_numbers,):
            raise InputError(f"documents has shape {documents.shape}, expected ({self.n_numbers},)")
        rows: BoolArray = documents[self.row_documents]
        return rows if self._snapshot.is_whole else rows & self._snapshot.live_rows

    def _known(self, ids: Sequence[str]) -> dict[str, int]:
        found = self._store.numbers(listed(ids))
        return {document_id: number for document_id, number in found if self._snapshot.is_published(number)}

    def _live(self, numbers: IntArray | Sequence[int]) -> list[int]:
        checked = self._checked(numbers, end=self.n_numbers, what="document number")
        gone = checked[~self.live_documents[checked]]
        if len(gone):
            raise InputError(f"document number {gone[0]} of index {self._folder.name!r} was removed; ask for others")
        found: list[int] = checked.tolist()
        return found

    def _checked(self, numbers: IntArray | Sequence[int], *, end: int, what: str) -> IntArray:
        checked = np.asarray(numbers, dtype=np.int64)
        outside = checked[(checked < 0) | (checked >= end)]
        if len(outside):
            raise InputError(f"{what} {outside[0]} is not in index {self._folder.name!r}, which has 0 to {end - 1}")
        return checked


def matching_documents(filter: Filter, store: Store, snapshot: Snapshot) -> BoolArray:
    """Whether each document number of a commit matches a filter, shape (n_numbers,)."""
    return matching(store.select, filter, alive=snapshot.live_documents)


def listed(ids: Sequence[str]) -> list[str]:
    """Ids as a list.

    Raises:
        InputError: a single string was given.
    """
    if isinstance(ids, str):
        raise InputError(f"ids is the string {ids!r}, expected a list of strings; put it in a list")
    return list(ids)
