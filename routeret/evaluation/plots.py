"""A report as plots: what every expert gains on every set, and what every system gains at which cost."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from routeret.drawing import Drawing, draw_matrix, save_pictures
from routeret.errors import InputError
from routeret.evaluation.layout import EXPERT, signed, system_order
from routeret.evaluation.oracles import is_oracle
from routeret.evaluation.report import Report
from routeret.measures import NDCG
from routeret.types import BASE

_COLOUR = "#1b6ca8"
_LINE_COLOUR = "#8a8a8a"
_ROUTED = "routed"
_LABEL_HEIGHT = 0.045  # of the plot


@dataclass(frozen=True, slots=True)
class Gains:
    """What experts gain over the base in nDCG@10.

    Attributes:
        systems: of the rows: the single experts, then routing.
        sets: of the columns.
        values: by row and column; None where a set does not have the system.
    """

    systems: tuple[str, ...]
    sets: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A system by its gain and its cost.

    Attributes:
        system: its name.
        gain: mean over the sets of its nDCG@10 minus the base's.
        encoder_passes: a query, on the mean over the sets.
        searches: a query, on the mean over the sets.
    """

    system: str
    gain: float
    encoder_passes: float
    searches: float


def gains_of(report: Report) -> Gains | None:
    """The gains of single experts and of routing by set; None where no expert was measured alone."""
    experts = [name for name in system_order(report.mean) if name.startswith(EXPERT)]
    if not experts:
        return None
    systems = (*experts, *([_ROUTED] if _ROUTED in report.mean else []))
    sets = tuple(sorted(report.datasets))

    def gain(name: str, system: str) -> float | None:
        found, base = report.datasets[name].systems.get(system), report.datasets[name].systems.get(BASE)
        return None if found is None or base is None else found[NDCG] - base[NDCG]

    return Gains(systems, sets, tuple(tuple(gain(name, system) for name in sets) for system in systems))


def points_of(report: Report) -> list[Point] | None:
    """The systems that have a gain and a cost on every set, without single experts and oracles.

    None where costs or gains are not in the report.
    """
    costs = [dataset.costs for dataset in report.datasets.values() if dataset.costs is not None]
    if report.diff_to_base is None or len(costs) < len(report.datasets):
        return None
    points = []
    for name in system_order(report.mean):
        difference = report.diff_to_base[name]
        if is_oracle(name) or name.startswith(EXPERT) or difference is None or not all(name in one for one in costs):
            continue
        passes = statistics.fmean(one[name].encoder_passes for one in costs)
        searches = statistics.fmean(one[name].searches for one in costs)
        points.append(Point(name, difference.mean, passes, searches))
    return points


def draw(report: Report, folder: Path | str) -> list[Path]:
    """Write ``gains.svg`` and ``costs.svg``; gives their paths. The same report gives the same files.

    Args:
        report: without single experts there is no ``gains.svg``; without costs, as in reports of an earlier version,
            no ``costs.svg``.
        folder: where they go; made if it is not there, and files of the same names are replaced.

    Raises:
        InputError: the report has neither single experts nor costs.
        MissingExtraError: matplotlib is not installed.
    """
    gains, points = gains_of(report), points_of(report)
    plots: dict[str, Drawing] = {}
    if gains is not None:
        plots["gains"] = partial(_draw_gains, gains=gains)
    if points:
        plots["costs"] = partial(_draw_costs, points=points)
    if not plots:
        raise InputError(
            "the report has neither single experts nor costs, so there is nothing to draw; measure again with: "
            "routeret eval --systems usual"
        )
    return save_pictures(plots, folder)


def _draw_gains(figure: Any, *, gains: Gains) -> None:  # noqa: ANN401 - matplotlib is optional
    figure.set_size_inches(2.5 + 0.8 * len(gains.sets), 1.6 + 0.35 * len(gains.systems))
    axes = figure.add_subplot()
    draw_matrix(axes, gains.values, rows=gains.systems, columns=gains.sets, text=signed)
    axes.set_title("nDCG@10 above the base")


def label_heights(heights: Sequence[float], *, gap: float) -> list[float]:
    """Heights of labels beside points one above the other: each at its point, or as little above as keeps a gap.

    Args:
        heights: of the points, in any order.
        gap: between neighbours, above 0.
    """
    placed = [0.0] * len(heights)
    below = float("-inf")
    for number in sorted(range(len(heights)), key=lambda number: heights[number]):
        below = placed[number] = max(heights[number], below + gap)
    return placed


def _draw_costs(figure: Any, *, points: Sequence[Point]) -> None:  # noqa: ANN401 - matplotlib is optional
    figure.set_size_inches(11.0, 5.0)
    gap = _LABEL_HEIGHT * max(0.01, max(point.gain for point in points) - min(point.gain for point in points))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, name in ((left, "encoder_passes"), (right, "searches")):
        costs = [float(getattr(point, name)) for point in points]
        axes.scatter(costs, [point.gain for point in points], color=_COLOUR, zorder=2)
        offset = 0.08 * max(1.0, max(costs) - min(costs))
        for cost in sorted(set(costs)):
            column = [point for point, own in zip(points, costs, strict=True) if own == cost]
            heights = label_heights([point.gain for point in column], gap=gap)
            for point, height in zip(column, heights, strict=True):
                axes.plot([cost, cost + offset], [point.gain, height], color=_LINE_COLOUR, linewidth=0.5, zorder=1)
                axes.text(cost + 1.15 * offset, height, point.system, va="center", fontsize=8)
        axes.set_xlim(min(costs) - offset, max(costs) + 6 * offset)
        axes.set_xlabel(f"{name.replace('_', ' ')} a query")
        axes.grid(visible=True, alpha=0.3)
    left.set_ylabel("nDCG@10 above the base, mean over the sets")
