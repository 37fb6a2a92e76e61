"""sentence-transformers: by PyTorch, and by its own ONNX backend."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from routeret.benchmarks.models.facts import ModelFacts
from routeret.types import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_EXPORT = "sentence-transformers-onnx"
_FLOAT32 = "onnx/model.onnx"


def loaded(facts: ModelFacts, *, is_bfloat16: bool = False) -> "SentenceTransformer":
    """The model on its device, as it comes.

    Args:
        facts: of the model.
        is_bfloat16: whether weights and arithmetic are bfloat16.
    """
    import torch

    settings = {"dtype": torch.bfloat16} if is_bfloat16 else {}
    return _made(Path(facts.model), settings, backend="torch", device=facts.device)


def encoded(model: "SentenceTransformer", texts: Sequence[str], *, prompt: str, unit_length: bool) -> FloatArray:
    """Vectors of texts as ``encode`` gives them, float32, shape (n_texts, dim).

    Args:
        model: what :func:`loaded` or :func:`by_graph` gave.
        texts: queries, or documents.
        prompt: put before every text.
        unit_length: bring vectors to length 1.
    """
    vectors: FloatArray = model.encode(
        list(texts), prompt=prompt or None, normalize_embeddings=unit_length, show_progress_bar=False
    )
    return vectors


def token_counts(
    model: "SentenceTransformer", texts: Sequence[str], *, prompt: str, limit: int
) -> tuple[list[int], list[bool]]:
    """How many tokens of every text a model reads, with prompt and special ones, and which texts it cuts.

    Args:
        model: what :func:`loaded` gave.
        texts: queries, or documents.
        prompt: put before every text.
        limit: the model's, in tokens.
    """
    tokenizer: Any = model.tokenizer
    # One more than the limit tells which are cut.
    read = tokenizer([prompt + text for text in texts], truncation=True, max_length=limit + 1)["input_ids"]
    counts = [len(ids) for ids in read]
    return [min(count, limit) for count in counts], [count > limit for count in counts]


def exported(facts: ModelFacts, folder: Path) -> Path:
    """The folder of the model as sentence-transformers exports it, written by the first side that asks.

    Args:
        facts: of the model.
        folder: where it stands.
    """
    place = folder / _EXPORT
    if not (place / _FLOAT32).is_file():
        _made(Path(facts.model), {"export": True}, backend="onnx").save_pretrained(str(place))
    return place


def by_graph(facts: ModelFacts, folder: Path, *, is_quantised: bool) -> "SentenceTransformer":
    """The exported model, run by ONNX Runtime.

    Args:
        facts: of the model.
        folder: where the export stands.
        is_quantised: whether weights are 8-bit numbers.
    """
    place = exported(facts, folder)
    file = _quantised(place) if is_quantised else _FLOAT32
    return _made(place, {"file_name": Path(file).name}, backend="onnx")


def quantisation() -> str:
    """Of the configurations that sentence-transformers has, the one for this processor."""
    if platform.machine() in ("aarch64", "arm64"):
        return "arm64"
    file = Path("/proc/cpuinfo")
    flags = file.read_text(encoding="utf-8").split() if file.is_file() else []
    known = (("avx512_vnni", "avx512_vnni"), ("avx512f", "avx512"))
    return next((kind for flag, kind in known if flag in flags), "avx2")


def _quantised(folder: Path) -> str:
    """The file of an exported model whose weights sentence-transformers has made 8-bit numbers."""
    from sentence_transformers.backend import export_dynamic_quantized_onnx_model

    kind = quantisation()
    file = f"onnx/model_qint8_{kind}.onnx"
    if not (folder / file).is_file():
        model = _made(folder, {"file_name": Path(_FLOAT32).name}, backend="onnx")
        export_dynamic_quantized_onnx_model(model, quantization_config=kind, model_name_or_path=str(folder))
    return file


def _made(
    folder: Path, settings: Mapping[str, Any], *, backend: Literal["torch", "onnx"], device: str = "cpu"
) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        str(folder), device=device, backend=backend, model_kwargs=dict(settings), local_files_only=True
    )
