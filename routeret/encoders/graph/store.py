"""Where exported graphs are kept on a machine."""

import hashlib
import json
import os
from pathlib import Path

from routeret.space import Space

FORMAT = 3
KIND = "query graph"
TOKENIZER = "tokenizer.json"
VARIABLE = "ROUTERET_GRAPHS"
"""The environment variable that names another folder, or ``off``."""

_OFF = "off"


def graphs_folder() -> Path | None:
    """The folder of all exported graphs: ``$ROUTERET_GRAPHS``, else ``routeret/graphs`` in the user's cache.

    Returns:
        None where ``$ROUTERET_GRAPHS`` is ``off``, and where the user has no home to keep them in: no graph is made or
        used.
    """
    stated = os.environ.get(VARIABLE)
    if stated == _OFF:
        return None
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(stated) if stated else Path(caches, "routeret", "graphs")
    try:
        return folder.expanduser()
    except RuntimeError:
        # A container may run as a user that its system does not know.
        return None


def is_there(graph: Path) -> bool:
    """Whether the folder of a graph is there; not where this user may not look, for which ``Path.is_dir`` raises."""
    return os.path.isdir(graph)


def graph_key(space: Space) -> str:
    """32 hexadecimal digits of what decides a graph: the model and what follows it; no prompt and no token limit."""
    parts = [FORMAT, space.model, space.pooling, space.dim, space.unit_length]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def graph_file(folder: Path, precision: str) -> Path:
    """The file of a graph's arithmetic."""
    return folder / f"{precision}.onnx"


def joint_file(graph: Path) -> Path:
    """The file that tells the joint layers of a graph in 8-bit numbers, beside it."""
    return graph.with_suffix(".safetensors")
