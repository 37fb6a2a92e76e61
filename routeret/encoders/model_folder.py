"""What a sentence-transformers or transformers folder says about itself, read without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.encoders.safetensors_file import tensor_shapes, weight_files
from routeret.errors import ArtifactError, InputError
from routeret.space import NO_TOKEN_LIMIT, Pooling, Similarity

UNSTATED_MAX_TOKENS = 512
"""The token limit of a transformer whose folder states none."""

_KINDS = ("Transformer", "StaticEmbedding", "Pooling", "Dense", "LayerNorm", "Dropout", "Normalize")
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "max": "max", "lasttoken": "lasttoken"}
# The order is the order in which older versions joined several poolings.
_OLD_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_WIDTH_KEYS = ("hidden_size", "d_model", "dim", "n_embd")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class Module:
    """One step of a model: a transformer, a pooling, a projection.

    Attributes:
        kind: the class's name, for example ``"Pooling"``.
        folder: where its configuration and weights are; need not exist for a module without either.
        config: its configuration, in one form whatever version wrote it.
    """

    kind: str
    folder: Path
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What the configuration files of a model say.

    Attributes:
        path: the folder.
        modules: the steps, in their order.
        pooling: how token vectors become one vector.
        dim: length of a vector.
        max_tokens: the token limit that the model asks for.
        token_ceiling: the longest text that the architecture can read, in tokens.
        query_prompt: text that the model wants before a query.
        document_prompt: text that the model wants before a document.
        unit_length: whether vectors have length 1.
        similarity: how two vectors are compared.
    """

    path: Path
    modules: tuple[Module, ...]
    pooling: Pooling
    dim: int
    max_tokens: int
    token_ceiling: int
    query_prompt: str
    document_prompt: str
    unit_length: bool
    similarity: Similarity


def read_model_folder(path: Path) -> ModelFolder:
    """Read the configuration files of a model; no weights are read.

    Raises:
        ArtifactError: a configuration file is missing or no valid JSON.
        InputError: the model has a part that this library cannot describe, or compares vectors in another way than
            by cosine or dot product.
    """
    modules = _read_modules(path)
    settings = _read_json(path / "config_sentence_transformers.json", required=False)
    prompts = {name: text for name, text in (settings.get("prompts") or {}).items() if text}
    unit_length = _has_unit_length(path, modules, settings)
    ceiling, max_tokens = _token_limits(modules[0])
    return ModelFolder(
        path=path,
        modules=modules,
        pooling=_pooling(modules),
        dim=min(_dim(path, modules), settings.get("truncate_dim") or NO_TOKEN_LIMIT),
        max_tokens=max_tokens,
        token_ceiling=ceiling,
        query_prompt=prompts.get("query", ""),
        document_prompt=next((prompts[name] for name in _DOCUMENT_PROMPTS if name in prompts), ""),
        unit_length=unit_length,
        similarity="cosine" if unit_length else "dot",
    )


def _read_json(path: Path, *, required: bool = True) -> dict[str, Any]:
    if not path.is_file() and not required:
        return {}
    values = _parsed(path)
    if not isinstance(values, dict):
        raise ArtifactError(f"{path} holds a {type(values).__name__}, expected a JSON object")
    return values


def _parsed(path: Path) -> Any:  # noqa: ANN401 - JSON is any value
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing; restore the model's folder from its source") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}; restore the model's folder from its source") from error


def _read_modules(path: Path) -> tuple[Module, ...]:
    if not (path / "modules.json").is_file():
        return _default_modules(path)
    entries = _parsed(path / "modules.json")
    if not isinstance(entries, list) or not entries:
        raise ArtifactError(f"{path / 'modules.json'} names no modules; restore the model's folder from its source")
    modules = tuple(_read_module(path, entry) for entry in entries)
    if modules[0].kind not in ("Transformer", "StaticEmbedding"):
        raise InputError(f"{path} begins with a {modules[0].kind}, expected a Transformer or a StaticEmbedding")
    return modules


def _read_module(path: Path, entry: dict[str, Any]) -> Module:
    package, _, kind = str(entry["type"]).rpartition(".")
    if kind not in _KINDS or not package.startswith("sentence_transformers"):
        raise InputError(
            f"{path} has a module of type {entry['type']}, expected only {', '.join(_KINDS)} of sentence_transformers; "
            "choose another model, or write an encoder of your own (routeret.protocols.Encoder)"
        )
    folder = path / str(entry["path"])
    if kind == "Transformer":
        return Module(kind, folder, _transformer_config(folder))
    config = _read_json(folder / "config.json", required=kind in ("Pooling", "Dense"))
    if kind == "Pooling":
        return Module(kind, folder, _pooling_config(config))
    return Module(kind, folder, _with_names(config) if kind in ("Dense", "Normalize") else config)


