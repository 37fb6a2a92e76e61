"""Where exported graphs are kept on a machine."""

import hashlib
import json
import os
from pathlib import Path

from routeret.space import Space

FORMAT = 1
KIND = "query graph"
VARIABLE = "ROUTERET_GRAPHS"
"""The environment variable that names another folder, or ``off``."""

_OFF = "off"


def graphs_folder() -> Path | None:
    """The folder of all exported graphs: ``$ROUTERET_GRAPHS``, else ``routeret/graphs`` in the user's cache.

    Returns:
        None where ``$ROUTERET_GRAPHS`` is ``off``: no graph is made or used.
    """
    stated = os.environ.get(VARIABLE)
    if stated == _OFF:
        return None
    if stated:
        return Path(stated)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "routeret" / "graphs"


def graph_key(space: Space) -> str:
    """32 hexadecimal digits of what decides a graph: the model and what follows it; no prompt and no token limit."""
    parts = [FORMAT, space.model, space.pooling, space.dim, space.unit_length]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
