"""The benchmark's plots, as SVG files that are the same for the same report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from routeret.benchmarks.comparing import Figures, build_seconds
from routeret.benchmarks.stores.registry import OURS, STORES
from routeret.drawing import fingerprint, save_pictures

_COLOUR_BY_STORE = {OURS: "#1b6ca8", "flat": "#8a8a8a", "lancedb": "#d1495b", "chroma": "#edae49"}
_LABEL_BY_STORE = {OURS: "routeret", "flat": "FAISS flat", "lancedb": "LanceDB", "chroma": "Chroma"}

Points = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Plot:
    """A cost against the number of documents.

    Attributes:
        name: the file's name without its ending.
        title: what it says above.
        unit: of the cost.
        cost: gives it; None where a store has none.
    """

    name: str
    title: str
    unit: str
    cost: Callable[[Figures], float | None]

    def points(self, report: Mapping[str, Any]) -> Points:
        """Documents and cost of the synthetic data sets by store."""
        found: Points = {}
        for dataset in report["datasets"]:
            if dataset["source"]["kind"] != "synthetic":
                continue
            stores = dataset["stores"]
            for store in (name for name in STORES if name in stores):
                cost = self.cost(stores[store])
                if cost is not None:
                    found.setdefault(store, []).append((dataset["documents"], cost))
        return found


PLOTS = (
    Plot("query-time", "One query, median", "ms", lambda one: float(one["single"]["p50_ms"])),
    Plot("build-time", "Build, with the search structure", "s", build_seconds),
    Plot(
        "change-time",
        "One changed document, until it is committed",
        "ms",
        lambda one: float(one["upsert"]["p50_ms"]) if "upsert" in one else None,
    ),
)
"""What is drawn."""


def draw(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write all plots; gives their files.

    Args:
        report: what ``bench_index`` gave.
        folder: where they go; files of the same names are replaced.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    points = {plot.name: plot.points(report) for plot in PLOTS}
    drawings = {plot.name: partial(_draw_plot, plot=plot, points=points[plot.name]) for plot in PLOTS}
    descriptions = {name: fingerprint(found) for name, found in points.items()}
    return save_pictures(drawings, folder, descriptions=descriptions)


def _draw_plot(figure: Any, *, plot: Plot, points: Points) -> None:  # noqa: ANN401 - matplotlib is optional
    _draw_points(figure.add_subplot(), plot, points)


def _draw_points(axes: Any, plot: Plot, points: Points) -> None:  # noqa: ANN401 - matplotlib is optional
    for store, line in points.items():
        sizes, costs = zip(*line, strict=True)
        axes.plot(sizes, costs, marker="o", color=_COLOUR_BY_STORE[store], label=_LABEL_BY_STORE[store])
    own = points.get(OURS, [])
    if len(own) > 1:
        (first, cost), last = own[0], own[-1][0]
        axes.plot([first, last], [cost, cost * last / first], "--", color="#c8c8c8", label="linear", zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="documents", ylabel=plot.unit, title=plot.title)
    axes.grid(visible=True, which="major", alpha=0.3)
    if points:
        axes.legend()
