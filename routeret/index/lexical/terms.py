"""The terms of every document, by document number: what exact scores are computed from."""

from array import array
from collections.abc import Iterable, Iterator

import numpy as np

from routeret.errors import InputError
from routeret.index.lexical.tokens import Tokenizer
from routeret.types import BoolArray, HashArray, IntArray

ABSENT = -1
"""Stands for the number of tokens where a document number came without a text."""

LINE = 2
"""A document's line: where its entries end, and how many tokens it has."""

_ENTRIES_AT_ONCE = 1 << 20


class DocumentTerms:
    """Read access by document number."""

    def __init__(self, entries: HashArray, documents: IntArray) -> None:
        """Keep both arrays.

        Args:
            entries: uint64, shape (n_entries,); a term with its count in one document. The entries of a document
                stand together, in rising order.
            documents: int64, shape (n_documents, 2); see :data:`LINE` and :data:`ABSENT`.
        """
        self._entries = entries
        self._ends = documents[:, 0]
        self._tokens = documents[:, 1]

    @classmethod
    def of(cls, texts: Iterable[tuple[int, str]], *, n_documents: int) -> "DocumentTerms":
        """The terms of documents in memory.

        Args:
            texts: document numbers in rising order and their texts; read once.
            n_documents: the end of the numbers; those without a text are absent.

        Raises:
            InputError: a number is not above the one before it, or not below ``n_documents``.
        """
        entries, documents = array("Q"), array("q")
        for found, lines in laid_out(texts, start=0, n_entries=0, n_documents=n_documents):
            entries.extend(found)
            documents.extend(lines)
        lines_by_number = np.array(documents, dtype=np.int64).reshape(n_documents, LINE)
        return cls(np.array(entries, dtype=np.uint64), lines_by_number)

    def __len__(self) -> int:
        """The end of the document numbers."""
        return len(self._ends)

    @property
    def tokens(self) -> IntArray:
        """How many tokens every document has, or :data:`ABSENT`, int64, shape (n_documents,)."""
        return self._tokens

    def n_entries(self, start: int) -> int:
        """How many entries the documents from a number on have together."""
        return len(self._entries) - int(self._ends[start - 1] if start else 0)

    def entries(self, number: int) -> HashArray:
        """The entries of one document, uint64, shape (n,)."""
        start = self._ends[number - 1] if number else 0
        return self._entries[start : self._ends[number]]

    def parts(self, numbers: IntArray) -> Iterator[tuple[slice, HashArray, IntArray]]:
        """The entries of some documents, in parts that bound the memory.

        Args:
            numbers: shape (n,).

        Yields:
            Which of the numbers the part is about, their entries, and for every entry the place of its document in
            the part.
        """
        starts = np.where(numbers > 0, self._ends[numbers - 1], 0)
        counts = self._ends[numbers] - starts
        ends = np.cumsum(counts)
        first, done = 0, 0
        while first < len(numbers):
            # At least one document a part, however long it is.
            last = max(first + 1, int(np.searchsorted(ends, done + _ENTRIES_AT_ONCE, side="right")))
            part = slice(first, last)
            owners = np.repeat(np.arange(last - first), counts[part])
            shifts = starts[part] - (ends[part] - counts[part] - done)
            yield part, self._entries[np.arange(len(owners)) + shifts[owners]], owners
            first, done = last, int(ends[last - 1])

    def chosen(self, is_chosen: BoolArray) -> tuple[HashArray, IntArray]:
        """All entries of the chosen documents and the document number of each, shapes (n,).

        Args:
            is_chosen: bool, shape (n,), by number; those behind its end are not chosen.
        """
        numbers = np.flatnonzero(is_chosen)
        parts = [(entries, numbers[part][owners]) for part, entries, owners in self.parts(numbers)]
        if not parts:
            return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
        return np.concatenate([entries for entries, _ in parts]), np.concatenate([owners for _, owners in parts])


def laid_out(
    texts: Iterable[tuple[int, str]], *, start: int, n_entries: int, n_documents: int
) -> Iterator[tuple[list[int], list[int]]]:
    """What has to be written for documents: their entries, and their lines with those of the numbers left out.

    Args:
        texts: document numbers in rising order and their texts; read once.
        start: the first number.
        n_entries: how many entries stand before.
        n_documents: the end of the numbers.

    Yields:
        The entries of a document, and two integers a line.

    Raises:
        InputError: a number is not above the one before it, or not one from ``start`` to ``n_documents - 1``.
    """
    tokenizer = Tokenizer()
    end = start
    for number, text in texts:
        if not end <= number < n_documents:
            raise InputError(
                f"document number {number} came where one from {end} to {n_documents - 1} was expected; "
                "give the texts in the order of their numbers, each once"
            )
        entries, n_tokens = tokenizer.entries(text)
        gap = [n_entries, ABSENT] * (number - end)
        n_entries += len(entries)
        yield entries, [*gap, n_entries, n_tokens]
        end = number + 1
    yield [], [n_entries, ABSENT] * (n_documents - end)
