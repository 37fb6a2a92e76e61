"""Pictures of what building costs, as SVG files that are the same for the same report."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from routeret.benchmarks.building.page import title_of
from routeret.benchmarks.building.parts import PARTS
from routeret.benchmarks.building.sides.registry import SIDES, TITLE_BY_BUILD
from routeret.benchmarks.charts import draw_bars, draw_stacks
from routeret.drawing import fingerprint, save_pictures

PICTURES = ("documents-into-vectors", "parts-of-a-build")
"""The names of the files, without their ending."""

Values = dict[str, Any]


def shown_builds(report: Mapping[str, Any]) -> dict[str, Values]:
    """What every picture shows, by its name.

    Args:
        report: what ``bench_builds`` gave.
    """
    found = report["sides"]
    sides = {title_of(name, found[name]): found[name] for name in SIDES if name in found}
    keys = ("times_plain", "times_plain_least", "times_plain_most")
    times = {title: [side[key] for key in keys] for title, side in sides.items()}
    builds = report.get("builds", {})
    parts = {title: _ms_by_part(builds[name]) for name, title in TITLE_BY_BUILD.items() if name in builds}
    return dict(zip(PICTURES, (times, parts), strict=True))


def draw_builds(report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write all pictures; gives their files.

    Args:
        report: what ``bench_builds`` gave.
        folder: where they go; files of the same names are replaced.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    values = shown_builds(report)
    drawings = {
        PICTURES[0]: partial(
            draw_bars,
            values=values[PICTURES[0]],
            label="times plain: median of blocks, and a line from least to most",
            title="Documents a second",
        ),
        PICTURES[1]: partial(
            draw_stacks,
            values=values[PICTURES[1]],
            parts=PARTS,
            label="ms a document",
            title="Where the time of a build goes",
        ),
    }
    return save_pictures(drawings, folder, descriptions={name: fingerprint(one) for name, one in values.items()})


def _ms_by_part(build: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds of every part for one document."""
    return {part: 1000 * share / build["documents_per_s"] for part, share in build["share_by_part"].items()}
