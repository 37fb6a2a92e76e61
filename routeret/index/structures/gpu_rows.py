"""Search of the first rows on a GPU, with filters and any number of hits: what it cannot answer, the CPU does."""

import threading
from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from routeret.index.structures.best import settle
from routeret.index.structures.exact import StoredScan
from routeret.index.structures.gpu_placing import Device, Placement, place
from routeret.index.structures.gpu_structure import GpuStructure
from routeret.index.structures.row_search import RowSearch
from routeret.index.structures.rows import RowVectors
from routeret.index.structures.tuning import K, Probes, Settings
from routeret.types import BoolArray, FloatArray, IntArray, TopK

_FEW_ROWS = 2_000  # reading these and scoring them exactly takes about a millisecond
_SPARE = 54
_SPREAD = 1.25  # a filter may hide more near to a query than elsewhere
_WIDER = 8
_NEARLY_ALL = 0.9
_LEAST_LEFT = 0.8
_DEEPEST_SHARE = 16


class GpuRows:
    """The first rows of an index, found by a structure on a GPU that is built when it is first needed.

    A GPU selects at most 2,048 candidates and knows no filters. So few allowed rows are read and searched exactly;
    from many, more candidates are taken than asked for, and those not allowed are dropped; and what cannot be
    answered completely that way is searched on the CPU.

    Attributes:
        n_rows: how many rows it covers, from 0.
    """

    def __init__(self, vectors: RowVectors, fallback: RowSearch, build: Callable[[], Placement], *, name: str) -> None:
        """Take what is needed later.

        Args:
            vectors: the stored vectors; all of them are covered.
            fallback: searches the same vectors on the CPU.
            build: puts them on the GPU.
            name: of the device.
        """
        self.n_rows = vectors.n_rows
        self._vectors = vectors
        self._fallback = fallback
        self._build = build
        self._name = name
        self._building = threading.Lock()
        self._placement: Placement | None = None

    def placement(self) -> Placement:
        """What is on the GPU; put there if it is not there yet."""
        with self._building:
            if self._placement is None:
                self._placement = self._build()
            return self._placement

    def info(self) -> dict[str, Any]:
        """Plain JSON values; the factory is empty as long as nothing is on the GPU."""
        placement = self._placement or Placement(None)
        return {"device": self._name, "rows": self.n_rows, **placement.info()}

    def search(self, queries: FloatArray, k: int, *, allowed: BoolArray | None = None) -> TopK:
        """The min(k, n_allowed) best rows of every query, best first; equal scores keep the lower row first.

        Args:
            queries: float32, shape (n_queries, dim).
            k: at least 1.
            allowed: shape (n_rows,); the rows that may be found, None for all.
        """
        n_allowed = self.n_rows if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed == self.n_rows:
            allowed = None
        k = min(k, n_allowed)
        if allowed is not None and n_allowed <= _FEW_ROWS:
            return settle(StoredScan(self._vectors, np.flatnonzero(allowed)), queries, k)
        placement = self.placement()
        structure, settings = placement.structure, placement.settings
        if structure is None:
            return self._fallback.search(queries, k, allowed=allowed)
        rows = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        open_queries = np.arange(len(queries))
        for width, effort in _attempts(structure, settings, k, n_allowed):
            found, rough = structure.candidates(queries[open_queries], width, effort=effort)
            is_open = np.ones(len(open_queries), dtype=np.bool_)
            for position, number in enumerate(open_queries):
                best, exact = self._best(found[position], queries[number], k, allowed)
                if _is_settled(structure, found[position], rough[position], best, exact, queries[number], k):
                    rows[number], scores[number] = best[:k], exact[:k]
                    is_open[position] = False
            open_queries = open_queries[is_open]
            if not len(open_queries):
                break
        if len(open_queries):
            rest = self._fallback.search(queries[open_queries], k, allowed=allowed)
            rows[open_queries], scores[open_queries] = rest.rows, rest.scores
        return TopK(rows=rows, scores=scores)

    def _best(
        self, found: IntArray, query: FloatArray, k: int, allowed: BoolArray | None
    ) -> tuple[IntArray, FloatArray]:
        """All allowed rows among those found with their exact scores, best first; empty where they are too few."""
        kept = found[found >= 0]
        if allowed is not None:
            kept = kept[allowed[kept]]
        if len(kept) < k:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        kept = np.sort(kept)
        exact = self._vectors.scores(kept, query)
        order = np.argsort(-exact, kind="stable")
        return kept[order], exact[order]


