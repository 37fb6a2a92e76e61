"""sentence-transformers: by PyTorch, by its own ONNX backend, and with adapters of PEFT switched for every query."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from routeret.benchmarks.models.sentence_transformers import by_graph, encoded, loaded, quantisation, token_counts
from routeret.benchmarks.queries.material import Material
from routeret.benchmarks.queries.sides.flat import FlatSide
from routeret.types import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class PlainSide(FlatSide):
    """``SentenceTransformer.encode``, as it comes."""

    packages: tuple[str, ...] = ("sentence-transformers", "transformers", "torch", "faiss-cpu")

    def __init__(self, material: Material, *, is_bfloat16: bool = False) -> None:
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
        return loaded(self._material.facts, is_bfloat16=self._is_bfloat16)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries."""
        facts = self._material.facts
        return encoded(self._model, texts, prompt=facts.query_prompt, unit_length=facts.unit_length)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of every query the model reads, with prompt and special ones."""
        facts = self._material.facts
        counts, _ = token_counts(self._model, texts, prompt=facts.query_prompt, limit=facts.max_tokens)
        return counts


class OnnxBackendSide(PlainSide):
    """``SentenceTransformer(..., backend="onnx")``, with the model as it exports or quantises it."""

    packages = ("sentence-transformers", "transformers", "optimum-onnx", "onnxruntime", "faiss-cpu")

    def __init__(self, material: Material, *, is_quantised: bool) -> None:
        """Keep what it is measured on.

        Args:
            material: what all sides are measured on.
            is_quantised: whether weights are 8-bit numbers.
        """
        super().__init__(material)
        self._is_quantised = is_quantised

    def _loaded(self) -> "SentenceTransformer":
        return by_graph(self._material.facts, self._material.folder, is_quantised=self._is_quantised)

    def describe(self) -> dict[str, Any]:
        """The versions, and how it was quantised."""
        kind = {"quantisation": quantisation()} if self._is_quantised else {}
        return {**super().describe(), **kind}


class PeftSide(PlainSide):
    """One adapter a query, switched by ``PeftModel.set_adapter``; queries of a batch that share one go together."""

    packages = (*PlainSide.packages, "peft")

    def load(self) -> None:
        """Read the model's weights and put all adapters into its layers."""
        from peft import PeftModel

        super().load()
        first: Any = self._model[0]
        folders = sorted(self._material.pack_folder("lora").glob("experts/*/adapter"))
        self._names = [folder.parent.name for folder in folders]
        self._adapted: Any = PeftModel.from_pretrained(first.auto_model, folders[0], adapter_name=self._names[0])
        for name, folder in zip(self._names[1:], folders[1:], strict=True):
            self._adapted.load_adapter(folder, adapter_name=name)
        self._model.eval()

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries; a text always takes the same adapter."""
        import numpy as np

        chosen = np.array([zlib.crc32(text.encode()) % len(self._names) for text in texts])
        vectors: FloatArray = np.zeros((len(texts), self._material.facts.dim), dtype=np.float32)
        for number in np.unique(chosen).tolist():
            self._adapted.set_adapter(self._names[number])
            rows = np.flatnonzero(chosen == number)
            vectors[rows] = super().vectors([texts[row] for row in rows.tolist()])
        return vectors

    def passes(self, text: str) -> int:  # noqa: ARG002 - every query takes one
        """One."""
        return 1

    def describe(self) -> dict[str, Any]:
        """The versions, and how many adapters there are."""
        return {**super().describe(), "adapters": len(self._names)}
