"""Sides that write a query's vector by some library and search it in faiss.IndexFlatIP."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from routeret.benchmarks.queries.material import K
from routeret.benchmarks.queries.sides.side import QuerySide
from routeret.optional import require
from routeret.types import FloatArray


class FlatSide(QuerySide):
    """Every query against every vector; answers with ids and nothing more."""

    def open(self) -> None:
        """Load the model, and put the vectors into memory."""
        faiss = require("faiss", extra="cpu")
        self.load()
        self._ids = self._material.ids()
        self._index: Any = faiss.IndexFlatIP(self._material.facts.dim)
        self._index.add(self._material.vectors())

    @abstractmethod
    def load(self) -> None:
        """Load the model."""

    @abstractmethod
    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries, float32, shape (n_queries, dim)."""

    def search(self, texts: Sequence[str]) -> list[list[str]]:
        """The ids of the best documents."""
        _, rows = self._index.search(self.vectors(texts), min(K, len(self._ids)))
        return [[self._ids[row] for row in line] for line in rows.tolist()]
