"""Exact search by FAISS, faster than NumPy where there are many rows."""

from collections.abc import Iterable

import numpy as np

from routeret.index.exact import longest, product_candidates, settle
from routeret.optional import require
from routeret.types import FloatArray, IntArray, TopK

_FEW_QUERIES = 8  # from here on one matrix product is several times faster than FAISS's own search


class FaissFlatSearch:
    """Inner products of the queries with every row, by ``faiss.IndexFlatIP``."""

    name = "faiss_flat"

    def __init__(self, blocks: Iterable[FloatArray], *, dim: int) -> None:
        """Take all vectors into memory.

        Args:
            blocks: float32, shapes (n, dim).
            dim: length of a vector.

        Raises:
            MissingExtraError: faiss is not installed.
        """
        faiss = require("faiss", extra="cpu")
        self._index = faiss.IndexFlatIP(dim)
        for block in blocks:
            self._index.add(block)
        self._vectors: FloatArray = faiss.rev_swig_ptr(self._index.get_xb(), self._index.ntotal * dim).reshape(-1, dim)
        self._longest = longest(self._vectors)

    def search(self, queries: FloatArray, k: int) -> TopK:
        """The min(k, n_rows) best rows of every query, best first; equal scores keep the lower row first."""
        return settle(queries, k, candidates=self._candidates, vectors=self._vectors, longest=self._longest)

    def _candidates(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        if len(queries) >= _FEW_QUERIES:
            return product_candidates(self._vectors, queries, k)
        scores, rows = self._index.search(np.ascontiguousarray(queries), k)
        return rows, scores
