"""A diagnosis as two pictures."""

from pathlib import Path
from typing import Any

from routeret.doctor.diagnosis import Diagnosis
from routeret.doctor.drift import FAR_BELOW
from routeret.optional import require
from routeret.types import BASE

_EXTRA = "bench"
_COLOUR = "#1b6ca8"
_BASE_COLOUR = "#8a8a8a"
_FAR_COLOUR = "#d1495b"


def require_drawing() -> None:
    """Do nothing if pictures can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", extra=_EXTRA)


def draw(diagnosis: Diagnosis, folder: Path | str) -> list[Path]:
    """Write ``weights.png`` and ``likeness.png``; gives their paths.

    Args:
        diagnosis: what is drawn.
        folder: where they go; made if it is not there, and files of the same names are replaced.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figures = require("matplotlib.figure", extra=_EXTRA)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, drawing in (("weights", _draw_weights), ("likeness", _draw_likeness)):
        figure = figures.Figure(figsize=(6.4, 4.0), layout="constrained")
        drawing(figure.add_subplot(), diagnosis)
        file = folder / f"{name}.png"
        figure.savefig(file, format="png", dpi=150)
        files.append(file)
    return files


def _draw_weights(axes: Any, diagnosis: Diagnosis) -> None:  # noqa: ANN401 - matplotlib is optional
    names = [BASE, *(expert.name for expert in diagnosis.experts)]
    weights = [diagnosis.base_weight, *(expert.weight for expert in diagnosis.experts)]
    axes.barh(names, weights, color=[_BASE_COLOUR] + [_COLOUR] * len(diagnosis.experts))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="mean weight", title=f"Weights over {diagnosis.n_queries:,} queries")


def _draw_likeness(axes: Any, diagnosis: Diagnosis) -> None:  # noqa: ANN401 - matplotlib is optional
    width = 1 / len(diagnosis.likeness)
    lefts = [width * number for number in range(len(diagnosis.likeness))]
    colours = [_FAR_COLOUR if left < FAR_BELOW else _COLOUR for left in lefts]
    axes.bar(lefts, diagnosis.likeness, width=width, align="edge", color=colours, edgecolor="white")
    axes.set(xlim=(0, 1), xlabel="likeness to the nearest training corpus", ylabel="queries")
    axes.set_title(f"{diagnosis.drift.n_far:,} of {diagnosis.n_queries:,} queries match no expert")
