"""fastembed, with the model as sentence-transformers exports it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from routeret.benchmarks.models.fastembed import text_embedding
from routeret.benchmarks.queries.sides.flat import FlatSide
from routeret.types import FloatArray


class FastembedSide(FlatSide):
    """``TextEmbedding.query_embed``."""

    packages = ("fastembed", "onnxruntime", "faiss-cpu")

    def load(self) -> None:
        """Open the exported model.

        Raises:
            InputError: fastembed does not pool as the model does.
        """
        self._model: Any = text_embedding(self._material.facts, self._material.folder)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries."""
        prompt = self._material.facts.query_prompt
        return np.array(list(self._model.query_embed([prompt + text for text in texts])), dtype=np.float32)
