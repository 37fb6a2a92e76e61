"""The map of an index: what its own documents say of how queries should be turned."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from routeret.index import Index
from routeret.retriever.kept_map import keep_map, read_map
from routeret.routing.whitening import LEAST_VECTORS, whitening
from routeret.types import BoolArray, FloatArray, IntArray

MOST_ROWS = 4000
"""How many vectors a map is made from, at most."""

LOOKED_AT = 4 * MOST_ROWS
"""Among how many rows those are looked for whose documents no expert knows, at most."""

_VERSION = 1
"""Raised when the same documents give another map."""

_GROWTH = 1.25
_MOST_KEPT = 4


class IndexMap:
    """Computes the map of an index from documents that no expert knows, and keeps it as long as these are the same.

    The map depends on what the index holds, not on how it came to hold it: of the first live rows, a number that grows
    in steps of a quarter, some are taken evenly. So a document that is added seldom changes which, and then nothing is
    computed again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Nothing is computed yet.

        Args:
            folder: of the index, where what is computed is kept for other processes; None keeps it in memory alone.
        """
        self._folder = folder
        self._computing = threading.Lock()
        self._weights: dict[bytes, FloatArray] = {}

    def weight(
        self, index: Index, *, is_known: Callable[[IntArray], BoolArray], knowledge: str | None = None
    ) -> FloatArray | None:
        """The map, as :func:`routeret.routing.whitening.whitening` gives it.

        Args:
            index: as it is now.
            is_known: tells of some document numbers which some expert was trained over, shape (n_documents,).
            knowledge: stands for all that these experts know; without it the map is kept in memory alone.

        Returns:
            float32, shape (dim, dim); None where fewer than 500 of the vectors that were looked at, at most 16,000, are
            of documents that no expert knows, or where they are all zero.
        """
        if len(index.live_rows) < LEAST_VECTORS:
            return None
        if self._folder is None or knowledge is None:
            return self._computed(index, is_known)
        mark = f"{_VERSION} {index.mark()} {knowledge}"
        kept = read_map(self._folder, mark=mark)
        if kept is not None:
            return kept[0]
        weight = self._computed(index, is_known)
        keep_map(self._folder, weight, mark=mark)
        return weight

    def _computed(self, index: Index, is_known: Callable[[IntArray], BoolArray]) -> FloatArray | None:
        rows = evenly(index.live_rows, most=LOOKED_AT)
        numbers, places = np.unique(index.row_documents[rows], return_inverse=True)
        rows = evenly(rows[~is_known(numbers)[places]], most=MOST_ROWS)
        if len(rows) < LEAST_VECTORS:
            return None
        vectors = index.vectors(rows)
        if not vectors.any():
            return None
        content = hashlib.blake2b(np.ascontiguousarray(vectors).tobytes(), digest_size=16).digest()
        with self._computing:
            if content not in self._weights:
                while len(self._weights) >= _MOST_KEPT:
                    self._weights.pop(next(iter(self._weights)))
                self._weights[content] = whitening(vectors)
            return self._weights[content]


def evenly(rows: IntArray, *, most: int) -> IntArray:
    """Some of the first rows: how many are looked at grows in steps of a quarter, and at most so many are taken.

    Args:
        rows: in order.
        most: how many at most.
    """
    rows = rows[: _step(len(rows))]
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _step(n_rows: int) -> int:
    """The largest step of growth that is no more than this."""
    if n_rows < LEAST_VECTORS:
        return n_rows
    steps = int(np.log(n_rows / LEAST_VECTORS) / np.log(_GROWTH) + 1e-9)
    return min(n_rows, int(LEAST_VECTORS * _GROWTH**steps))
