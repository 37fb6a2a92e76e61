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


def save_pictures(
    drawings: Mapping[str, Drawing], folder: Path | str, *, descriptions: Mapping[str, str] | None = None
) -> list[Path]:
    """Write an SVG file for every drawing; gives their paths. The same drawings give the same files.

    Args:
        drawings: by name of the file, without its ending.
        folder: where they go; made if it is not there, and files of the same names are replaced.
        descriptions: what a file says of itself, by its name.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", extra=_EXTRA)
    figures = require("matplotlib.figure", extra=_EXTRA)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, drawing in drawings.items():
        file = folder / f"{name}.svg"
        # Ids in the file would be random otherwise, and text would be drawn as outlines.
        with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            figure = figures.Figure(figsize=(6.4, 4.0), layout="constrained")
            drawing(figure)
            description = {} if descriptions is None else {"Description": descriptions[name]}
            figure.savefig(file, format="svg", metadata={"Date": None, **description})
        files.append(file)
    return files
