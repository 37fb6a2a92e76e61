"""A report of a router as two pictures."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from routeret.drawing import Drawing, save_pictures
from routeret.routing.reliability import Reliability
from routeret.routing.report import RouterReport

_COLOUR = "#1b6ca8"
_LINE_COLOUR = "#8a8a8a"
_DARK = 0.6  # from this share of the largest gain on, numbers are white


def draw_router(report: RouterReport, folder: Path | str) -> list[Path]:
    """Write ``gains.svg`` and, where there is something to check, ``reliability.svg``; gives their paths.

    Args:
        report: what is drawn.
        folder: where they go; made if it is not there, and files of the same names are replaced.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    drawings: dict[str, Drawing] = {"gains": partial(_draw_gains, report=report)}
    if report.reliability is not None:
        drawings["reliability"] = partial(_draw_reliability, found=report.reliability)
    return save_pictures(drawings, folder)


def _draw_gains(figure: Any, *, report: RouterReport) -> None:  # noqa: ANN401 - matplotlib is optional
    gains = np.array([[gain.mean for gain in corpus.gains] for corpus in report.corpora])
    shape = (len(report.corpora), len(report.experts))
    largest = max(float(np.abs(gains).max(initial=0.0)), 0.01)
    axes = figure.add_subplot()
    image = axes.imshow(gains.reshape(shape), cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    axes.set_xticks(range(shape[1]), report.experts, rotation=45, ha="right")
    axes.set_yticks(range(shape[0]), [corpus.name for corpus in report.corpora])
    for row, column in np.ndindex(*shape):
        gain = float(gains[row, column])
        colour = "white" if abs(gain) > _DARK * largest else "black"
        axes.text(column, row, f"{100 * gain:+.1f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_title("Gain over the base at the best strength, points of nDCG@10")
    figure.colorbar(image)


def _draw_reliability(figure: Any, *, found: Reliability) -> None:  # noqa: ANN401 - matplotlib is optional
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_LINE_COLOUR, linestyle="--", label="perfect")
    sizes = [20 + 400 * one.n / found.n for one in found.bins]
    predicted, observed = [one.predicted for one in found.bins], [one.observed for one in found.bins]
    axes.plot(predicted, observed, color=_COLOUR)
    axes.scatter(predicted, observed, s=sizes, color=_COLOUR, label="this router (area: how many)")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="chance that the expert helps", ylabel="share that came true")
    axes.set_title(f"Every corpus left out once: calibration error {found.calibration_error:.3f}")
    axes.legend()
