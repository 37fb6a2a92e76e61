"""The hash of a model's content: weights, architecture and tokenizer; never a name.

Two folders with the same hash write the same vectors. Renaming a folder, a model or a weights file, or splitting the
weights over several files, keeps the hash; changing one weight, one setting or one word of the vocabulary changes it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from routeret.encoders.model_folder import ModelFolder, Module
from routeret.encoders.safetensors_file import StoredTensor, read_tensors, weight_files
from routeret.errors import ArtifactError

SCHEME = "routeret model 1"
"""What a hash is made of, and how; another scheme gives other hashes."""

_NOISE = frozenset(
    {
        "_commit_hash",
        "_name_or_path",
        "attention_dropout",
        "attention_probs_dropout_prob",
        "bos_token_id",
        "classifier_dropout",
        "dropout",
        "dtype",
        "eos_token_id",
        "gradient_checkpointing",
        "hidden_dropout_prob",
        "id2label",
        "initializer_range",
        "label2id",
        "name_or_path",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""Keys of ``config.json`` that change no vector: names, versions, training and generation. The weights' own dtype is
hashed with the weights."""

_SAME_AS_ABSENT = {
    "add_cross_attention": False,
    "is_decoder": False,
    "truncation_side": "right",
}
"""Values that newer versions write out and older ones leave unsaid."""

_TRANSFORMER_SETTINGS = (
    "do_lower_case",
    "processing_kwargs",
    "model_args",
    "model_kwargs",
    "tokenizer_args",
    "processor_kwargs",
    "config_args",
    "config_kwargs",
)
"""Settings beside ``config.json`` that can change a vector; the token limit belongs to the space, not to the model."""

_TOKENIZER_SETTINGS = (
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "truncation_side",
)
_TOKENIZER_FILES = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "added_tokens.json",
)
_WEIGHTLESS = ("Pooling", "Dropout", "Normalize")
_TORCH_DTYPES = {
    "bfloat16": "BF16",
    "bool": "BOOL",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "int8": "I8",
    "uint8": "U8",
}


def model_hash(model: ModelFolder) -> str:
    """Give 64 hexadecimal digits that stand for a model's content.

    Safetensors files are read without torch; a folder that has only ``pytorch_model.bin`` is loaded with torch, as
    weights only, and gives the hash that its safetensors form would give.

    Raises:
        ArtifactError: weights or tokenizer are missing or damaged.
    """
    digest = hashlib.sha256(SCHEME.encode() + b"\n")
    modules = _that_matter(model.modules)
    digest.update(_canonical([[module.kind, _clean(module)] for module in modules]))
    digest.update(_canonical(_tokenizer(model.modules[0].folder)))
    for position, module in enumerate(modules):
        if module.kind in _WEIGHTLESS:
            continue
        for name, tensor in sorted(_tensors(module.folder).items()):
            if name.endswith("position_ids"):
                continue  # the numbers 0, 1, 2, ..., which only older versions stored
            digest.update(_canonical([position, name, tensor.dtype, list(tensor.shape)]))
            digest.update(tensor.content.data)
    return digest.hexdigest()


def _that_matter(modules: tuple[Module, ...]) -> list[Module]:
    """Without drop-out, which rests outside training, and without a last Normalize, which the space states."""
    kept = [module for module in modules if module.kind != "Dropout"]
    while kept[-1].kind == "Normalize":
        kept.pop()
    return kept


def _clean(module: Module) -> dict[str, Any]:
    if module.kind != "Transformer":
        return _telling(module.config)
    settings = {key: module.config[key] for key in _TRANSFORMER_SETTINGS if module.config.get(key)}
    return {**settings, "architecture": _telling(module.config["architecture"])}


def _telling(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide a vector."""
    return {
        key: _telling(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if key not in _NOISE and not (key in _SAME_AS_ABSENT and value == _SAME_AS_ABSENT[key])
    }


def _tokenizer(folder: Path) -> dict[str, Any]:
    """The tokenizer's content: ``tokenizer.json`` without lengths, which are set at every call, or the older files."""
    settings_file = folder / "tokenizer_config.json"
    stated = json.loads(settings_file.read_text(encoding="utf-8")) if settings_file.is_file() else {}
    settings = _telling({key: stated[key] for key in _TOKENIZER_SETTINGS if stated.get(key) is not None})
    whole = folder / "tokenizer.json"
    if whole.is_file():
        content = json.loads(whole.read_text(encoding="utf-8"))
        content = {key: value for key, value in content.items() if key not in ("truncation", "padding")}
        return {"settings": settings, "tokenizer": content}
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _present(folder)}
    if not files:
        raise ArtifactError(f"{folder} holds no tokenizer; restore the model's folder from its source")
    return {"settings": settings, "files": files}


def _present(folder: Path) -> list[str]:
    return [name for name in _TOKENIZER_FILES if (folder / name).is_file()]


def _tensors(folder: Path) -> dict[str, StoredTensor]:
    files = weight_files(folder, suffix="safetensors")
    read = read_tensors
    if not files:
        files, read = weight_files(folder, suffix="bin"), _read_torch_file
    if not files:
        raise ArtifactError(f"{folder} holds no weights; restore the model's folder from its source")
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        found = read(file)
        twice = sorted(tensors.keys() & found.keys())
        if twice:
            raise ArtifactError(f"tensor {twice[0]!r} is in two weight files of {folder}; keep one set of weights")
        tensors.update(found)
    return tensors


def _read_torch_file(file: Path) -> dict[str, StoredTensor]:
    import torch

    tensors = {}
    for name, tensor in torch.load(file, map_location="cpu", weights_only=True).items():
        content = tensor.reshape(-1).contiguous().view(torch.uint8).numpy().astype(np.uint8, copy=False)
        dtype = str(tensor.dtype).removeprefix("torch.")
        tensors[name] = StoredTensor(_TORCH_DTYPES.get(dtype, dtype), tuple(tensor.shape), content)
    return tensors


def _canonical(values: Any) -> bytes:  # noqa: ANN401 - JSON is any value
    return json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
