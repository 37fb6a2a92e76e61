"""A search structure on a GPU: it finds likely rows for one thread at a time, no more than a GPU can select."""

import threading
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np

from routeret.types import BoolArray, FloatArray, IntArray

WIDEST = 2048
"""FAISS selects no more candidates, and reads no more lists, on a GPU."""

WIDEST_WALK = 512
"""What one thread block of cuVS keeps while it walks a graph; more takes another kernel with limits of its own."""

CAGRA = "CAGRA"

_QUERIES_AT_ONCE = 1024  # then another thread has its turn


class GpuStructure:
    """Finds likely rows on a GPU. It never changes; threads that search it wait for one another.

    Attributes:
        factory: what it is, in the words of FAISS.
        n_rows: how many rows it covers, from 0.
        efforts: how hard a search may try, ascending: lists to read, or candidates to keep; one value where there is
            no choice.
        widest: it finds no more candidates than this.
        error: how far a score may be from the exact one, for a query of length 1, if no other row was overlooked;
            None where rows may be overlooked.
    """

    def __init__(
        self,
        index: Any,  # noqa: ANN401 (FAISS has no types)
        factory: str,
        *,
        n_rows: int,
        efforts: Sequence[int],
        parameters: Callable[[int], Any] | None = None,
        error: float | None = None,
    ) -> None:
        """Keep a filled index; :func:`routeret.index.structures.gpu_placing.place` makes one.

        Args:
            index: of FAISS; only one thread at a time may search it.
            factory: what it is.
            n_rows: how many rows are in it.
            efforts: how hard a search may try.
            parameters: the search parameters for an effort; None where there is no choice.
            error: how far scores may be off, where all rows are looked at.
        """
        self._index = index
        self._parameters = parameters
        self._searching = threading.Lock()
        self._is_graph = factory == CAGRA
        self.factory = factory
        self.n_rows = n_rows
        self.efforts = efforts
        self.widest = min(n_rows, WIDEST_WALK if self._is_graph else WIDEST)
        self.error = error

    def candidates(self, queries: FloatArray, width: int, *, effort: int) -> tuple[IntArray, FloatArray]:
        """The likeliest rows of every query and their rough scores, likeliest first, shapes (n_queries, width).

        Where no row is left, and behind the widest that can be asked for, it gives -1.

        Args:
            queries: float32, shape (n_queries, dim).
            width: at least 1.
            effort: one of ``efforts``, or another number; more than the last is as much as the last.
        """
        rows = np.full((len(queries), width), -1, dtype=np.int64)
        scores = np.full((len(queries), width), -np.inf, dtype=np.float32)
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        # Of length 1, so that no number is too large or too small for float16.
        directions = (queries / lengths).astype(np.float32)
        n_found = min(width, self.widest)
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            part = slice(start, start + _QUERIES_AT_ONCE)
            found, rough = self._found(directions[part], n_found, effort)
            rows[part, :n_found], scores[part, :n_found] = found, rough * lengths[part]
        return rows, scores

    def deeper(self, effort: int, n_times: float) -> int:
        """The effort for so many times the hits that ``effort`` serves; they lie further from the query."""
        return ceil(effort * (n_times if self._is_graph else n_times**0.25))

    def share_read(self, effort: int) -> float:
        """The share of all rows that a search with this effort looks at, roughly."""
        if self._is_graph:
            return min(1.0, 50 * effort / self.n_rows)
        return min(1.0, effort / self.efforts[-1])

    def _found(self, queries: FloatArray, width: int, effort: int) -> tuple[IntArray, FloatArray]:
        least = max(effort, width) if self._is_graph else effort
        step = next((step for step in self.efforts if step >= least), self.efforts[-1])
        parameters = None if self._parameters is None else self._parameters(step)
        with self._searching:
            scores, rows = self._index.search(queries, width, params=parameters)
        is_missing = (rows < 0) | (rows >= self.n_rows) | np.isnan(scores)
        if self._is_graph:
            is_missing |= _is_repeated(rows)
        scores[is_missing] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        rows[is_missing] = -1
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _is_repeated(rows: IntArray) -> BoolArray:
    """Whether a row was named before in its line; a graph by inner products may do so."""
    is_repeated = np.ones(rows.shape, dtype=np.bool_)
    for number, line in enumerate(rows):
        is_repeated[number, np.unique(line, return_index=True)[1]] = False
    return is_repeated
