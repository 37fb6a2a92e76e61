"""faiss.IndexFlatIP in plain form: all vectors in memory, every query against each of them."""

from pathlib import Path
from typing import Any

import numpy as np

from routeret.benchmarks.data import BenchData, PlaceRange
from routeret.benchmarks.stores.store import BenchedStore
from routeret.optional import require
from routeret.types import FloatArray

_FILE = "flat.faiss"


class FlatStore(BenchedStore):
    """A flat index in a file; it answers with rows, since it knows no ids."""

    requires = (("faiss", "cpu"),)
    can_change = False
    ids_are_rows = True

    def __init__(self, folder: Path, data: BenchData) -> None:
        """Keep where it stands and what it holds."""
        super().__init__(folder, data)
        self._file = folder / _FILE
        self._faiss = require("faiss", extra="cpu")

    def add(self) -> dict[str, Any]:
        """Add all vectors and write the file."""
        index = self._faiss.IndexFlatIP(self._data.space.dim)
        for _, block in self._data.blocks():
            index.add(block)
        self._file.parent.mkdir(parents=True)
        self._faiss.write_index(index, str(self._file))
        return {}

    def open(self) -> None:
        """Read the file into memory."""
        self._index = self._faiss.read_index(str(self._file))
        self._places = np.empty(0, dtype=np.int64)

    def search(self, queries: FloatArray, k: int, *, where: PlaceRange | None = None) -> list[list[str]]:
        """The rows of the best documents of every query, as text."""
        parameters = None
        if where is not None:
            if not len(self._places):
                self._places = self._data.array("places")
            selector = self._faiss.IDSelectorBitmap(np.packbits(where.matches(self._places), bitorder="little"))
            parameters = self._faiss.SearchParameters(sel=selector)
        _, rows = self._index.search(queries, min(k, len(self._data)), params=parameters)
        return [[str(row) for row in line if row >= 0] for line in rows.tolist()]

    def describe(self) -> dict[str, Any]:
        """What searches it."""
        return {"name": "IndexFlatIP"}
