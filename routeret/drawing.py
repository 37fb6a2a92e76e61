"""Pictures in files, with the drawing library that is an extra."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from routeret.optional import require

_EXTRA = "bench"

Drawing = Callable[[Any], None]
"""Draws into a matplotlib figure."""


def require_drawing() -> None:
    """Do nothing if pictures can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", extra=_EXTRA)


def save_pictures(drawings: Mapping[str, Drawing], folder: Path | str) -> list[Path]:
    """Write a PNG for every drawing; gives their paths.

    Args:
        drawings: by name of the file, without its ending.
        folder: where they go; made if it is not there, and files of the same names are replaced.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figures = require("matplotlib.figure", extra=_EXTRA)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, drawing in drawings.items():
        figure = figures.Figure(figsize=(7.2, 4.5), layout="constrained")
        drawing(figure)
        file = folder / f"{name}.png"
        figure.savefig(file, format="png", dpi=150)
        files.append(file)
    return files
