"""Pictures that several benchmarks draw."""

from collections.abc import Mapping, Sequence
from typing import Any

_OURS, _OTHERS = "#1b6ca8", "#8a8a8a"
_COLOURS = ("#1b6ca8", "#d1495b", "#edae49", "#66a182", "#7768ae", "#2e4057", "#8d96a3", "#c38d94", "#c8c8c8")


def draw_bars(
    figure: Any,  # noqa: ANN401 - matplotlib is optional
    values: Mapping[str, Sequence[float]],
    *,
    label: str,
    title: str,
) -> None:
    """A bar for every side, with a line from one value to another over it.

    Args:
        figure: where.
        values: by what the side is called: how long the bar is, and the ends of the line.
        label: below.
        title: above.
    """
    axes = figure.add_subplot()
    for row, (name, (length, low, high)) in enumerate(values.items()):
        axes.barh(row, length, color=_OURS if name.startswith("routeret") else _OTHERS)
        axes.plot([low, high], [row, row], color="black", linewidth=1)
        axes.text(high, row, f" {length:.3g}", va="center", fontsize=7)
    axes.set_yticks(range(len(values)), list(values), fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(xlabel=label, title=title)


def draw_stacks(
    figure: Any,  # noqa: ANN401 - matplotlib is optional
    values: Mapping[str, Mapping[str, float]],
    *,
    parts: Sequence[str],
    label: str,
    title: str,
) -> None:
    """The parts of a whole one behind the other, a bar for each whole.

    Args:
        figure: where.
        values: by the name of the whole and that of the part.
        parts: in their order.
        label: below.
        title: above.
    """
    axes = figure.add_subplot()
    rows = list(values)
    ends = [0.0] * len(rows)
    for part, colour in zip(parts, _COLOURS, strict=False):
        widths = [values[row][part] for row in rows]
        axes.barh(rows, widths, left=ends, color=colour, label=part)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel=label, title=title)
    if rows:
        figure.legend(fontsize=7, ncols=5, loc="outside lower center")
