"""What a report says of every system over all datasets, as a table."""

from collections.abc import Sequence

from routeret.evaluation.against_oracles import AgainstOracles
from routeret.evaluation.dataset_report import Difference
from routeret.evaluation.layout import Cell, Table, aligned, signed
from routeret.evaluation.oracles import DATASET_ORACLE, QUERY_ORACLE
from routeret.evaluation.report import Report
from routeret.significance import MARGIN
from routeret.types import BASE

_GAPS = (("base", "set"), ("base", "query"), ("single", "set"), ("single", "query"))


def summary(report: Report, *, systems: Sequence[str] | None = None) -> Table | None:
    """Give a row a system: its difference to the base over all datasets, its regret, and the gaps that it closes.

    Args:
        report: with or without oracles; without, the table ends with the difference.
        systems: which systems, in this order; by default those of the report's table, without the base and the oracles
            that the gaps lead to.

    Returns:
        None where the report is of an earlier version, or has no such system.

    Raises:
        InputError: an unknown system.
    """
    bounds = (BASE, DATASET_ORACLE, QUERY_ORACLE)
    shown = [name for name in report.shown(systems) if systems is not None or name not in bounds]
    if report.diff_to_base is None or not shown:
        return None
    header = ["system", f"- {BASE}", "95 %", "not_inferior"]
    oracles = report.against_oracles
    if oracles is not None:
        header += ["regret", "no_regret", *(f"{start}_to_{end}" for start, end in _GAPS)]
    rows = []
    for name in shown:
        cells = _difference_cells(report.diff_to_base[name])
        if oracles is not None:
            cells += _oracle_cells(oracles[name])
        rows.append((name, *cells))
    return Table(header=tuple(header), rows=tuple(rows), notes=_notes(report))


def summary_text(report: Report) -> str:
    """The summary as an aligned text table; empty where there is none."""
    table = summary(report)
    return "" if table is None else aligned(table)


def _notes(report: Report) -> tuple[str, ...]:
    first = f"95 %: over datasets and clusters of queries; not_inferior: even its low end loses less than {MARGIN}"
    if report.against_oracles is None:
        return (first,)
    return (
        first,
        "regret: nDCG@10 below the query oracle; no_regret: share of the queries without regret",
        f"base_to_set, single_to_query: share closed of the gap from the base, or the best single model "
        f"({report.best_single_model}), to the data-set or query oracle",
    )


def _difference_cells(difference: Difference | None) -> list[Cell]:
    if difference is None:
        return [None, None, None]
    interval = f"{signed(difference.low)} to {signed(difference.high)}"
    return [signed(difference.mean), interval, "yes" if difference.non_inferior else "no"]


def _oracle_cells(found: AgainstOracles | None) -> list[Cell]:
    if found is None:
        return [None] * (2 + len(_GAPS))
    gaps = (found.from_base, found.from_best_single)
    shares = [share for gap in gaps for share in (gap.dataset_oracle, gap.query_oracle)]
    return [found.regret.mean, *(_percent(share) for share in (found.regret.zero_share, *shares))]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f} %"
