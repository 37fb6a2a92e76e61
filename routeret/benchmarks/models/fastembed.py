"""fastembed, with a model as sentence-transformers exports it."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from routeret.artifact import write_json
from routeret.benchmarks.models.facts import ModelFacts
from routeret.benchmarks.models.sentence_transformers import exported
from routeret.errors import InputError

_NAME = "benchmark/model"
_LIMITS = ("max_length", "model_max_length")


def text_embedding(facts: ModelFacts, folder: Path) -> Any:  # noqa: ANN401 - fastembed is optional
    """A ``TextEmbedding`` of the model.

    Args:
        facts: of the model.
        folder: where the export stands.

    Raises:
        InputError: fastembed does not pool as the model does.
    """
    if facts.pooling not in ("mean", "cls"):
        raise InputError(f"the model pools by {facts.pooling!r}, expected mean or cls; leave fastembed out")
    fastembed: Any = import_module("fastembed")
    described: Any = import_module("fastembed.common.model_description")
    pooling = described.PoolingType
    place = exported(facts, folder)
    _tell_limit(place, facts.max_tokens)
    fastembed.TextEmbedding.add_custom_model(
        model=_NAME,
        pooling=pooling.MEAN if facts.pooling == "mean" else pooling.CLS,
        normalization=facts.unit_length,
        sources=described.ModelSource(hf=_NAME),
        dim=facts.dim,
        model_file="onnx/model.onnx",
    )
    return fastembed.TextEmbedding(_NAME, specific_model_path=str(place))


def _tell_limit(folder: Path, max_tokens: int) -> None:
    """Write the model's limit of tokens where fastembed looks for it; there may be a lower one."""
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, {**settings, **dict.fromkeys(_LIMITS, max_tokens)})
