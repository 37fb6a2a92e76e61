"""The map of an index: what its own documents say of how queries should be turned."""

import threading
from collections.abc import Callable

import numpy as np

from routeret.index import Index
from routeret.routing.whitening import LEAST_VECTORS, whitening
from routeret.types import BoolArray, FloatArray, IntArray

_MOST_ROWS = 8000
_GROWTH = 1.25
_REMAINING = 0.9


class IndexMap:
    """Computes the map of an index from the documents that no expert knows; it is kept as long as it fits.

    The rows of a prefix of the index are sampled evenly, at most 8,000. The prefix grows in steps of a quarter, and the
    map is computed again when it does, or when a tenth of the sampled rows are gone. So a document that is added or
    deleted costs nothing.
    """

    def __init__(self) -> None:
        """Nothing is computed yet."""
        self._computing = threading.Lock()
        self._end = 0
        self._rows: IntArray | None = None
        self._weight: FloatArray | None = None

    def weight(self, index: Index, *, is_known: Callable[[IntArray], BoolArray]) -> FloatArray | None:
        """The map, as :func:`routeret.routing.whitening.whitening` gives it.

        Args:
            index: as it is now.
            is_known: tells of some document numbers which some expert was trained over, shape (n_documents,).

        Returns:
            float32, shape (dim, dim); None where there are too few documents that no expert knows.
        """
        with self._computing:
            rows = index.live_rows
            end = _prefix(index.n_rows)
            if self._rows is None or end != self._end or np.isin(self._rows, rows).mean() < _REMAINING:
                self._rows, self._end = sampled_rows(rows, n_rows=index.n_rows), end
                self._weight = self._computed(index, self._rows, is_known)
            return self._weight

    @staticmethod
    def _computed(index: Index, rows: IntArray, is_known: Callable[[IntArray], BoolArray]) -> FloatArray | None:
        if len(rows) < LEAST_VECTORS:
            return None
        numbers, places = np.unique(index.row_documents[rows], return_inverse=True)
        rows = rows[~is_known(numbers)[places]]
        return whitening(index.vectors(rows)) if len(rows) >= LEAST_VECTORS else None


def sampled_rows(rows: IntArray, *, n_rows: int) -> IntArray:
    """The rows of which a map is made, where some are alive of all that an index has.

    Args:
        rows: the live ones, rising.
        n_rows: how many there are, alive or not.
    """
    rows = rows[rows < _prefix(n_rows)]
    if len(rows) <= _MOST_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.int64)]


def _prefix(n_rows: int) -> int:
    """How many rows of so many are looked at: the largest step of growth."""
    if n_rows < LEAST_VECTORS:
        return n_rows
    steps = int(np.log(n_rows / LEAST_VECTORS) / np.log(_GROWTH) + 1e-9)
    return min(n_rows, int(LEAST_VECTORS * _GROWTH**steps))
