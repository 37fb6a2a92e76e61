"""What it counts for a document in which training corpora it stands."""

from dataclasses import dataclass

import numpy as np

from routeret.types import BoolArray, FloatArray, IntArray


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

    def of(self, query: int, knows: BoolArray) -> FloatArray:
        """What the corpora of some documents count for a query.

        Args:
            query: its number in the batch.
            knows: shape (n_documents, n_experts); which expert was trained over which document.

        Returns:
            float32, shape (n_documents,); minus infinity for a document that stands in no corpus.
        """
        counts = np.full(len(knows), -np.inf, dtype=np.float32)
        breadths = np.where(knows, self.breadths, np.iinfo(np.int64).max)
        special = knows & (breadths == breadths.min(axis=1, initial=np.iinfo(np.int64).max, keepdims=True))
        for corpus in np.flatnonzero(self.owners >= 0):
            inside = special[:, self.owners[corpus]]
            counts[inside] = np.maximum(counts[inside], self.scores[query, corpus])
        return counts
