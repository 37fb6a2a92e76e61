"""Pictures of what a query costs, as SVG files that are the same for the same report."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from routeret.benchmarks.queries.page import TITLE_BY_ROUTING
from routeret.benchmarks.queries.parts import PARTS
from routeret.benchmarks.queries.sides.registry import SIDES
from routeret.drawing import fingerprint, save_pictures

_OURS, _OTHERS = "#1b6ca8", "#8a8a8a"
_COLOURS = ("#1b6ca8", "#d1495b", "#edae49", "#66a182", "#7768ae", "#2e4057", "#8d96a3", "#c38d94", "#c8c8c8")

PICTURES = ("one-query", "parts-of-a-query")
"""The names of the files, without their ending."""

Values = dict[str, Any]


def shown(report: Mapping[str, Any]) -> dict[str, Values]:
    """What every picture shows, by its name.

    Args:
        report: what ``bench_queries`` gave.
    """
    sides = {name: report["sides"][name]["single"] for name in SIDES if name in report["sides"]}
    spreads = {SIDES[name].title: [one["p50_ms"], one["p99_ms"]] for name, one in sides.items()}
    parts = report.get("parts", {})
    routed = {TITLE_BY_ROUTING[name]: parts[name] for name in TITLE_BY_ROUTING if name in parts}
    return dict(zip(PICTURES, (spreads, routed), strict=True))


def draw_queries(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write all pictures; gives their files.

    Args:
        report: what ``bench_queries`` gave.
        folder: where they go; files of the same names are replaced.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    values = shown(report)
    drawings = {name: partial(one, values=values[name]) for name, one in zip(PICTURES, (_bars, _stack), strict=True)}
    return save_pictures(drawings, folder, descriptions={name: fingerprint(one) for name, one in values.items()})


def _bars(figure: Any, *, values: Values) -> None:  # noqa: ANN401 - matplotlib is optional
    """The median of every side, with a line to its 99th percentile."""
    axes = figure.add_subplot()
    for row, (title, (median, high)) in enumerate(values.items()):
        axes.barh(row, median, color=_OURS if title.startswith("routeret") else _OTHERS)
        axes.plot([median, high], [row, row], color="black", linewidth=1)
        axes.text(high, row, f" {median:.3g}", va="center", fontsize=7)
    axes.set_yticks(range(len(values)), list(values), fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel="ms: median, and a line to the 99th percentile", title="One query")


def _stack(figure: Any, *, values: Values) -> None:  # noqa: ANN401 - matplotlib is optional
    """The parts of a query one behind the other, a bar for each kind of expert."""
    axes = figure.add_subplot()
    rows = list(values)
    ends = [0.0] * len(rows)
    for part, colour in zip(PARTS, _COLOURS, strict=True):
        widths = [values[title][part] for title in rows]
        axes.barh(rows, widths, left=ends, color=colour, label=part)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="ms, median of every part", title="Where the time of one query goes")
    if rows:
        figure.legend(fontsize=7, ncols=5, loc="outside lower center")
