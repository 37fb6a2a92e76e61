"""One set of documents in one space: added once, searched by vectors of that space."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from routeret.corpus import Corpus
from routeret.errors import ArtifactError, IndexLockedError, InputError, UnknownDocumentError
from routeret.index.adding import Adder, AddReport
from routeret.index.exact import ExactSearch
from routeret.index.faiss_flat import FaissFlatSearch
from routeret.index.fulltext import Fulltext
from routeret.index.lock import FULLTEXT_LOCK, writer_lock
from routeret.index.segments import VectorFile
from routeret.index.store import STORE, Snapshot, Store
from routeret.optional import is_installed
from routeret.progress import track
from routeret.protocols import Encoder, SearchStructure
from routeret.space import Space
from routeret.types import BoolArray, Document, FloatArray, HashArray, IntArray, TopK

FULLTEXT = "fulltext"

_MANY_ROWS = 20_000

_logger = logging.getLogger(__name__)


class Index:
    """An open index. It keeps the commit it was opened at until :meth:`refresh` or its own :meth:`add`.

    Documents are numbered from 0 in the order in which they were added; a row is one span of a document (now always
    its whole text) with one vector.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        """Keep an open store; :meth:`create` and :meth:`open` are the way in."""
        self._folder = folder
        self._store = store
        self._space = store.space()
        self._building = threading.RLock()
        self._structure: SearchStructure | None = None
        self._fulltext: Fulltext | None = None
        self._row_documents: IntArray | None = None
        self._content_keys: HashArray | None = None
        self._show(store.snapshot())

    @classmethod
    def create(cls, folder: Path | str, space: Space) -> "Index":
        """A new, empty index.

        Args:
            folder: made if it does not exist; must not hold an index.
            space: the space of all its vectors; one vector a span.

        Raises:
            ArtifactError: the folder holds an index already.
            InputError: the space has one vector a token.
        """
        if space.vectors != "single":
            raise InputError(
                f"space {space.fingerprint} has one vector a {space.vectors}; an index takes one vector a span"
            )
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        Store.create(folder, space)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> "Index":
        """The index of a folder, in milliseconds: vectors are mapped, not read.

        Raises:
            ArtifactError: there is none, or it is damaged or of another format; the message names the file.
        """
        folder = Path(folder)
        store = Store.open(folder)
        try:
            return cls(folder, store)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Give the store's connection up; the index cannot be used afterwards."""
        self._store.close()

    def __enter__(self) -> "Index":
        """The index itself; it is closed when the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the index."""
        self.close()

    @property
    def folder(self) -> Path:
        """Where it stands."""
        return self._folder

    @property
    def space(self) -> Space:
        """The space of its vectors."""
        return self._space

    @property
    def n_rows(self) -> int:
        """How many rows."""
        return self._snapshot.n_rows

    def __len__(self) -> int:
        """How many documents."""
        return self._snapshot.n_documents

    def refresh(self) -> None:
        """See what others have added since."""
        snapshot = self._store.snapshot()
        if snapshot.commit != self._snapshot.commit:
            self._show(snapshot)

    def add(
        self,
        corpus: Corpus,
        encoder: Encoder,
        *,
        total: int | None = None,
        batch_size: int = 256,
        show_progress: bool = False,
    ) -> AddReport:
        """Add the documents of a corpus: all of them or, if anything goes wrong, none.

        A document that the index holds already with the same title, text and metadata is not encoded again.

        Args:
            corpus: read once, in blocks of some thousand documents.
            encoder: of the index's space.
            total: how many documents come, for the progress bar.
            batch_size: how many documents the encoder gets at once.
            show_progress: draw a progress bar on stderr.

        Raises:
            SpaceMismatchError: the encoder writes another space.
            CorpusError: the corpus is empty, or something in it cannot be read.
            DuplicateIdError: an id comes twice, or is in the index with another title, text or metadata.
            InputError: the encoder gave a vector of the wrong shape, of zeros, or not finite; or metadata is not JSON.
            IndexLockedError: another process is adding.
            ArtifactError: the folder cannot be written.
        """
        start = time.perf_counter()
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}, expected at least 1")
        self._space.require_same(encoder.space, here=f"index {self._folder.name!r}", there="the encoder")
        with writer_lock(self._folder), closing(Store.open(self._folder, writing=True)) as store:
            adder = Adder(self._folder, store, encoder, batch_size=batch_size)
            steps = adder.steps(corpus)
            # Closed here and not by the garbage collector, so that a failure has undone everything on return.
            with closing(steps):
                for _ in track(steps, description="adding", total=total, unit="docs", show=show_progress):
                    pass
        self.refresh()
        return AddReport(adder.added, adder.unchanged, adder.truncated, time.perf_counter() - start)

    def search(self, queries: FloatArray, k: int, *, space: Space) -> TopK:
        """The best rows of every query.

        Args:
            queries: float32, shape (n_queries, dim).
            k: at least 1; more than the rows gives all of them.
            space: what the queries were written into.

        Returns:
            Rows and inner products, shape (n_queries, min(k, n_rows)), best first; equal scores keep the lower row
            first.

        Raises:
            SpaceMismatchError: the queries are of another space.
            InputError: a wrong shape, a number that is not finite, or ``k`` below 1.
        """
        self._space.require_same(space, here=f"index {self._folder.name!r}", there="the query side")
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self._space.dim:
            raise InputError(f"queries have shape {queries.shape}, expected (n_queries, {self._space.dim})")
        if not np.isfinite(queries).all():
            bad = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise InputError(f"query {bad} of {len(queries)} has a vector that is not finite; check the encoder")
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        return self._built_structure().search(queries, k)

    def vectors(self, rows: IntArray) -> FloatArray:
        """The vectors of some rows, float32, shape (n, dim), in the order asked for."""
        return self._vectors.take(self._checked(rows, end=self.n_rows, what="row"))

    @property
    def row_documents(self) -> IntArray:
        """The document number of every row, int64, shape (n_rows,); do not change it."""
        if self._row_documents is None:
            self._row_documents = self._store.row_documents(self.n_rows)
        return self._row_documents

    @property
    def content_keys(self) -> HashArray:
        """The content key of every document, uint64, shape (n_documents,), by number; do not change it."""
        if self._content_keys is None:
            self._content_keys = self._store.content_keys(len(self))
        return self._content_keys

    def spans(self, rows: IntArray | Sequence[int]) -> list[tuple[int, int]]:
        """Start and end of the spans of some rows, in characters of their documents' texts."""
        checked = self._checked(rows, end=self.n_rows, what="row").tolist()
        found = self._store.spans(checked)
        return [found[row] for row in checked]

    def documents(self, numbers: IntArray | Sequence[int]) -> list[Document]:
        """The documents of some numbers, in the order asked for."""
        checked = self._checked(numbers, end=len(self), what="document number").tolist()
        found = self._store.documents(checked)
        return [found[number] for number in checked]

    def ids(self) -> list[str]:
        """The ids of all documents, by number."""
        return self._store.ids(len(self))

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
        """BM25 over titles and texts, by document number; built again where it is missing or stale."""
        with self._building:
            if self._fulltext is None:
                self._fulltext = self._opened_fulltext()
            return self._fulltext

    def info(self) -> dict[str, Any]:
        """Plain JSON values: counts, space, sizes in bytes, and what searches it."""
        return {
            "documents": len(self),
            "rows": self.n_rows,
            "segments": len(self._vectors),
            "space": self._space.fingerprint,
            "vectors_bytes": self._vectors.n_bytes,
            "store_bytes": sum(file.stat().st_size for file in self._folder.glob(f"{STORE}*")),
            "structure": FaissFlatSearch.name if self._wants_faiss() else ExactSearch.name,
        }

    def _show(self, snapshot: Snapshot) -> None:
        """Stand at a commit; what is derived from documents is built again when it is needed."""
        with self._building:
            self._vectors = VectorFile(self._folder, snapshot.segments, dim=self._space.dim)
            self._snapshot = snapshot
            self._structure = None
            self._fulltext = None
            self._row_documents = None
            self._content_keys = None

    def _wants_faiss(self) -> bool:
        return self.n_rows >= _MANY_ROWS and is_installed("faiss")

    def _built_structure(self) -> SearchStructure:
        with self._building:
            if self._structure is None:
                blocks, dim = self._vectors.blocks(), self._space.dim
                if self._wants_faiss():
                    self._structure = FaissFlatSearch(blocks, dim=dim)
                else:
                    self._structure = ExactSearch(blocks, n_rows=self.n_rows, dim=dim)
                    if self.n_rows >= _MANY_ROWS:
                        _advise_faiss()
            return self._structure

    def _opened_fulltext(self) -> Fulltext:
        folder, commit = self._folder / FULLTEXT, self._snapshot.commit
        try:
            return Fulltext.open(folder, commit=commit)
        except ArtifactError:
            built = Fulltext.build(self._store.texts(len(self)))
        try:
            with writer_lock(self._folder, name=FULLTEXT_LOCK):
                if self._store.snapshot().commit == commit:
                    built.save(folder, commit=commit)
        except (IndexLockedError, ArtifactError):
            # Derived data: whoever may write saves it next time.
            _logger.info("the full-text index of %s stays in memory, since the folder cannot be written now", folder)
        return built

    def _known(self, ids: Sequence[str]) -> dict[str, int]:
        if isinstance(ids, str):
            raise InputError(f"ids is the string {ids!r}, expected a list of strings; put it in a list")
        found = self._store.numbers(list(ids))
        return {document_id: number for document_id, number in found.items() if number < len(self)}

    def _checked(self, numbers: IntArray | Sequence[int], *, end: int, what: str) -> IntArray:
        checked = np.asarray(numbers, dtype=np.int64)
        outside = checked[(checked < 0) | (checked >= end)]
        if len(outside):
            raise InputError(f"{what} {outside[0]} is not in index {self._folder.name!r}, which has 0 to {end - 1}")
        return checked


@cache
def _advise_faiss() -> None:
    """Say once a process what would make search faster."""
    _logger.warning("faiss is not installed, so NumPy searches; for more speed run: pip install 'routeret[cpu]'")
