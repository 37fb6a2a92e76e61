"""Stored vectors as search structures read them, and clustered ones to search."""

import numpy as np

from routeret.index.structures.best import exact_scores


class Stored:
    """Vectors in blocks, that remember which rows were read."""

    def __init__(self, vectors, *, block_rows=700):
        self.vectors = vectors
        self.n_rows, self.dim = vectors.shape
        self.block_rows = block_rows
        self.read = []

    def blocks(self, start=0, end=None):
        end = self.n_rows if end is None else end
        for begin in range(start, end, self.block_rows):
            behind = min(end, begin + self.block_rows)
            self.read += range(begin, behind)
            yield self.vectors[begin:behind]

    def take(self, rows):
        self.read += np.asarray(rows).tolist()
        return self.vectors[rows]

    def scores(self, rows, query):
        return exact_scores(self.take(rows), query)


def clustered(n_rows, seed=0, *, dim=16, n_clusters=40, is_half=False):
    """Unit vectors around centres that are the same for every seed; exact in half precision if asked for."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(n_clusters, dim))
    vectors = centres[rng.integers(n_clusters, size=n_rows)] + 0.7 * rng.normal(size=(n_rows, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32) if is_half else vectors.astype(np.float32)
