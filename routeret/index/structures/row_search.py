"""Search over all rows of a snapshot: a structure for the older rows, exact search for the newest, one answer."""

import threading
from typing import Any, Protocol

import numpy as np

from routeret.errors import InputError
from routeret.index.structures.ann import Ann
from routeret.index.structures.best import settle
from routeret.index.structures.choosing import EXACT, EXACT_ROWS
from routeret.index.structures.coded_rows import CodedRows
from routeret.index.structures.covered import CoveredRows
from routeret.index.structures.exact import StoredScan
from routeret.index.structures.rows import RowVectors
from routeret.types import BoolArray, FloatArray, TopK

_TAIL_ROWS = 25_000
_TAIL_SHARE = 25
_FEW_QUERIES = 8  # they are answered from the stored vectors in less time than coding the rows takes


class GpuSearch(Protocol):
    """The first rows on a GPU; see :class:`routeret.index.structures.gpu_rows.GpuRows`."""

    n_rows: int

    def search(self, queries: FloatArray, k: int, *, allowed: BoolArray | None = None) -> TopK:
        """The best rows of every query."""

    def info(self) -> dict[str, Any]:
        """Plain JSON values."""


class RowSearch:
    """Finds the best rows of a snapshot.

    What it finds never changes, and any number of threads may search it; :meth:`extended` gives the one for a later
    snapshot. Rows that the structure does not cover are searched exactly, so they are found at once: by the stored
    vectors for the first few queries, as where a process asks no more than one, and then by codes in memory.
    """

    def __init__(self, vectors: RowVectors, ann: Ann | None = None, *, gpu: GpuSearch | None = None) -> None:
        """Take the rows of a snapshot.

        Args:
            vectors: the stored vectors.
            ann: a structure of the first rows, or None to search all of them exactly.
            gpu: searches the first rows in place of the structure.

        Raises:
            InputError: the structure covers more rows than there are.
        """
        if ann is not None and ann.n_rows > vectors.n_rows:
            raise InputError(f"the structure covers {ann.n_rows} rows, there are {vectors.n_rows}; build it again")
        self._vectors = vectors
        self._ann = ann
        self._gpu = gpu
        self._covered: CoveredRows | GpuSearch | None = gpu
        if gpu is None and ann is not None and ann.structure is not None:
            self._covered = CoveredRows(ann.structure, ann.settings, vectors)
        self._n_covered = 0 if self._covered is None else self._covered.n_rows
        self._coding = threading.Lock()
        self._n_asked = 0
        self._coded: CodedRows | None = None

    @property
    def n_rows(self) -> int:
        """How many rows."""
        return self._vectors.n_rows

    @property
    def ann(self) -> Ann | None:
        """The structure of the first rows, if there is one."""
        return self._ann

    @property
    def is_due(self) -> bool:
        """Whether a structure for all rows, by :func:`~routeret.index.structures.ann.build`, would pay now.

        It would where exact search has many rows: none of them covered yet, or as many beside the structure as under
        it, or 25,000 and a twenty-fifth. So a growing index is not rebuilt for every change, and rebuilding costs in
        all a fixed multiple of the rows.
        """
        if self._ann is None:
            return self.n_rows >= EXACT_ROWS
        return self._outgrows(self._ann.n_rows)

    @property
    def is_gpu_due(self) -> bool:
        """Whether so many rows came after those on a GPU that putting all of them there anew would pay."""
        return self._gpu is not None and self._outgrows(self._gpu.n_rows)

    def info(self) -> dict[str, Any]:
        """Plain JSON values: those of the structure, and how many rows are searched exactly beside it."""
        found = {"factory": EXACT} if self._ann is None else self._ann.info()
        on_gpu = {} if self._gpu is None else {"gpu": self._gpu.info()}
        return {**found, "rows_exact": self.n_rows - self._n_covered, "is_due": self.is_due, **on_gpu}

    def extended(self, vectors: RowVectors) -> "RowSearch":
        """The search for a later snapshot of the same generation; of its vectors only the new ones are read.

        Raises:
            InputError: there are fewer rows than before.
        """
        if vectors.n_rows < self.n_rows:
            raise InputError(f"there are {vectors.n_rows} rows, {self.n_rows} were there before; start a new search")
        later = RowSearch(vectors, self._ann, gpu=self._gpu)
        with self._coding:
            known, later._n_asked = self._coded, self._n_asked
        if known is not None:
            later._coded = known.grown(vectors)
        return later

    def prepare(self) -> None:
        """Code now the rows that no structure covers, for which otherwise one of the next queries would wait."""
        if self._n_covered < self.n_rows:
            self._codes(_FEW_QUERIES + 1)

    def search(self, queries: FloatArray, k: int, *, allowed: BoolArray | None = None) -> TopK:
        """The best rows of every query.

        Args:
            queries: float32, shape (n_queries, dim), finite.
            k: at least 1.
            allowed: shape (n_rows,); the rows that may be found, None for all.

        Returns:
            The min(k, n_allowed) best rows and their inner products with the stored vectors, best first; equal scores
            keep the lower row first. Which rows are the best is exact, or, of the rows under a structure, as good as
            its recall.

        Raises:
            InputError: ``allowed`` has another shape.
            ArtifactError: the structure's file turns out to be damaged; build it again.
        """
        if allowed is not None and allowed.shape != (self.n_rows,):
            raise InputError(f"allowed has shape {allowed.shape}, expected ({self.n_rows},), one for each row")
        n_old = self._n_covered
        if self._covered is None:
            return self._search_exactly(queries, k, allowed)
        oldest = self._covered.search(queries, k, allowed=None if allowed is None else allowed[:n_old])
        if n_old == self.n_rows:
            return oldest
        newest = self._search_exactly(queries, k, None if allowed is None else allowed[n_old:])
        return _merged(oldest, newest, k)

    def _outgrows(self, n_covered: int) -> bool:
        return self.n_rows - n_covered >= max(EXACT_ROWS, min(n_covered, _TAIL_ROWS), n_covered // _TAIL_SHARE)

    def _search_exactly(self, queries: FloatArray, k: int, allowed: BoolArray | None) -> TopK:
        """The best of the rows that no structure covers; ``allowed`` is of these."""
        codes = self._codes(len(queries))
        if codes is not None:
            return codes.search(queries, k, allowed=allowed)
        rows = None
        if allowed is not None or self._n_covered:
            uncovered = np.arange(self._n_covered, self.n_rows)
            rows = uncovered if allowed is None else uncovered[allowed]
        return settle(StoredScan(self._vectors, rows), queries, k)

    def _codes(self, n_asked: int) -> CodedRows | None:
        """The codes for so many further queries; None while they have been too few."""
        with self._coding:
            self._n_asked += n_asked
            if self._coded is None and self._n_asked > _FEW_QUERIES:
                self._coded = CodedRows.read(self._vectors, first=self._n_covered)
            return self._coded


def _merged(oldest: TopK, newest: TopK, k: int) -> TopK:
    """The best of both; equal scores keep the lower row, which is the older one."""
    rows = np.hstack([oldest.rows, newest.rows])
    scores = np.hstack([oldest.scores, newest.scores])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return TopK(rows=np.take_along_axis(rows, order, axis=1), scores=np.take_along_axis(scores, order, axis=1))
