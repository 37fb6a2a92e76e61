"""Sides that give the texts of documents to another library."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.benchmarks.building.material import BuildMaterial
from routeret.benchmarks.building.parts import EMBEDDING, PARTS, REST
from routeret.benchmarks.building.sides.side import EncodingSide
from routeret.benchmarks.models.fastembed import text_embedding
from routeret.benchmarks.models.sentence_transformers import by_graph, encoded, loaded, quantisation, token_counts
from routeret.benchmarks.watching import Watch
from routeret.optional import require
from routeret.types import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class TextSide(EncodingSide):
    """Texts, already joined of title and text, into vectors."""

    def open(self) -> None:
        """Read the texts and load the model."""
        self._texts = self.material.texts()
        self.load()
        self.vectors(self._texts[:1])

    @abstractmethod
    def load(self) -> None:
        """Load the model."""

    @abstractmethod
    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts of documents, float32, shape (n_texts, dim)."""

    def encode(self, start: int, end: int) -> FloatArray:
        """Vectors of a block."""
        return self.vectors(self._texts[start:end])


class PlainSide(TextSide):
    """``SentenceTransformer.encode``, as it comes."""

    packages: tuple[str, ...] = ("sentence-transformers", "transformers", "torch", "faiss-cpu")

    def __init__(self, material: BuildMaterial, *, is_bfloat16: bool = False) -> None:
        """Keep what it is measured on.

        Args:
            material: what all sides are measured on.
            is_bfloat16: whether the model is loaded in bfloat16.
        """
        super().__init__(material)
        self._is_bfloat16 = is_bfloat16

    def load(self) -> None:
        """Read the model's weights."""
        self._model = self._loaded()

    def _loaded(self) -> "SentenceTransformer":
        return loaded(self.material.facts, is_bfloat16=self._is_bfloat16)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of documents."""
        facts = self.material.facts
        return encoded(self._model, texts, prompt=facts.document_prompt, unit_length=facts.unit_length)

    def queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries, float32, shape (n_queries, dim)."""
        facts = self.material.facts
        return encoded(self._model, texts, prompt=facts.query_prompt, unit_length=facts.unit_length)

    def token_counts(self) -> tuple[list[int], list[bool]]:
        """How many tokens of every document the model reads, with prompt and special ones, and which it cuts."""
        facts = self.material.facts
        return token_counts(self._model, self._texts, prompt=facts.document_prompt, limit=facts.max_tokens)

    def build(self, folder: Path) -> dict[str, Any]:
        """All texts by one call of ``encode`` into ``faiss.IndexFlatIP``, and that into a file."""
        faiss = require("faiss", extra="cpu")
        watch = Watch(PARTS)
        folder.mkdir()
        with watch.part(REST):
            texts = self.material.texts()
            with watch.part(EMBEDDING):
                vectors = self.vectors(texts)
            index: Any = faiss.IndexFlatIP(self.material.facts.dim)
            index.add(vectors)
            faiss.write_index(index, str(folder / "flat.faiss"))
        return {"ms": watch.ms_by_part, "embedded": len(texts)}


class OnnxBackendSide(PlainSide):
    """``SentenceTransformer(..., backend="onnx")``, with the model as it exports or quantises it."""

    packages = ("sentence-transformers", "transformers", "optimum-onnx", "onnxruntime")

    def __init__(self, material: BuildMaterial, *, is_quantised: bool) -> None:
        """Keep what it is measured on.

        Args:
            material: what all sides are measured on.
            is_quantised: whether weights are 8-bit numbers.
        """
        super().__init__(material)
        self._is_quantised = is_quantised

    def _loaded(self) -> "SentenceTransformer":
        return by_graph(self.material.facts, self.material.folder, is_quantised=self._is_quantised)

    def describe(self) -> dict[str, Any]:
        """The versions, and how it was quantised."""
        kind = {"quantisation": quantisation()} if self._is_quantised else {}
        return {**super().describe(), **kind}


class FastembedSide(TextSide):
    """``TextEmbedding.embed``."""

    packages = ("fastembed", "onnxruntime")

    def load(self) -> None:
        """Open the exported model.

        Raises:
            InputError: fastembed does not pool as the model does.
        """
        self._model: Any = text_embedding(self.material.facts, self.material.folder)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of documents."""
        prompt = self.material.facts.document_prompt
        return np.array(list(self._model.embed([prompt + text for text in texts])), dtype=np.float32)
