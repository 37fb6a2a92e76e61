"""Tables of numbers as text: aligned for terminals, Markdown for documents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from routeret.evaluation.oracles import ORACLES
from routeret.routing import ROUTERS
from routeret.types import BASE, LEXICAL

Cell = str | int | float | None

EXPERT = "expert:"
"""How the name of a system begins that is one expert alone."""

_ORDER = (
    BASE,
    LEXICAL,
    "hybrid",
    "routed",
    "routed_hybrid",
    *ROUTERS,
    "known_index",
    *ORACLES,
)


@dataclass(frozen=True, slots=True)
class Table:
    """Cells to draw; the first column holds names, the others numbers.

    Attributes:
        header: one name a column.
        rows: as many cells as the header; fractions are shown with three decimals, None as a dash.
        notes: lines to put below.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def system_order(names: Iterable[str]) -> list[str]:
    """Give system names in the order of the tables: the usual ones, then experts and others by name."""
    rank = {name: position for position, name in enumerate(_ORDER)}
    return sorted(names, key=lambda name: (rank.get(name, len(rank)), name))


def turned(table: Table) -> Table:
    """The same with rows for columns; the corner stays."""
    names, *columns = zip(*table.rows, strict=True)
    rows = tuple((name, *cells) for name, cells in zip(table.header[1:], columns, strict=True))
    return Table(header=(table.header[0], *map(str, names)), rows=rows, notes=table.notes)


def aligned(table: Table) -> str:
    """Draw a table for a terminal; long column names are broken at ``_`` and ``:`` into lines."""
    heads = [_broken(name) for name in table.header]
    n_lines = max(len(lines) for lines in heads)
    padded = [[""] * (n_lines - len(lines)) + lines for lines in heads]
    body = [[_text(cell) for cell in row] for row in table.rows]
    lines = [[column[position] for column in padded] for position in range(n_lines)] + body
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    drawn = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
    drawn.insert(n_lines, "  ".join("-" * width for width in widths))
    return "\n".join([*drawn, *table.notes])


def markdown(table: Table) -> str:
    """Draw a table as Markdown."""
    lines = [
        _markdown_line(table.header),
        _markdown_line(["---"] + ["---:"] * (len(table.header) - 1)),
        *(_markdown_line([_text(cell) for cell in row]) for row in table.rows),
    ]
    if table.notes:
        lines += ["", *(f"{note}." for note in table.notes)]
    return "\n".join(lines)


def signed(value: float) -> str:
    """Give a difference with its sign and three decimals."""
    return f"{value:+.3f}"


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _broken(name: str) -> list[str]:
    return name.replace(":", ":\n").replace("_", "_\n").split("\n") if len(name) > 9 else [name]


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
