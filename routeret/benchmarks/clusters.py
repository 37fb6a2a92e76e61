"""Synthetic vectors like those of a text encoder: clustered, unit length, reproducible block by block."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from routeret.types import FloatArray

BLOCK_ROWS = 8192

_SHAPE, _ROWS, _QUERIES = range(3)
"""Streams of chance: cluster centres and turn; a block of rows; queries."""


@dataclass(frozen=True)
class Clusters:
    """Gaussian clusters around Gaussian centres, turned at random, then cut to unit length.

    The defaults give, at 80,000 vectors, scores like those of all-MiniLM-L6-v2 on 80,891 documents of 13 collections:
    the median query has 0.67 to its best document, 0.50 to the tenth and 0.31 to the hundredth (there 0.64, 0.49 and
    0.37), 0.00 to the median one (0.02); the vectors spread over about 100 directions (116).

    Attributes:
        seed: where chance starts.
        dim: length of a vector.
        n_clusters: how many clusters; their shares are log-normal with a sigma of 1.
        width: standard deviation inside a cluster, as a share of that between centres.
        decay: the i-th direction has the standard deviation ``i ** -decay``.
        distance: length of the noise that makes a query from a document; the cosine of the two is about
            ``1 / sqrt(1 + distance ** 2)``.
    """

    seed: int = 0
    dim: int = 384
    n_clusters: int = 2000
    width: float = 0.7
    decay: float = 0.35
    distance: float = 1.1

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def blocks(self, n_rows: int) -> Iterator[FloatArray]:
        """The first rows, float32, shapes (n, dim); more rows begin with the same ones."""
        for number, start in enumerate(range(0, n_rows, BLOCK_ROWS)):
            yield self._block(number)[: n_rows - start]

    def near(self, rows: FloatArray) -> FloatArray:
        """Queries near some documents but equal to none.

        Args:
            rows: the documents' vectors, float32, shape (n, dim).

        Returns:
            float32, shape (n, dim), unit length.
        """
        rng = np.random.default_rng((self.seed, _QUERIES))
        return unit(rows + self.distance * unit(self._turned(rng.standard_normal(rows.shape, dtype=np.float32))))

    def _block(self, number: int) -> FloatArray:
        """A whole block, whatever is taken of it, so that sizes do not change what is drawn."""
        rng = np.random.default_rng((self.seed, _ROWS, number))
        cluster = rng.choice(self.n_clusters, size=BLOCK_ROWS, p=self._shares)
        noise = rng.standard_normal((BLOCK_ROWS, self.dim), dtype=np.float32)
        return unit(self._turned(self._centres[cluster] + np.float32(self.width) * noise))

    def _turned(self, points: FloatArray) -> FloatArray:
        return points @ self._turn

    @cached_property
    def _shape_rng(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        rng = np.random.default_rng((self.seed, _SHAPE))
        centres = rng.standard_normal((self.n_clusters, self.dim), dtype=np.float32)
        shares = rng.lognormal(0.0, 1.0, self.n_clusters)
        turn, _ = np.linalg.qr(rng.standard_normal((self.dim, self.dim)))
        deviations = np.arange(1, self.dim + 1, dtype=np.float64) ** -self.decay
        return centres, shares / shares.sum(), (deviations[:, None] * turn).astype(np.float32)

    @property
    def _centres(self) -> FloatArray:
        return self._shape_rng[0]

    @property
    def _shares(self) -> FloatArray:
        return self._shape_rng[1]

    @property
    def _turn(self) -> FloatArray:
        """Standard deviations of the directions and the turn, in one matrix."""
        return self._shape_rng[2]


def unit(vectors: FloatArray) -> FloatArray:
    """The vectors at length 1, float32, shape (n, dim)."""
    scaled: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled.astype(np.float32, copy=False)
