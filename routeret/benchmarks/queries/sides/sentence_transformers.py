"""sentence-transformers: by PyTorch, by its own ONNX backend, and with adapters of PEFT switched for every query."""

import platform
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeret.benchmarks.queries.material import Material
from routeret.benchmarks.queries.sides.flat import FlatSide
from routeret.types import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_EXPORT = "sentence-transformers-onnx"
_FLOAT32 = "onnx/model.onnx"


class PlainSide(FlatSide):
    """``SentenceTransformer.encode``, as it comes."""

    packages: tuple[str, ...] = ("sentence-transformers", "transformers", "torch", "faiss-cpu")

    def load(self) -> None:
        """Read the model's weights."""
        self._model = self._loaded()

    def _loaded(self) -> "SentenceTransformer":
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(self._material.facts.model, device="cpu", local_files_only=True)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries."""
        facts = self._material.facts
        vectors: FloatArray = self._model.encode(
            list(texts),
            prompt=facts.query_prompt or None,
            normalize_embeddings=facts.unit_length,
            show_progress_bar=False,
        )
        return vectors


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
        folder = exported(self._material)
        file = quantised(folder) if self._is_quantised else _FLOAT32
        return _with_graph(folder, file_name=Path(file).name)

    def describe(self) -> dict[str, Any]:
        """The versions, and how it was quantised."""
        kind = {"quantisation": _quantisation()} if self._is_quantised else {}
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


def exported(material: Material) -> Path:
    """The folder of the model as sentence-transformers exports it, written by the first side that asks."""
    folder = material.folder / _EXPORT
    if not (folder / _FLOAT32).is_file():
        _with_graph(Path(material.facts.model), export=True).save_pretrained(str(folder))
    return folder


def quantised(folder: Path) -> str:
    """The file of an exported model whose weights sentence-transformers has made 8-bit numbers."""
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model

    kind = _quantisation()
    file = f"onnx/model_qint8_{kind}.onnx"
    if not (folder / file).is_file():
        model = _with_graph(folder, file_name=Path(_FLOAT32).name)
        export_dynamic_quantized_onnx_model(model, quantization_config=kind, model_name_or_path=str(folder))
    return file


def _with_graph(folder: Path, **settings: Any) -> "SentenceTransformer":  # noqa: ANN401 - of several types
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", backend="onnx", model_kwargs=settings, local_files_only=True)


def _quantisation() -> str:
    """Of the configurations that sentence-transformers has, the one for this processor."""
    if platform.machine() in ("aarch64", "arm64"):
        return "arm64"
    file = Path("/proc/cpuinfo")
    flags = file.read_text(encoding="utf-8").split() if file.is_file() else []
    known = (("avx512_vnni", "avx512_vnni"), ("avx512f", "avx512"))
    return next((kind for flag, kind in known if flag in flags), "avx2")
