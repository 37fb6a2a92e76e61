"""Pictures of what a query costs, as SVG files that are the same for the same report."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from routeret.benchmarks.charts import draw_bars, draw_stacks
from routeret.benchmarks.queries.page import TITLE_BY_ROUTING
from routeret.benchmarks.queries.parts import PARTS
from routeret.benchmarks.queries.sides.registry import SIDES
from routeret.drawing import fingerprint, save_pictures

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
    lines = {title: (median, median, high) for title, (median, high) in values.items()}
    draw_bars(figure, lines, label="ms: median, and a line to the 99th percentile", title="One query")


def _stack(figure: Any, *, values: Values) -> None:  # noqa: ANN401 - matplotlib is optional
    """The parts of a query one behind the other, a bar for each kind of expert."""
    label, title = "ms, median of every part", "Where the time of one query goes"
    draw_stacks(figure, values, parts=PARTS, label=label, title=title)