def _transformer_config(folder: Path) -> dict[str, Any]:
    """The settings that sentence-transformers keeps beside ``config.json``, with that file under ``architecture``."""
    if (folder / "adapter_config.json").is_file():
        raise InputError(f"{folder} holds an adapter without its base model; merge the two and save the result")
    files = sorted(folder.glob("sentence_*_config.json"))
    settings = _read_json(files[0]) if files else {}
    return {**settings, "architecture": _read_json(folder / "config.json")}


def _default_modules(path: Path) -> tuple[Module, ...]:
    """What sentence-transformers makes of a folder of transformers: mean pooling, or the last token's vector."""
    config = _transformer_config(path)
    architecture = config["architecture"]
    is_causal = any(str(name).endswith("ForCausalLM") for name in architecture.get("architectures") or [])
    pooling = {
        "embedding_dimension": _width(path, architecture),
        "pooling_mode": ["lasttoken" if is_causal and architecture.get("is_causal", True) else "mean"],
        "include_prompt": True,
    }
    return Module("Transformer", path, config), Module("Pooling", path / "1_Pooling", pooling)


def _width(path: Path, architecture: Mapping[str, Any]) -> int:
    width = next((architecture[key] for key in _WIDTH_KEYS if key in architecture), None)
    if not isinstance(width, int):
        raise InputError(f"{path / 'config.json'} states no width of its token vectors ({', '.join(_WIDTH_KEYS)})")
    return width


def _pooling_config(config: dict[str, Any]) -> dict[str, Any]:
    """One form for the configuration files of all versions."""
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _OLD_POOLING_KEYS.items() if config.get(key)] or ["mean"]
    return {
        "embedding_dimension": config.get("embedding_dimension", config.get("word_embedding_dimension")),
        "pooling_mode": [modes] if isinstance(modes, str) else list(modes),
        "include_prompt": config.get("include_prompt", True),
    }


def _with_names(config: dict[str, Any]) -> dict[str, Any]:
    """The same, with what it reads and writes, which older versions leave unsaid."""
    source = config.get("module_input_name") or "sentence_embedding"
    target = config.get("module_output_name") or source
    return {**config, "module_input_name": source, "module_output_name": target}


def _pooling(modules: tuple[Module, ...]) -> Pooling:
    if modules[0].kind == "StaticEmbedding":
        return "mean"
    configs = [module.config for module in modules if module.kind == "Pooling"]
    if len(configs) != 1 or len(configs[0]["pooling_mode"]) != 1 or not configs[0]["include_prompt"]:
        return "other"
    return _POOLINGS.get(configs[0]["pooling_mode"][0], "other")


def _dim(path: Path, modules: tuple[Module, ...]) -> int:
    dim: Any = None
    for module in modules:
        if module.kind == "StaticEmbedding":
            dim = _static_dim(module.folder)
        elif module.kind == "Pooling":
            dim = module.config["embedding_dimension"] * len(module.config["pooling_mode"])
        elif module.kind == "Dense" and module.config["module_output_name"] == "sentence_embedding":
            dim = module.config["out_features"]
    if not isinstance(dim, int):
        raise InputError(f"{path} has no Pooling that says how long its vectors are; choose a model that pools")
    return dim


def _static_dim(folder: Path) -> int:
    for file in weight_files(folder, suffix="safetensors"):
        shapes = tensor_shapes(file)
        for name in ("embedding.weight", "embeddings"):
            if name in shapes:
                return shapes[name][-1]
    raise ArtifactError(f"{folder} has no safetensors file with an embedding table; restore it from its source")


def _token_limits(first: Module) -> tuple[int, int]:
    """The longest text the architecture can read, and the limit the model asks for; in tokens."""
    if first.kind == "StaticEmbedding":
        return NO_TOKEN_LIMIT, NO_TOKEN_LIMIT
    architecture = first.config["architecture"]
    tokenizer = _read_json(first.folder / "tokenizer_config.json", required=False)
    of_tokenizer = tokenizer.get("model_max_length")
    stated = [
        limit
        for limit in (of_tokenizer, architecture.get("max_position_embeddings"))
        # A tokenizer without a limit states 1e30; a model with relative positions states -1.
        if isinstance(limit, int | float) and 0 < limit < NO_TOKEN_LIMIT
    ]
    ceiling = int(min(stated, default=NO_TOKEN_LIMIT))
    processor = first.config.get("processor_kwargs") or first.config.get("tokenizer_args") or {}
    wanted = first.config.get("max_seq_length") or processor.get("model_max_length")
    if wanted is None:
        wanted = min(stated, default=UNSTATED_MAX_TOKENS)
    return max(ceiling, int(wanted)), int(wanted)


def _has_unit_length(path: Path, modules: tuple[Module, ...], settings: Mapping[str, Any]) -> bool:
    if modules[-1].kind == "Normalize":
        return True
    similarity = settings.get("similarity_fn_name") or "cosine"
    if similarity not in ("cosine", "dot"):
        raise InputError(f"{path} compares vectors by {similarity}, expected cosine or dot; choose another model")
    return bool(similarity == "cosine")
