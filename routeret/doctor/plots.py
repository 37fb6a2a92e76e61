"""A diagnosis as two pictures."""

from functools import partial
from pathlib import Path
from typing import Any

from routeret.doctor.diagnosis import Diagnosis
from routeret.doctor.drift import FAR_BELOW
from routeret.drawing import Drawing, save_pictures
from routeret.types import BASE

_COLOUR = "#1b6ca8"
_BASE_COLOUR = "#8a8a8a"
_FAR_COLOUR = "#d1495b"


def draw(diagnosis: Diagnosis, folder: Path | str) -> list[Path]:
    """Write ``weights.svg`` and ``likeness.svg``; gives their paths.

    Args:
        diagnosis: what is drawn.
        folder: where they go; made if it is not there, and files of the same names are replaced.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawings: dict[str, Drawing] = {
        "weights": partial(_draw_weights, diagnosis=diagnosis),
        "likeness": partial(_draw_likeness, diagnosis=diagnosis),
    }
    return save_pictures(drawings, folder)


def _draw_weights(figure: Any, *, diagnosis: Diagnosis) -> None:  # noqa: ANN401 - matplotlib is optional
    names = [BASE, *(expert.name for expert in diagnosis.experts)]
    weights = [diagnosis.base_weight, *(expert.weight for expert in diagnosis.experts)]
    axes = figure.add_subplot()
    axes.barh(names, weights, color=[_BASE_COLOUR] + [_COLOUR] * len(diagnosis.experts))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="mean weight", title=f"Weights over {diagnosis.n_queries:,} queries")


def _draw_likeness(figure: Any, *, diagnosis: Diagnosis) -> None:  # noqa: ANN401 - matplotlib is optional
    width = 1 / len(diagnosis.likeness)
    lefts = [width * number for number in range(len(diagnosis.likeness))]
    colours = [_FAR_COLOUR if left < FAR_BELOW else _COLOUR for left in lefts]
    axes = figure.add_subplot()
    axes.bar(lefts, diagnosis.likeness, width=width, align="edge", color=colours, edgecolor="white")
    axes.set(xlim=(0, 1), xlabel="likeness to the nearest training corpus", ylabel="queries")
    axes.set_title(f"{diagnosis.drift.n_far:,} of {diagnosis.n_queries:,} queries match no expert")
