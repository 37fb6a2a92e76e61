"""What one round of the benchmark works on: documents, vectors, queries and the right answers, in one folder."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import write_json
from routeret.corpus import Corpus
from routeret.space import Space
from routeret.types import BoolArray, FloatArray, IntArray

CORPUS = "corpus.jsonl"
VECTORS = "vectors.f32"
ARRAYS = "arrays.npz"
META = "data.json"

PLACES = 10_000
"""Documents carry a number below this, evenly spread and shuffled; filters ask for a range of it."""

_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class PlaceRange:
    """A filter: ``start <= place < end``.

    Attributes:
        start: the first number that matches.
        end: the number behind the last one.
    """

    start: int
    end: int

    def matches(self, places: IntArray) -> BoolArray:
        """Whether each number lies in the range."""
        matching: BoolArray = (places >= self.start) & (places < self.end)
        return matching


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What tells one data folder from another.

    Attributes:
        name: how it is called in reports.
        n_documents: how many documents.
        n_changes: how many further vectors stand behind those of the documents, for changed ones.
        k: how many documents a query asks for.
        space: the vectors' space as a dictionary.
        source: where the vectors come from.
    """

    name: str
    n_documents: int
    n_changes: int
    k: int
    space: Mapping[str, Any]
    source: Mapping[str, Any]


class BenchData:
    """A data folder, opened; vectors are mapped."""

    def __init__(self, folder: Path) -> None:
        """Open what :func:`write_data` wrote."""
        self.folder = folder
        self.facts = DataFacts(**json.loads((folder / META).read_text(encoding="utf-8")))

    def __len__(self) -> int:
        """How many documents."""
        return self.facts.n_documents

    @property
    def space(self) -> Space:
        """The space of the vectors."""
        return Space.from_dict(dict(self.facts.space))

    @property
    def corpus(self) -> Corpus:
        """The documents, with their row and their place as metadata."""
        return Corpus.from_path(self.folder / CORPUS)

    @cached_property
    def vectors(self) -> FloatArray:
        """Mapped vectors of the documents and of the changes, float32, shape (n_documents + n_changes, dim)."""
        n_rows = len(self) + self.facts.n_changes
        return np.memmap(self.folder / VECTORS, dtype=np.float32, mode="r", shape=(n_rows, self.space.dim))

    def rows(self, start: int, end: int) -> FloatArray:
        """Some vectors, read and not mapped, so that the source does not count as the reader's memory."""
        dim = self.space.dim
        read = np.fromfile(self.folder / VECTORS, np.float32, (end - start) * dim, offset=4 * dim * start)
        return read.reshape(end - start, dim)

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """First row and vectors of block after block of documents."""
        for start in range(0, len(self), _BLOCK_ROWS):
            yield start, self.rows(start, min(start + _BLOCK_ROWS, len(self)))

    def ids(self) -> list[str]:
        """The ids of all documents, in order."""
        return [document.id for document in self.corpus]

    def array(self, name: str) -> Any:  # noqa: ANN401 - of several types
        """One of the small arrays.

        ``queries`` and ``tuning_queries``: float32, (n, dim); ``bounds`` and ``tuning_bounds``: scores of their k-th
        best documents; ``places``: int64, (n_documents,); ``filters``: int64, (n_filters, 2), start and end;
        ``filter_bounds``: (n_filters, n), of the first queries.
        """
        with np.load(self.folder / ARRAYS) as arrays:
            return arrays[name]


def write_facts(folder: Path, facts: DataFacts) -> None:
    """Write what tells this folder from others."""
    write_json(folder / META, asdict(facts))
