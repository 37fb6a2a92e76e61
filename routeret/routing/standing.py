"""What it counts for a document in which training corpora it stands."""

from dataclasses import dataclass

import numpy as np

from routeret.routing.training_corpus import NO_OWNER
from routeret.types import BoolArray, FloatArray, IntArray

_BROADEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class CorpusStanding:
    """How much the documents of every training corpus count for some queries, in units of a cosine.

    A document stands in a corpus if the corpus's own expert was trained over it, unless a more special expert was, too:
    one that was trained on fewer corpora. So an expert of all corpora does not make every document one of its own. Of
    several corpora that a document stands in, the one that counts most for the query counts.

    Attributes:
        owners: int64, shape (n_corpora,); the column of the corpus's own expert, -1 where the pool has none.
        breadths: int64, shape (n_experts,); how many corpora an expert was trained on.
        scores: float32, shape (n_queries, n_corpora); only the differences between corpora matter.
    """

    owners: IntArray
    breadths: IntArray
    scores: FloatArray

    def stands(self, knows: BoolArray) -> BoolArray:
        """Which documents stand in which corpora, shape (..., n_corpora).

        Args:
            knows: shape (..., n_experts), at least one expert; which was trained over which document.
        """
        breadths = np.where(knows, self.breadths, _BROADEST)
        special = knows & (breadths == breadths.min(axis=-1, keepdims=True))
        inside: BoolArray = special[..., self.owners] & (self.owners != NO_OWNER)
        return inside

    def of(self, queries: int | IntArray, stands: BoolArray) -> FloatArray:
        """What the corpora of some documents count for queries.

        Args:
            queries: numbers in the batch, of a shape that goes with that of the documents: one for all of them, or
                that of every document's own query.
            stands: shape (..., n_corpora); which document stands in which corpus.

        Returns:
            float32, shape (...); minus infinity for a document that stands in no corpus.
        """
        counts: FloatArray = np.where(stands, self.scores[queries], -np.inf).max(axis=-1, initial=-np.inf)
        return counts
