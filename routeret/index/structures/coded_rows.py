"""Rows in memory as 8-bit codes, searched exactly: the codes tell which rows cannot be among the best."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat

import numkong
import numpy as np
from numpy.typing import NDArray

from routeret.index.structures.best import best_of, nearly_kth_best
from routeret.index.structures.rows import RowVectors
from routeret.types import BoolArray, FloatArray, IntArray, TopK

_LARGEST = np.float32(127)
_TINY = np.finfo(np.float32).tiny
_ROUNDING = np.float32(1e-5)
_SCORES_AT_ONCE = 1 << 22  # of every kind that is held, 16 MiB
_FEW_ROWS = 256  # scored exactly one by one they cost less than finding out which of them need it
_CODED_AT_ONCE = 256  # these stay in the caches of a core


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows that were coded together.

    Attributes:
        packed: the codes of what rows have beside the centre, whole numbers from -127 to 127, as the product of bytes
            takes them.
        steps: float32, shape (n,); what a code of one stands for in every row.
        errors: float32, shape (n,); by so much what a row scores beside the centre may differ from what its codes
            score, for a query of length one whose codes are exact.
        longest: the largest length that a row has beside the centre, or of what its codes stand for.
    """

    packed: numkong.PackedMatrix
    steps: FloatArray
    errors: FloatArray
    longest: float

    def __len__(self) -> int:
        """How many rows."""
        return len(self.steps)

    @classmethod
    def of(cls, blocks: Iterable[FloatArray], n_rows: int, centre: FloatArray) -> "_Part":
        """Code blocks of rows, float32, shapes (n, dim), together ``n_rows``."""
        codes = np.empty((n_rows, len(centre)), dtype=np.int8)
        steps, errors = np.empty(n_rows, dtype=np.float32), np.empty(n_rows, dtype=np.float32)
        centre_lengths, longest, start = 2 * _lengths(centre), 0.0, 0
        for some in (block[begin : begin + _CODED_AT_ONCE] for block in blocks for begin in _starts(block)):
            rows = slice(start, start + len(some))
            beside = some - centre
            codes[rows], steps[rows], rest = _coded(beside)
            lengths, missed = _lengths_in_steps(beside, steps[rows]), _lengths_in_steps(rest, steps[rows])
            # A row is no longer than what it has beside the centre and the centre together.
            errors[rows] = missed + _ROUNDING * (lengths + centre_lengths)
            longest = max(longest, float((lengths + missed).max()))
            start += len(some)
        return cls(numkong.dots_pack(codes), steps, errors, longest)


