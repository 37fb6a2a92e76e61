"""Pictures in files, with the drawing library that is an extra."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from routeret.optional import require

_EXTRA = "bench"
_DPI = 150
_LEAST_SCALE = 0.01
_DARK = 0.6  # from this share of the largest value on, numbers are white

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
    require_drawing()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.svg" for name in drawings]
    for file, (name, drawing) in zip(files, drawings.items(), strict=True):
        save_picture(drawing, file, description=None if descriptions is None else descriptions[name])
    return files


def save_picture(drawing: Drawing, file: Path, *, description: str | None = None) -> None:
    """Write a drawing as the kind of file that the name says: an SVG, the same for the same drawing, or another one.

    Args:
        drawing: draws it.
        file: where; a file that is there is replaced.
        description: what an SVG says of itself.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", extra=_EXTRA)
    figures = require("matplotlib.figure", extra=_EXTRA)
    form = file.suffix.lstrip(".")
    told = {"Date": None} if description is None else {"Date": None, "Description": description}
    # Ids in the file would be random otherwise, and text would be drawn as outlines.
    with matplotlib.rc_context({"svg.hashsalt": file.stem, "svg.fonttype": "none"}):
        figure = figures.Figure(figsize=(6.4, 4.0), layout="constrained")
        drawing(figure)
        figure.savefig(file, format=form, dpi=_DPI, metadata=told if form == "svg" else None)


def draw_matrix(
    axes: Any,  # noqa: ANN401 - matplotlib is optional
    values: Sequence[Sequence[float | None]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    text: Callable[[float], str],
) -> None:
    """Draw gains and losses as a matrix of coloured cells with their numbers; a cell without a value has a dash.

    Args:
        axes: where.
        values: by row and column.
        rows: their names.
        columns: their names.
        text: what stands in a cell.
    """
    most = max([_LEAST_SCALE, *(abs(value) for line in values for value in line if value is not None)])
    cells = [[float("nan") if value is None else value for value in line] for line in values]
    mesh = axes.pcolormesh(cells, cmap="RdBu", vmin=-most, vmax=most, edgecolors="white", linewidth=1)
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            colour = "white" if value is not None and abs(value) > _DARK * most else "black"
            shown = "-" if value is None else text(value)
            axes.text(column + 0.5, row + 0.5, shown, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks([column + 0.5 for column in range(len(columns))], columns, rotation=30, ha="right")
    axes.set_yticks([row + 0.5 for row in range(len(rows))], rows)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.figure.colorbar(mesh, ax=axes)


def fingerprint(shown: Any) -> str:  # noqa: ANN401 - JSON is any value
    """16 hexadecimal digits of what a picture shows, as JSON values; its file carries them as its description."""
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]
