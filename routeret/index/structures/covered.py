"""Search of the rows under a structure, with filters: likely rows from the structure, scored again exactly."""

from math import ceil

import numpy as np

from routeret.index.structures.best import best_of, settle
from routeret.index.structures.exact import StoredScan
from routeret.index.structures.faiss_structure import FaissStructure
from routeret.index.structures.rows import RowVectors
from routeret.index.structures.tuning import K, Settings
from routeret.types import BoolArray, FloatArray, IntArray, TopK

_FEW_ROWS = 2_000
_FEW_SHARE = 25  # below a twenty-fifth, reading the allowed rows costs less than skipping all the others
_SHARED_QUERIES = 4  # the rows are read once for all queries of a batch
_READ_AT_ONCE = 16_384
_NEARLY_ALL = 0.9
_LEAST_LEFT = 0.8
_DEEPEST_SHARE = 4  # of the rows; who asks for more is served as fast by looking at all of them
_WIDEST_SHARE = 4  # likewise for candidates under a filter
_DEVIATIONS = 3.0

_Lines = list[tuple[IntArray, FloatArray]]


class CoveredRows:
    """The first rows of an index, found by a structure.

    Attributes:
        n_rows: how many rows the structure covers.
    """

    def __init__(self, structure: FaissStructure, settings: Settings, vectors: RowVectors) -> None:
        """Take the structure, how to search it, and the stored vectors of at least its rows."""
        self._structure = structure
        self._settings = settings
        self._vectors = vectors
        self.n_rows = structure.n_rows

    def search(self, queries: FloatArray, k: int, *, allowed: BoolArray | None = None) -> TopK:
        """The min(k, n_allowed) best rows of every query, as far as the structure finds them.

        The settings were measured without a filter, and they serve where a filter hides hardly anything near to a
        query, as a few deleted documents do. Few allowed rows are read and searched exactly. From many, candidates
        are taken until the compressed scores tell that no better row can be behind them: where a filter hides what
        is near to a query, the rest lies dense, and its rough order is less telling.

        Args:
            queries: float32, shape (n_queries, dim).
            k: at least 1.
            allowed: shape (n_rows,); the rows that may be found, None for all.
        """
        n_allowed = self.n_rows if allowed is None else int(np.count_nonzero(allowed))
        if n_allowed == self.n_rows:
            allowed = None
        few = max(_FEW_ROWS, self.n_rows // _FEW_SHARE) * min(len(queries), _SHARED_QUERIES)
        if k * _DEEPEST_SHARE > n_allowed or (allowed is not None and n_allowed <= few):
            return self._read(queries, k, allowed)
        share = n_allowed / self.n_rows
        rows = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        open_queries = np.arange(len(queries))
        if share >= _NEARLY_ALL:
            open_queries = self._search_plainly(queries, k, allowed, rows, scores)
        width = 2 * self._settings.width(k)
        while len(open_queries) and width * _WIDEST_SHARE <= n_allowed:
            lines = self._candidates(queries[open_queries], width, allowed)
            is_open = []
            for number, (found, rough) in zip(open_queries, lines, strict=True):
                exact = self._vectors.scores(found, queries[number])
                is_open.append(len(found) < k or not _is_complete(rough, exact, k))
                if not is_open[-1]:
                    best = np.lexsort((found, -exact))[:k]
                    rows[number], scores[number] = found[best], exact[best]
            open_queries = open_queries[is_open]
            width *= 4
        if len(open_queries):
            rest = self._read(queries[open_queries], k, allowed)
            rows[open_queries], scores[open_queries] = rest.rows, rest.scores
        return TopK(rows=rows, scores=scores)

    def _search_plainly(
        self, queries: FloatArray, k: int, allowed: BoolArray | None, rows: IntArray, scores: FloatArray
    ) -> IntArray:
        """Write the best rows of every query whose surroundings are hardly hidden, and give the other queries."""
        wanted = k if allowed is None else ceil(k / _LEAST_LEFT)
        effort = self._structure.deeper(self._settings.effort, max(1.0, wanted / K))
        width = min(self._settings.width(wanted), self.n_rows)
        is_open = np.zeros(len(queries), dtype=np.bool_)
        lines = _real(*self._structure.candidates(queries, width, effort=effort))
        for number, (found, _) in enumerate(lines):
            kept = found if allowed is None else found[allowed[found]]
            if len(kept) < max(k, _LEAST_LEFT * len(found)):
                is_open[number] = True
            else:
                rows[number], scores[number] = best_of(self._vectors, kept, queries[number], k)
        return np.flatnonzero(is_open)

    def _read(self, queries: FloatArray, k: int, allowed: BoolArray | None) -> TopK:
        """Exact search over the stored vectors, in blocks."""
        rows = None if allowed is None else np.flatnonzero(allowed)
        if rows is not None and len(queries) == 1 and len(rows) <= _READ_AT_ONCE:
            # Exact scores cost one query no more than rough ones, which only several queries get at a lower price.
            found, scores = best_of(self._vectors, rows, queries[0], k)
            return TopK(rows=found[None, :], scores=scores[None, :])
        return settle(StoredScan(self._vectors, rows, end=self.n_rows), queries, k)

    def _candidates(self, queries: FloatArray, width: int, allowed: BoolArray | None) -> _Lines:
        """The likeliest allowed rows of every query with their rough scores; none where it would get too deep.

        All lists are read: those nearest to a query may hold none of the allowed rows.
        """
        structure = self._structure
        if allowed is None or structure.takes_filters:
            return _real(*structure.candidates(queries, width, effort=structure.efforts[-1], allowed=allowed))
        depth = ceil(1.5 * width * len(allowed) / np.count_nonzero(allowed))
        if depth * _WIDEST_SHARE > self.n_rows:
            return [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))] * len(queries)
        lines = _real(*structure.candidates(queries, depth, effort=structure.efforts[-1]))
        return [(rows[allowed[rows]][:width], rough[allowed[rows]][:width]) for rows, rough in lines]


def _is_complete(rough: FloatArray, exact: FloatArray, k: int) -> bool:
    """Whether a row behind the last candidate would need an unlikely error to be better than the k-th found.

    The errors of the last half of the candidates stand for those behind them.

    Args:
        rough: scores by the structure, best first, shape (n,).
        exact: exact scores of the same rows, shape (n,).
        k: 1 to n.
    """
    last = slice(len(rough) // 2, None)
    errors = exact[last] - rough[last]
    kth = np.partition(exact, len(exact) - k)[len(exact) - k]
    return bool(kth >= rough[-1] + errors.mean() + _DEVIATIONS * errors.std())


def _real(rows: IntArray, rough: FloatArray) -> _Lines:
    return [(line[line >= 0], scores[line >= 0]) for line, scores in zip(rows, rough, strict=True)]
