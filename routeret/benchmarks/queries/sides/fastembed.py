"""fastembed, with the model as sentence-transformers exports it."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from routeret.benchmarks.queries.sides.flat import FlatSide
from routeret.benchmarks.queries.sides.sentence_transformers import exported
from routeret.errors import InputError
from routeret.types import FloatArray

_NAME = "benchmark/model"


class FastembedSide(FlatSide):
    """``TextEmbedding.query_embed``."""

    packages = ("fastembed", "onnxruntime", "faiss-cpu")

    def load(self) -> None:
        """Open the exported model.

        Raises:
            InputError: fastembed does not pool as the model does.
        """
        facts = self._material.facts
        if facts.pooling not in ("mean", "cls"):
            raise InputError(f"the model pools by {facts.pooling!r}, expected mean or cls; leave fastembed out")
        fastembed: Any = import_module("fastembed")
        described: Any = import_module("fastembed.common.model_description")
        pooling = described.PoolingType
        folder = exported(self._material)
        fastembed.TextEmbedding.add_custom_model(
            model=_NAME,
            pooling=pooling.MEAN if facts.pooling == "mean" else pooling.CLS,
            normalization=facts.unit_length,
            sources=described.ModelSource(hf=_NAME),
            dim=facts.dim,
            model_file="onnx/model.onnx",
        )
        self._model: Any = fastembed.TextEmbedding(_NAME, specific_model_path=str(folder))

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries."""
        prompt = self._material.facts.query_prompt
        return np.array(list(self._model.query_embed([prompt + text for text in texts])), dtype=np.float32)
