"""The documents of an index at one commit: their texts, numbers and spans, filters on them and words in them."""

import threading
from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from routeret.conditions import Filter
from routeret.errors import InputError, UnknownDocumentError
from routeret.filters import parse_filter
from routeret.index.derived import open_fulltext
from routeret.index.fields import matching
from routeret.index.lexical import Fulltext
from routeret.index.snapshot import Snapshot
from routeret.index.store import Store
from routeret.types import BoolArray, Document, HashArray, IntArray

_FILTERS_KEPT = 32


class DocumentReader:
    """What can be asked of the documents of an open index.

    Several threads may ask at once; while one refreshes or changes the index, no other may ask. A
    :class:`~routeret.retriever.Retriever` sees to that.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        """Keep an open store.

        Args:
            folder: the index's folder.
            store: open for reading.
        """
        self._folder = folder
        self._store = store
        self._building = threading.RLock()
        self._deriving = threading.Lock()
        self._row_documents = np.empty(0, dtype=np.int64)
        self._generation = -1
        self._fulltext: Fulltext | None = None
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
    def generation(self) -> int:
        """Counts the times that numbers and rows were given anew; inside one they mean the same for ever."""
        return self._generation

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

    def rows_of(self, numbers: IntArray) -> tuple[IntArray, IntArray]:
        """First row, and row behind the last one, of some documents, int64, shape (n,), in the order asked for."""
        starts = np.searchsorted(self.row_documents, numbers)
        return starts, np.searchsorted(self.row_documents, numbers, side="right")

    def content_keys(self, numbers: IntArray | Sequence[int]) -> HashArray:
        """The content keys of some documents, uint64, in the order asked for."""
        return self._store.content_keys(self._live(numbers))

    def spans(self, rows: IntArray | Sequence[int]) -> list[tuple[int, int]]:
        """Start and end of the spans of some rows, in characters of their documents' texts."""
        checked = self._checked(rows, end=self.n_rows, what="row").tolist()
        found = self._store.spans(checked)
        return [found[row][1:] for row in checked]

    def located(self, rows: IntArray | Sequence[int]) -> list[tuple[Document, tuple[int, int]]]:
        """The documents of some rows, in the order asked for, and start and end of each row's span in the text."""
        checked = self._checked(rows, end=self.n_rows, what="row").tolist()
        found = self._store.located(checked)
        return [found[row] for row in checked]

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
    def fulltext(self) -> Fulltext:
        """BM25 over titles and texts, by document number; made again where it is missing or stale."""
        with self._deriving:
            if self._fulltext is None:
                self._fulltext = open_fulltext(self._folder, self._store, self._snapshot)
            return self._fulltext

    def _show(self) -> None:
        """Stand at the store's commit."""
        self._take(self._store.snapshot())

    def _take(self, snapshot: Snapshot) -> None:
        """Stand at a commit; what is derived from documents is built again when it is needed."""
        if snapshot.generation != self._generation:
            self._row_documents = np.empty(0, dtype=np.int64)
        self._snapshot = snapshot
        self._generation = snapshot.generation
        self._matching = {}
        self._fulltext = None

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
        InputError: a single string was given, or something else than strings.
    """
    if isinstance(ids, str):
        raise InputError(f"ids is the string {ids!r}, expected a list of strings; put it in a list")
    found: list[str] = []
    given: list[object] = list(ids)
    for one in given:
        if not isinstance(one, str):
            raise InputError(f"ids holds {one!r} of kind {type(one).__name__}, expected strings only")
        # Half a surrogate pair is in no id, and SQLite does not take it.
        found.append(one.encode("utf-8", "replace").decode())
    return found


def whole_number(value: object, *, what: str) -> int:
    """A number that counts something.

    Raises:
        InputError: it is none.
    """
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(f"{what} is {value!r}, expected a whole number") from error
