"""How like a query is to a training corpus at all, told from a few exemplars of its pilots."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.types import FloatArray, IntArray

MOST_EXEMPLARS = 8
"""How many exemplars a corpus has at most."""

_PILOTS_AN_EXEMPLAR = 10
_LEAST_LIKE, _LIKE_ENOUGH = 0.02, 0.3
_LEAST_WIDTH = 1e-3
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class CorpusLikeness:
    """The similarity of a query to the nearest exemplar of a corpus, on the scale of the corpus's own pilots.

    An exemplar is the mean of a cluster of pilots, so a product with it is the mean similarity to the cluster. A pilot
    is compared with its own cluster as if it were not in it.

    Attributes:
        exemplars: float32, shape (n_exemplars, dim); those of a corpus stand together.
        starts: int64, shape (n_corpora,); where those of each corpus begin. Every corpus has at least one.
        floors: float32, shape (n_corpora,); a query less similar to a corpus than this is nothing like it. Below the
            ceilings.
        ceilings: float32, shape (n_corpora,); a query more similar than this is like it without reserve.
    """

    exemplars: FloatArray
    starts: IntArray
    floors: FloatArray
    ceilings: FloatArray

    @classmethod
    def fit(cls, vectors: Sequence[FloatArray]) -> "CorpusLikeness":
        """Cluster the pilots of every corpus, at least ten of them an exemplar, by k-means.

        Args:
            vectors: for every corpus float32, shape (n_pilots, dim); n_pilots differ, and none is 0.
        """
        exemplars, floors, ceilings = [], [], []
        for own in vectors:
            centres, labels = _clustered(own)
            nearest = _similarity_without_itself(own, centres, labels)
            floor, ceiling = (0.0, 1.0) if len(own) < 2 else np.quantile(nearest, [_LEAST_LIKE, _LIKE_ENOUGH])
            exemplars.append(centres)
            # Pilots that are all the same are like themselves.
            floors.append(min(floor, ceiling - _LEAST_WIDTH))
            ceilings.append(ceiling)
        dim = vectors[0].shape[1] if vectors else 0
        return cls(
            np.concatenate([np.zeros((0, dim), dtype=np.float32), *exemplars]),
            np.cumsum([0, *(len(centres) for centres in exemplars)])[:-1].astype(np.int64),
            np.array(floors, dtype=np.float32),
            np.array(ceilings, dtype=np.float32),
        )

    def of(self, queries: FloatArray) -> FloatArray:
        """How like queries are to every corpus: 0 nothing like its pilots, 1 like them without reserve.

        Args:
            queries: float32, shape (n_queries, dim); base embeddings.

        Returns:
            float32, shape (n_queries, n_corpora).
        """
        if not len(self.starts):
            return np.zeros((len(queries), 0), dtype=np.float32)
        nearest = np.maximum.reduceat(queries @ self.exemplars.T, self.starts, axis=1)
        scaled = (nearest - self.floors) / (self.ceilings - self.floors)
        return np.asarray(np.minimum(np.maximum(scaled, 0.0), 1.0), dtype=np.float32)


def _clustered(vectors: FloatArray) -> tuple[FloatArray, IntArray]:
    """The mean of every cluster, and the cluster of every vector."""
    n_clusters = min(MOST_EXEMPLARS, max(1, len(np.unique(vectors, axis=0)) // _PILOTS_AN_EXEMPLAR))
    if n_clusters == 1:
        return vectors.mean(axis=0, keepdims=True), np.zeros(len(vectors), dtype=np.int64)
    from sklearn.cluster import KMeans

    labels = KMeans(n_clusters, n_init=1, random_state=_SEED).fit(vectors).labels_.astype(np.int64)
    centres = np.stack([vectors[labels == label].mean(axis=0) for label in range(n_clusters)])
    return centres.astype(np.float32), labels


def _similarity_without_itself(vectors: FloatArray, centres: FloatArray, labels: IntArray) -> FloatArray:
    """Similarity of every vector to its nearest exemplar, of its own cluster's others only."""
    similarity = vectors @ centres.T
    lines = np.arange(len(vectors))
    sizes = np.bincount(labels, minlength=len(centres))[labels]
    own = similarity[lines, labels]
    others = (own * sizes - (vectors * vectors).sum(axis=1)) / np.maximum(sizes - 1, 1)
    similarity[lines, labels] = np.where(sizes > 1, others, -np.inf)
    return np.asarray(similarity.max(axis=1), dtype=np.float32)
