"""A report of a router as two pictures."""

from functools import partial
from pathlib import Path
from typing import Any

from routeret.drawing import Drawing, draw_matrix, save_pictures
from routeret.routing.reliability import Reliability
from routeret.routing.report import RouterReport

_COLOUR = "#1b6ca8"
_LINE_COLOUR = "#8a8a8a"


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
    figure.set_size_inches(2.5 + 0.8 * len(report.experts), 1.6 + 0.35 * len(report.corpora))
    axes = figure.add_subplot()
    draw_matrix(
        axes,
        [[gain.mean for gain in corpus.gains] for corpus in report.corpora],
        rows=[corpus.name for corpus in report.corpora],
        columns=report.experts,
        text=lambda gain: f"{100 * gain:+.1f}",
    )
    axes.set_title("Gain over the base at the best strength, points of nDCG@10")


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
