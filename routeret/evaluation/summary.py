"""What a report says of every system over all datasets, as a table."""

from collections.abc import Sequence

from routeret.evaluation.against_oracles import AgainstOracles
from routeret.evaluation.dataset_report import Difference
from routeret.evaluation.layout import Cell, Table, aligned, signed
from routeret.evaluation.oracles import BOUNDS, FURTHER, PLAIN
from routeret.evaluation.report import Report
from routeret.significance import MARGIN
from routeret.types import BASE

_GAPS = (("base", "set"), ("base", "query"), ("single", "set"), ("single", "query"))
_ORACLES_NOTE = (
    "share closed of the gap from the base to each oracle: over base and experts at their own strength, at every one "
    "of the router's strengths (strengths), and with every weight of BM25 too (hybrid); null: random maps for experts"
)
VERDICTS_NOTE = (
    f"superior: shown to be above 0; not inferior: above -{MARGIN}; inferior: below -{MARGIN}; not shown: none of "
    "these; each at 5 %, adjusted over the sets of its line (Holm)"
)
"""What the verdicts set by set mean."""


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
    shown = [name for name in report.shown(systems) if systems is not None or name not in (BASE, *BOUNDS)]
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


def closed_gaps(report: Report) -> Table | None:
    """Give a row a system and a column an oracle: the share of the gap from the base that the system closes.

    Args:
        report: with or without oracles.

    Returns:
        None where there are no oracles but the two that :func:`summary` shows.
    """
    found = report.against_oracles
    oracles = [] if found is None else [name for name in BOUNDS if report.mean.get(name) is not None]
    if found is None or len(oracles) <= len(PLAIN):
        return None
    rows = []
    for name in (*report.shown(), *FURTHER):
        one = found.get(name)
        if one is not None and name not in (BASE, *BOUNDS):
            rows.append((name, *(_percent(one.from_base.get(oracle)) for oracle in oracles)))
    return Table(header=("system", *oracles), rows=tuple(rows), notes=(_ORACLES_NOTE,))


def summary_text(report: Report) -> str:
    """What a report says over all datasets, as text; empty where it is of an earlier version or has the base alone.

    First the oracles, where there are more than the plain ones; then the summary, the closed gaps, and what is shown
    set by set.
    """
    table = summary(report)
    if table is None:
        return ""
    parts = [aligned(table)]
    if oracles := report.oracles():
        parts.insert(0, report.table(systems=oracles))
    if gaps := closed_gaps(report):
        parts.append(aligned(gaps))
    if report.pairs:
        parts.append("\n".join([*map(str, report.pairs), VERDICTS_NOTE]))
    return "\n\n".join(parts)


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
    shares = [gap.get(oracle) for gap in gaps for oracle in PLAIN]
    return [found.regret.mean, *(_percent(share) for share in (found.regret.zero_share, *shares))]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f} %"
