"""What one commit of an index holds: which numbers and rows there are, and which of them are alive."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from routeret.index.segments import Segment
from routeret.ranges import expanded
from routeret.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class Range:
    """Document numbers, and their rows, that came in one call.

    Attributes:
        first_document: the first number.
        end_document: the number behind the last one.
        first_row: the first row.
        end_row: the row behind the last one.
        staged: whether the call has not ended yet, so that nobody sees them.
    """

    first_document: int
    end_document: int
    first_row: int
    end_row: int
    staged: bool


@dataclass(frozen=True)
class Snapshot:
    """One commit. Numbers and rows mean the same in all commits of one generation.

    Attributes:
        commit: counts the commits that changed what a reader sees.
        generation: counts the times that numbers and rows were given anew.
        ranges: all numbers and rows, in order and without gaps.
        removed: int64, shape (n, 3); number, first row and count of rows of every removed document, in the order in
            which they were removed.
        segments: vector files of all spaces; those of one space in row order.
    """

    commit: int
    generation: int
    ranges: tuple[Range, ...]
    removed: IntArray
    segments: tuple[Segment, ...]

    @cached_property
    def n_numbers(self) -> int:
        """The number behind the last published document."""
        return max((one.end_document for one in self.ranges if not one.staged), default=0)

    @cached_property
    def n_rows(self) -> int:
        """The row behind the last published one."""
        return max((one.end_row for one in self.ranges if not one.staged), default=0)

    @cached_property
    def n_stored_numbers(self) -> int:
        """The number behind the last document, staged or not."""
        return max((one.end_document for one in self.ranges), default=0)

    @cached_property
    def n_stored_rows(self) -> int:
        """The row behind the last one, staged or not."""
        return max((one.end_row for one in self.ranges), default=0)

    @cached_property
    def n_documents(self) -> int:
        """How many documents there are: published and not removed."""
        return sum(one.end_document - one.first_document for one in self.ranges if not one.staged) - len(self.removed)

    @cached_property
    def n_live_rows(self) -> int:
        """How many rows belong to a document that is there."""
        published = sum(one.end_row - one.first_row for one in self.ranges if not one.staged)
        return published - int(self.removed[:, 2].sum())

    @cached_property
    def n_staged(self) -> int:
        """How many documents are embedded, but not published, since the call that brought them has not ended."""
        return sum(one.end_document - one.first_document for one in self.ranges if one.staged)

    @cached_property
    def live_documents(self) -> BoolArray:
        """Whether each number is a document, shape (n_numbers,)."""
        live = np.zeros(self.n_numbers, dtype=np.bool_)
        for one in self.ranges:
            live[one.first_document : one.end_document] = not one.staged
        live[self.removed[:, 0]] = False
        return live

    @cached_property
    def live_rows(self) -> BoolArray:
        """Whether each row belongs to a document that is there, shape (n_rows,)."""
        live = np.zeros(self.n_rows, dtype=np.bool_)
        for one in self.ranges:
            live[one.first_row : one.end_row] = not one.staged
        live[expanded(self.removed[:, 1], self.removed[:, 2])] = False
        return live

    @cached_property
    def is_whole(self) -> bool:
        """Whether every row below ``n_rows`` is alive."""
        return self.n_live_rows == self.n_rows

    def segments_of(self, space: str) -> tuple[Segment, ...]:
        """The segments of one space, in row order."""
        return tuple(segment for segment in self.segments if segment.space == space)

    def covers(self, space: str) -> int:
        """How many rows have a vector in a space; all published ones unless the space is still being added."""
        return max((segment.end_row for segment in self.segments_of(space)), default=0)

    def is_published(self, number: int) -> bool:
        """Whether a number came in a call that had ended by this commit."""
        return any(one.first_document <= number < one.end_document for one in self.ranges if not one.staged)