class CodedRows:
    """The last rows of a snapshot in memory, a byte a dimension; their best rows are found exactly.

    A row's codes give its score up to an error that Cauchy's inequality bounds, so most rows are known not to be among
    the best; the others are scored from the stored vectors. What is coded is what a row has beside the rows' mean,
    their centre: what a query scores with that is the same for all rows and decides nothing, and the less there is to
    code, the smaller are the errors. Growing gives a new object, which shares all but the last few rows with the old
    one; whoever holds that sees no change.
    """

    def __init__(
        self, vectors: RowVectors, first: int, parts: tuple[_Part, ...] = (), *, centre: FloatArray | None = None
    ) -> None:
        """Take stored vectors, the first row that is coded, and the codes; :meth:`read` and :meth:`grown` make them."""
        self._vectors = vectors
        self._first = first
        self._parts = parts
        self._centre: FloatArray = np.zeros(vectors.dim, dtype=np.float32) if centre is None else centre
        self._longest = max((part.longest for part in parts), default=0.0)
        self._errors = np.concatenate([part.errors for part in parts]) if parts else np.empty(0, dtype=np.float32)

    @classmethod
    def read(cls, vectors: RowVectors, *, first: int = 0) -> "CodedRows":
        """Code the rows from ``first`` to the last one."""
        return cls(vectors, first).grown(vectors)

    def __len__(self) -> int:
        """How many rows."""
        return len(self._errors)

    def grown(self, vectors: RowVectors) -> "CodedRows":
        """These rows and those that came behind them in a later snapshot of the same rows.

        New rows are coded together with the parts before them that hold no more, so that there are only as many parts
        as the number of rows has binary digits, and a row is coded again no oftener.
        """
        parts, centre = list(self._parts), self._centre
        n_new = vectors.n_rows - self._first - len(self)
        if n_new == 0:
            return CodedRows(vectors, self._first, self._parts, centre=centre)
        while parts and len(parts[-1]) <= n_new:
            n_new += len(parts.pop())
        start = vectors.n_rows - n_new
        if not parts:
            sums = [block.sum(axis=0, dtype=np.float64) for block in vectors.blocks(start, vectors.n_rows)]
            centre = (np.sum(sums, axis=0) / n_new).astype(np.float32)
        parts.append(_Part.of(vectors.blocks(start, vectors.n_rows), n_new, centre))
        return CodedRows(vectors, self._first, tuple(parts), centre=centre)

    def search(self, queries: FloatArray, k: int, *, allowed: BoolArray | None = None) -> TopK:
        """The min(k, n_allowed) best rows of every query, best first; equal scores keep the lower row first.

        Args:
            queries: float32, shape (n_queries, dim), finite.
            k: at least 1.
            allowed: shape (len(self),); the rows that may be found, None for all.

        Returns:
            Numbers of the stored rows, and their exact scores.
        """
        n_allowed = len(self) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, n_allowed)
        rows = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        if n_allowed <= max(k, _FEW_ROWS):
            few = np.arange(len(self)) if allowed is None else np.flatnonzero(allowed)
            likely: Iterable[IntArray] = repeat(few, len(queries))
        else:
            likely = self._likely(queries, k, allowed)
        for number, (query, places) in enumerate(zip(queries, likely, strict=True)):
            rows[number], scores[number] = best_of(self._vectors, places + self._first, query, k)
        return TopK(rows, scores)

    def _likely(self, queries: FloatArray, k: int, allowed: BoolArray | None) -> Iterator[IntArray]:
        """The places of all rows that may be among the k best, for one query after the other, ascending.

        At least k rows score no less than the k-th best of what the rows score at the least. What scores less at the
        most is not among the best.
        """
        places = None if allowed is None else np.flatnonzero(allowed)
        of_rows = self._errors if places is None else self._errors[places]
        step = max(1, _SCORES_AT_ONCE // len(self))
        for start in range(0, len(queries), step):
            some = queries[start : start + step]
            scores, missed = self._scores(some)
            if places is not None:
                scores = scores.take(places, axis=1)
            errors = _lengths(some)[:, None] * of_rows
            bounds = nearly_kth_best(scores - errors, k) - 2 * missed
            scores += errors
            for line, bound in zip(scores, bounds, strict=True):
                # What is not a number, from numbers too large, is not certain to be less either.
                likely = np.flatnonzero(~(line < bound))
                yield likely if places is None else places[likely]

    def _scores(self, queries: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the codes of queries and rows score, shape (n_queries, n_rows), and what the queries' codes miss of it.

        What a query scores with the centre is left out of all.

        A query is coded twice, the second time what the first codes leave of it, so that they miss next to nothing.
        """
        n_queries = len(queries)
        coarse, coarse_steps, rest = _coded(queries)
        # The first codes leave half a step at most, and the second ones half a step of theirs.
        fine_steps = np.maximum(coarse_steps / (2 * _LARGEST), _TINY)
        fine = np.rint(rest / fine_steps[:, None]).astype(np.int8)
        codes = np.concatenate([coarse, fine])
        scores = np.empty((n_queries, len(self)), dtype=np.float32)
        end = 0
        for part in self._parts:
            start, end = end, end + len(part)
            products: NDArray[np.int32] = np.asarray(numkong.dots_packed(codes, part.packed))
            found = scores[:, start:end]
            np.multiply(products[n_queries:], fine_steps[:, None], out=found, dtype=np.float32)
            found += np.multiply(products[:n_queries], coarse_steps[:, None], dtype=np.float32)
            found *= part.steps
        return scores, fine_steps * np.float32(math.sqrt(queries.shape[1]) / 2 * self._longest)


def _coded(vectors: FloatArray) -> tuple[NDArray[np.int8], FloatArray, FloatArray]:
    """Vectors as whole numbers of steps, each with a step of its own; codes, steps, and what the codes leave."""
    steps: FloatArray = np.maximum(np.abs(vectors).max(axis=1, initial=0.0) / _LARGEST, _TINY)
    whole = np.rint(vectors / steps[:, None])
    rest: FloatArray = vectors - whole * steps[:, None]
    return whole.astype(np.int8), steps, rest


def _lengths(vectors: FloatArray) -> FloatArray:
    """The length of every vector, shape (n,); squares of numbers far from one are no numbers in single precision."""
    lengths: FloatArray = np.sqrt(np.vecdot(vectors, vectors, dtype=np.float64)).astype(np.float32)
    return lengths


def _lengths_in_steps(vectors: FloatArray, steps: FloatArray) -> FloatArray:
    """The same, sooner, for some hundred vectors whose numbers are at most 127 steps of theirs."""
    inside = vectors / steps[:, None]
    lengths: FloatArray = steps * np.sqrt(np.vecdot(inside, inside))
    return lengths


def _starts(block: FloatArray) -> range:
    """Where the parts of a block begin that are coded at once."""
    return range(0, len(block), _CODED_AT_ONCE)
