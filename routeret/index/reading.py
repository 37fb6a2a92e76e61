"""An index at one commit: its documents and their vectors, and searching them."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from routeret.errors import ArtifactError, InputError, SpaceMismatchError
from routeret.index.derived import advise_faiss, open_search, structure_mark
from routeret.index.documents import DocumentReader, whole_number
from routeret.index.row_format import RowFormat, Storage, require_storage
from routeret.index.schema import STORE
from routeret.index.segments import StoredVectors
from routeret.index.snapshot import Snapshot
from routeret.index.store import Store
from routeret.index.structures.ann import RECALL
from routeret.index.structures.gpu_placing import Device
from routeret.index.structures.gpu_rows import on_gpu
from routeret.index.structures.row_search import RowSearch
from routeret.index.structures.tuning import Probes
from routeret.index.tokens import StoredTokens, n_complete_rows
from routeret.optional import is_installed
from routeret.space import Space
from routeret.types import BoolArray, FloatArray, IntArray, TopK


class Reader(DocumentReader):
    """What can be asked of an open index; see :class:`DocumentReader` for threads."""

    def __init__(self, folder: Path, store: Store, *, device: Device | None = None) -> None:
        """Keep an open store.

        Args:
            folder: the index's folder.
            store: open for reading.
            device: a GPU that searches the first space; None for the CPU.
        """
        self._device = device
        self._gpu_factory: str | None = None
        self._searches: dict[str, RowSearch] = {}
        self._marks: dict[str, object] = {}
        super().__init__(folder, store)

    @property
    def space(self) -> Space:
        """The space that it was created with."""
        return next(iter(self._spaces.values()))[0]

    @property
    def storage(self) -> Storage:
        """The precision of the vectors in the first space."""
        return require_storage(next(iter(self._spaces.values()))[1].storage)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All spaces in which its rows have vectors, or are being given some."""
        return tuple(space for space, _ in self._spaces.values())

    def refresh(self) -> None:
        """See what others have changed since, documents as well as search structures."""
        super().refresh()
        with self._building:
            for fingerprint, search in list(self._searches.items()):
                is_replaced = structure_mark(self._folder, fingerprint) != self._marks.get(fingerprint)
                if is_replaced or (search.ann is None and search.is_due):
                    del self._searches[fingerprint]

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
        self._stored(space)
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != space.dim:
            raise InputError(f"queries have shape {queries.shape}, expected (n_queries, {space.dim})")
        if not np.isfinite(queries).all():
            bad = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise InputError(f"query {bad} of {len(queries)} has a vector that is not finite; check the encoder")
        if whole_number(k, what="k") < 1:
            raise InputError(f"k is {k}, expected at least 1")
        with self._building:
            search, allowed = self._search_of(space), self._allowed(documents)
        return search.search(queries, int(k), allowed=allowed)

    def prepare_search(self, *, space: Space | None = None) -> None:
        """Do now what one of the next searches would wait for, of vectors of one space.

        Args:
            space: one of the index's; by default its first one.
        """
        space = space or self.space
        self._stored(space)
        with self._building:
            search = self._search_of(space)
        search.prepare()

    def vectors(self, rows: IntArray, *, space: Space | None = None) -> FloatArray:
        """The vectors of some rows, float32, shape (n, dim), in the order asked for.

        Args:
            rows: row numbers.
            space: one of the index's; by default its first one.
        """
        vectors, _ = self._stored(space or self.space)
        return vectors.take(self._checked(rows, end=self.n_rows, what="row"))

    def token_vectors(self, rows: IntArray, *, space: Space) -> tuple[FloatArray, IntArray]:
        """The token vectors of some rows, one row after the other, and how many each has; reads only these.

        Args:
            rows: row numbers, of documents that are there.
            space: one of the index's that keeps tokens.

        Returns:
            float32, shape (n_tokens, dim), and int64, shape (n,), in the order asked for, as
            :meth:`routeret.late_interaction.TokenTargets.of` takes them.

        Raises:
            InputError: the space keeps no tokens, or does not have all of them yet; or there is no such row.
        """
        self._stored(space)
        tokens = self._tokens.get(space.fingerprint)
        held = 0 if tokens is None else tokens.n_rows
        if tokens is None or held < self.n_rows:
            raise InputError(
                f"space {space.fingerprint} of index {self._folder.name!r} holds the tokens of {held} of {self.n_rows} "
                f"rows; bring them with add_space and its argument tokens"
            )
        return tokens.take(self._checked(rows, end=self.n_rows, what="row"))

    def mark(self) -> str:
        """32 hexadecimal digits; others after every change of the documents, or of their vectors in the first space."""
        snapshot, space = self._snapshot, self.space.fingerprint
        told = hashlib.blake2b(f"{snapshot.generation} {snapshot.commit} {space}".encode(), digest_size=16)
        for segment in snapshot.segments_of(space):
            told.update(b"".join(self._store.digests(segment)))
        return told.hexdigest()

    def has_structure(self, space: Space | None = None) -> bool:
        """Whether rows of a space, by default the first, are found by a FAISS structure, not by exact search alone."""
        ann = self._search_of(space or self.space).ann
        return ann is not None and ann.structure is not None

    def info(self) -> dict[str, Any]:
        """Plain JSON values: counts, spaces with their tokens, sizes in bytes, and what searches it."""
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
            "structure": self._search_of(self.space).info(),
            "spaces": {
                space.fingerprint: {
                    "storage": row_format.storage,
                    "rows": n_complete_rows(
                        snapshot, space.fingerprint, keeps_tokens=space.fingerprint in self._tokens
                    ),
                    "segments": len(snapshot.segments_of(space.fingerprint)),
                    "vectors_bytes": snapshot.covers(space.fingerprint) * row_format.row_bytes,
                    **self._tokens_info(space),
                }
                for space, row_format in self._spaces.values()
            },
        }

    def _tokens_info(self, space: Space) -> dict[str, Any]:
        tokens = self._tokens.get(space.fingerprint)
        return {} if tokens is None else {"tokens": tokens.info()}

    def _show(self) -> None:
        """Stand at the store's commit, with its vectors mapped; structures go on, new rows beside them."""
        snapshot, spaces, vectors, tokens = self._mapped()
        with self._building:
            same = self._searches if snapshot.generation == self._generation else {}
            # A space that was dropped and is being embedded again has fewer rows than before.
            kept = [name for name in same if name in vectors and vectors[name].n_rows >= same[name].n_rows]
            extended = {name: same[name].extended(vectors[name]) for name in kept}
            self._searches = {name: search for name, search in extended.items() if not search.is_gpu_due}
            self._spaces, self._vectors, self._tokens = spaces, vectors, tokens
            self._take(snapshot)

    def _mapped(
        self,
    ) -> tuple[Snapshot, dict[str, tuple[Space, RowFormat]], dict[str, StoredVectors], dict[str, StoredTokens]]:
        """The store's commit, its spaces, and the vectors and tokens of each by its fingerprint."""
        while True:
            snapshot, spaces = self._store.snapshot(), self._store.spaces()
            try:
                vectors = {
                    fingerprint: StoredVectors(
                        self._folder,
                        snapshot.segments_of(fingerprint),
                        row_format=row_format,
                        n_rows=min(snapshot.n_rows, snapshot.covers(fingerprint)),
                    )
                    for fingerprint, (_, row_format) in spaces.items()
                }
                tokens = {
                    fingerprint: StoredTokens(self._folder, snapshot, space=fingerprint, row_format=row_format)
                    for fingerprint, row_format in self._store.token_formats().items()
                }
                return snapshot, spaces, vectors, tokens
            except ArtifactError:
                # The index may have been compacted since its store was read; the old files are gone then.
                self._store.renew()
                if self._store.commit() == snapshot.commit:
                    raise

    def _search_of(self, space: Space) -> RowSearch:
        with self._building:
            fingerprint = space.fingerprint
            if fingerprint not in self._searches:
                vectors = self._vectors[fingerprint]
                self._marks[fingerprint] = structure_mark(self._folder, fingerprint)
                search = open_search(self._folder, fingerprint, vectors, self._snapshot)
                self._searches[fingerprint] = self._placed(space, vectors, search)
                if self._searches[fingerprint].is_due and not is_installed("faiss"):
                    advise_faiss()
            return self._searches[fingerprint]

    def _placed(
        self,
        space: Space,
        vectors: StoredVectors,
        search: RowSearch,
        *,
        recall: float | None = None,
        probes: Probes | None = None,
    ) -> RowSearch:
        """A search of the first space on the GPU, if the index was opened with one."""
        if self._device is None or space != self.space:
            return search
        if recall is None:
            recall = RECALL if search.ann is None else search.ann.target
        return on_gpu(
            vectors,
            search,
            self._device,
            factory=self._gpu_factory,
            recall=recall,
            probes=(lambda: self._own_probes(space)) if probes is None else (lambda: probes),
        )

    def _own_probes(self, space: Space) -> Probes | None:  # noqa: ARG002 - a writer has some
        """Queries to measure the structure of a space on; None where it has to make some of documents."""
        return None

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
