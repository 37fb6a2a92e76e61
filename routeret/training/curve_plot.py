"""A learning curve as a picture."""

from functools import partial
from pathlib import Path
from typing import Any

from routeret.drawing import require_drawing, save_picture
from routeret.errors import InputError
from routeret.training.learning_curve import COVERED, LearningCurve

FORMATS = ("png", "svg")

_COLOUR = "#1b6ca8"
_NOW_COLOUR = "#8a8a8a"


def require_picture(file: Path | str) -> None:
    """Do nothing if a picture can be drawn to this file; nothing is written.

    Raises:
        InputError: its name ends in neither of :data:`FORMATS`.
        MissingExtraError: matplotlib is not installed.
    """
    if Path(file).suffix.lstrip(".") not in FORMATS:
        raise InputError(f"picture {file} ends in {Path(file).suffix!r}, expected .{' or .'.join(FORMATS)}")
    require_drawing()


def draw_curve(curve: LearningCurve, file: Path | str) -> None:
    """Write a learning curve as PNG or SVG.

    Args:
        curve: what is drawn.
        file: where; a file that is there is replaced.

    Raises:
        InputError: its name ends in neither of :data:`FORMATS`.
        MissingExtraError: matplotlib is not installed.
    """
    require_picture(file)
    save_picture(partial(_draw, curve=curve), Path(file))


def _draw(figure: Any, *, curve: LearningCurve) -> None:  # noqa: ANN401 - matplotlib is optional
    axes = figure.add_subplot()
    numbers = [point.n_queries for point in curve.line]
    axes.fill_between(
        numbers,
        [point.low for point in curve.line],
        [point.high for point in curve.line],
        color=_COLOUR,
        alpha=0.2,
        linewidth=0,
        label=f"holds it with probability {COVERED:g}",
    )
    axes.plot(numbers, [point.gain for point in curve.line], color=_COLOUR, label="expected")
    axes.errorbar(
        curve.n_queries, curve.gains, yerr=curve.errors, fmt="o", color=_COLOUR, capsize=3, label="cross-validated"
    )
    axes.axvline(numbers[-1] - curve.more, color=_NOW_COLOUR, linestyle=":", label="queries now")
    axes.axhline(0, color=_NOW_COLOUR, linewidth=0.8)
    axes.set(xlim=(0, numbers[-1]), xlabel="labelled queries", ylabel="gain in nDCG@10", title="What tuning gains")
    axes.legend()