def on_gpu(
    vectors: RowVectors,
    search: RowSearch,
    device: Device,
    *,
    factory: str | None = None,
    recall: float,
    probes: Callable[[], Probes | None],
    seed: int = 0,
    is_built_now: bool = False,
) -> RowSearch:
    """The same search with its rows on a GPU; rows that come later are searched beside it, as ever.

    Args:
        vectors: the stored vectors.
        search: of the same vectors, on the CPU.
        device: where to put them.
        factory: see :func:`routeret.index.structures.gpu_placing.place`; so are recall and probes.
        recall: what is to be reached where not all rows are looked at.
        probes: gives the queries it is measured on.
        seed: of training and sampling.
        is_built_now: put the vectors there at once, and not at the first search.

    Raises:
        InputError: FAISS cannot make the factory here.
    """
    rows = GpuRows(
        vectors,
        search,
        lambda: place(vectors, device, factory=factory, recall=recall, probes=probes, seed=seed),
        name=device.name,
    )
    if is_built_now:
        rows.placement()
    return RowSearch(vectors, search.ann, gpu=rows)


def _attempts(structure: GpuStructure, settings: Settings, k: int, n_allowed: int) -> list[tuple[int, int]]:
    """How many candidates to ask a GPU for, and how hard to try, one after the other; empty if it cannot answer.

    Where all rows are looked at, the scores tell whether the candidates were enough. Where they are not, only what
    was measured can be relied on: no filter, or one that hides hardly anything.
    """
    share = n_allowed / structure.n_rows
    if structure.error is not None:
        spread = 1.0 if share == 1 else _SPREAD
        least = min(ceil(spread * (k + _SPARE) / share), structure.n_rows)
        widths = {least, min(_WIDER * least, structure.widest)}
        return [] if least > structure.widest else [(width, 1) for width in sorted(widths)]
    if share < _NEARLY_ALL or k * _DEEPEST_SHARE > n_allowed:
        return []
    wanted = k if share == 1 else ceil(k / _LEAST_LEFT)
    width = settings.width(wanted)
    if width > structure.widest and wanted > K:
        return []
    # Up to the ten that were measured, the settings hold with as many candidates as there can be.
    effort = structure.deeper(settings.effort, max(1.0, wanted / K))
    return [(min(width, structure.widest), effort)]


def _is_settled(
    structure: GpuStructure,
    found: IntArray,
    rough: FloatArray,
    best: IntArray,
    exact: FloatArray,
    query: FloatArray,
    k: int,
) -> bool:
    """Whether the k best of the allowed candidates can be given.

    Args:
        structure: what found them.
        found: all candidates, best first, shape (width,).
        rough: their scores by the structure.
        best: the allowed ones, best first by their exact scores; empty where there are fewer than k.
        exact: those scores.
        query: shape (dim,).
        k: how many are wanted.
    """
    n_found = int(np.count_nonzero(found >= 0))
    if not len(best):
        return False
    if structure.error is None:
        return len(best) >= _LEAST_LEFT * n_found
    if n_found == structure.n_rows:
        return True
    # No row behind the last candidate can score as much as the k-th found.
    length = float(np.linalg.norm(query.astype(np.float64)))
    return n_found == len(found) and float(exact[k - 1]) > float(rough[-1]) + structure.error * length
