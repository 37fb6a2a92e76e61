"""One FAISS index behind one interface, whatever its kind."""

from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from routeret.errors import ArtifactError, InputError
from routeret.optional import require
from routeret.types import BoolArray, FloatArray, IntArray

_LIST_SAMPLE = 50
_LEAST_SAMPLE = 20_000
_CODES_SAMPLE = 2_048  # every code has 16 values in two to four dimensions; ten times as many rows find no better ones
_FAST_SCAN = "fs"


class FaissStructure:
    """Finds likely rows by compressed vectors. It never changes, and any number of threads may search it.

    Attributes:
        factory: the FAISS factory string it was made from.
        n_rows: how many rows it covers, from 0.
        efforts: how hard a search may try, ascending: lists to read for inverted lists, candidates to keep for HNSW;
            one value where there is no choice.
        has_lists: whether it has inverted lists.
        takes_filters: whether it can skip rows while it searches without missing others.
    """

    def __init__(self, index: Any, factory: str) -> None:  # noqa: ANN401 (FAISS has no types)
        """Keep a trained FAISS index; :func:`trained` and :func:`read` make one."""
        self._faiss = require("faiss", extra="cpu")
        self._index = index
        self._is_wrapped = isinstance(index, self._faiss.IndexPreTransform)
        inner = self._faiss.downcast_index(index.index) if self._is_wrapped else index
        self._is_graph = isinstance(inner, self._faiss.IndexHNSW)
        lists = self._faiss.try_extract_index_ivf(index)
        self.factory = factory
        self.n_rows = int(index.ntotal)
        self.has_lists = lists is not None
        self.efforts = self._efforts(0 if lists is None else int(lists.nlist))
        # A graph walks over hidden rows too, and among few allowed ones it loses its way.
        self.takes_filters = not self._is_graph and self._skips_rows()

    def candidates(
        self, queries: FloatArray, width: int, *, effort: int, allowed: BoolArray | None = None
    ) -> tuple[IntArray, FloatArray]:
        """The likeliest rows of every query and their rough scores, likeliest first, shapes (n_queries, width).

        Where no row is left, it gives -1.

        Args:
            queries: float32, shape (n_queries, dim).
            width: at least 1.
            effort: one of ``efforts``, or another number; more than the last is as much as the last.
            allowed: shape (n_rows,); the rows that may be found, only where it ``takes_filters``; None for all.

        Raises:
            ArtifactError: it names a row that it does not cover, so its file is damaged.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        effort = min(effort, self.efforts[-1])
        # A graph asked for more than its effort would try harder than it was told to.
        n_found = min(width, effort) if self._is_graph else width
        selector = None
        if allowed is not None:
            selector = self._faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        scores, rows = self._index.search(queries, n_found, params=self._parameters(effort, selector))
        if rows.max(initial=-1) >= self.n_rows:
            raise ArtifactError(
                f"a search structure of {self.n_rows} rows names row {rows.max()}, so its file is damaged; "
                "build it again"
            )
        if n_found == width:
            return rows, scores
        missing = ((0, 0), (0, width - n_found))
        return np.pad(rows, missing, constant_values=-1), np.pad(scores, missing, constant_values=-np.inf)

    def deeper(self, effort: int, n_times: float) -> int:
        """The effort for so many times the hits that ``effort`` serves; they lie further from the query."""
        return ceil(effort * (n_times if self._is_graph else n_times**0.25))

    def share_read(self, effort: int) -> float:
        """The share of all rows that a search with this effort looks at, roughly."""
        if self.has_lists:
            return min(1.0, effort / self.efforts[-1])
        if self._is_graph:
            return min(1.0, 50 * effort / max(1, self.n_rows))
        return 1.0

    def grown(self, blocks: Iterable[FloatArray]) -> "FaissStructure":
        """A copy that covers more rows, float32, shapes (n, dim); what was learned in training stays."""
        # Not clone_index: the clone of a mapped index borrows the map, and adding to it ends the process.
        index = self._faiss.deserialize_index(self._faiss.serialize_index(self._index))
        for block in blocks:
            index.add(block)
        return FaissStructure(index, self.factory)

    def write(self, path: Path) -> None:
        """Write one file."""
        self._faiss.write_index(self._index, str(path))

    def _parameters(self, effort: int, selector: Any) -> Any:  # noqa: ANN401 (FAISS has no types)
        faiss = self._faiss
        chosen = {} if selector is None else {"sel": selector}
        if self.has_lists:
            parameters = faiss.SearchParametersIVF(nprobe=effort, **chosen)
        elif self._is_graph:
            parameters = faiss.SearchParametersHNSW(efSearch=effort, **chosen)
        elif chosen:
            parameters = faiss.SearchParameters(**chosen)
        else:
            return None
        return faiss.SearchParametersPreTransform(index_params=parameters) if self._is_wrapped else parameters

    def _efforts(self, n_lists: int) -> Sequence[int]:
        if n_lists:
            return sorted({min(n_lists, ceil(2 ** (step / 2))) for step in range(2 * n_lists.bit_length() + 1)})
        if self._is_graph:
            return [2**power for power in range(4, 13)]
        return [1]

    def _skips_rows(self) -> bool:
        nothing = np.zeros((1, self._index.d), dtype=np.float32)
        selector = self._faiss.IDSelectorBitmap(np.zeros(1, dtype=np.uint8))
        try:
            self._index.search(nothing, 1, params=self._parameters(1, selector))
        except RuntimeError:
            return False
        return True


def sample_size(factory: str, dim: int, n_rows: int) -> int:
    """How many rows a structure of some factory string should be trained on."""
    index, faiss = _made(factory, dim), require("faiss", extra="cpu")
    if isinstance(index, faiss.IndexPQFastScan):
        return min(n_rows, _CODES_SAMPLE)
    lists = faiss.try_extract_index_ivf(index)
    return min(n_rows, max(_LEAST_SAMPLE, 0 if lists is None else _LIST_SAMPLE * int(lists.nlist)))


def trained(factory: str, sample: FloatArray, blocks: Iterable[FloatArray], *, seed: int) -> FaissStructure:
    """A new structure.

    Args:
        factory: a FAISS factory string, for example ``"IVF1024,PQ192x4fs"`` or ``"HNSW32,SQ8"``.
        sample: what it learns from, float32, shape (n, dim).
        blocks: all rows in their order, float32, shapes (n, dim).
        seed: of the training.

    Raises:
        InputError: FAISS does not know the factory string or cannot train it on so few rows, or it names a part that
            renumbers rows or keeps the vectors themselves.
        MissingExtraError: faiss is not installed.
    """
    index = _made(factory, sample.shape[1])
    faiss = require("faiss", extra="cpu")
    lists = faiss.try_extract_index_ivf(index)
    for learner in (index, index if lists is None else faiss.downcast_index(lists)):
        for part in (learner, getattr(learner, "pq", None)):
            clustering = getattr(part, "cp", None)
            if clustering is not None:
                clustering.seed = seed
    try:
        index.train(sample)
        for block in blocks:
            index.add(block)
    except RuntimeError as error:
        raise InputError(f"FAISS cannot build {factory!r} from {len(sample)} sampled rows: {error}") from error
    return FaissStructure(index, factory)


def read(path: Path, factory: str) -> FaissStructure:
    """A written structure; what FAISS can map into memory is mapped and not read.

    Raises:
        ArtifactError: FAISS cannot read the file.
        MissingExtraError: faiss is not installed.
    """
    faiss = require("faiss", extra="cpu")
    try:
        # Fast-scan codes are regrouped while they are read, so mapping them would only hold the file beside the copy.
        mapped = 0 if _FAST_SCAN in factory else faiss.IO_FLAG_MMAP_IFC
        index = faiss.read_index(str(path), faiss.IO_FLAG_READ_ONLY | mapped)
        return FaissStructure(index, factory)
    except (RuntimeError, MemoryError, AttributeError) as error:
        raise ArtifactError(f"{path} cannot be read by FAISS, so it is damaged; build it again: {error}") from error


def _made(factory: str, dim: int) -> Any:  # noqa: ANN401 (FAISS has no types)
    faiss = require("faiss", extra="cpu")
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise InputError(
            f"FAISS does not know the factory string {factory!r} for vectors of {dim} numbers; "
            f"take one like 'SQ8', 'IVF1024,PQ{max(1, dim // 2)}x4fs' or 'HNSW32,SQ8'"
        ) from error
    if isinstance(index, (faiss.IndexRefine, faiss.IndexIDMap)) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise InputError(
            f"factory string {factory!r} names a {type(index).__name__}; rows are numbered and candidates are refined "
            "here already, by inner products: leave 'IDMap', 'RFlat' and 'Refine' out"
        )
    return index
