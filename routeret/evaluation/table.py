"""The tables of the documents, generated from committed results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from routeret.artifact import write_file
from routeret.errors import InputError
from routeret.evaluation.dataset_report import DatasetReport, Difference, Stratum
from routeret.evaluation.layout import Cell, Table, markdown, signed, system_order, turned
from routeret.evaluation.report import Report
from routeret.evaluation.summary import VERDICTS_NOTE, closed_gaps
from routeret.measures import NDCG
from routeret.types import BASE

_ROUTED = ("routed", "routed_hybrid")
_FURTHER = "The oracles over base and experts at their own strength, and over more actions:"


def render(results: Sequence[Path]) -> str:
    """Give the Markdown of saved reports: for each its nDCG@10, then what routing changes and where.

    Args:
        results: report files, shown in this order; file and folder name become the heading
            (``eval/results/home/merged.json``: "home / merged").

    Raises:
        InputError: no file is given.
        ArtifactError: a file is missing or is not a report.
    """
    if not results:
        raise InputError("0 result files were given; expected at least one report under eval/results/")
    return "\n\n".join(_section(path, Report.load(path)) for path in results)


def means(reports: Mapping[str, Report], *, systems: Sequence[str] | None = None) -> Table:
    """Give the nDCG@10 of systems, each the mean over the sets of a report: a row a system, a column a report.

    Args:
        reports: by the name of their column.
        systems: which ones, in this order; None takes all, in the order of the tables. Where a report has not measured
            one, there is a dash.
    """
    names = system_order({name for report in reports.values() for name in report.mean}) if systems is None else systems
    rows = tuple((name, *((report.mean.get(name) or {}).get(NDCG) for report in reports.values())) for name in names)
    return Table(("nDCG@10, mean over sets", *reports), rows)


def update_document(path: Path, marker: str, *, content: str) -> None:
    """Put generated text between the marker comments of a document, in place of what is there.

    The document holds ``<!-- begin MARKER -->`` and ``<!-- end MARKER -->``, each once.

    Args:
        path: the document.
        marker: the name in the comments.
        content: the text to put between them.

    Raises:
        InputError: the document does not hold both comments once, in this order.
    """
    before, _, after = _split(path, marker)
    write_file(path, (before + _framed(content) + after).encode())


def is_stale(path: Path, marker: str, *, content: str) -> bool:
    """Whether :func:`update_document` would change the document.

    Args:
        path: the document.
        marker: the name in its comments.
        content: the text that should be between them.

    Raises:
        InputError: the document does not hold both comments once, in this order.
    """
    _, found, _ = _split(path, marker)
    return found != _framed(content)


def _section(path: Path, report: Report) -> str:
    setting = "one index that holds all corpora" if report.merged else "one index a dataset"
    lines = [f"## {path.parent.name} / {path.stem}", f"nDCG@10, {setting}.", markdown(turned(report.values()))]
    if oracles := report.oracles():
        lines += [_FURTHER, markdown(turned(report.values(systems=oracles)))]
    if gaps := closed_gaps(report):
        lines.append(markdown(gaps))
    routed = [name for name in _ROUTED if report.n_datasets(name)]
    if routed:
        lines += [
            "What routing changes against the base (nDCG@10, with 95 % intervals), over all queries, and apart for "
            "those with (gold seen) and without (gold unseen) a relevant document that was a training positive:",
            markdown(_routing_table(report, routed)),
        ]
    if report.pairs:
        lines += ["\n".join(f"- {pair}" for pair in report.pairs), f"{VERDICTS_NOTE}."]
    return "\n\n".join(lines)


def _routing_table(report: Report, routed: Sequence[str]) -> Table:
    header = ["dataset"]
    for name in routed:
        header += [f"{name} - {BASE}", "95 %", "gold seen (queries)", "gold unseen (queries)"]
    header.append("weight off the base")
    rows = [
        (
            name,
            *(cell for system in routed for cell in _change(dataset, system)),
            1.0 - dataset.weights[BASE] if BASE in dataset.weights else None,
        )
        for name, dataset in sorted(report.datasets.items())
    ]
    return Table(header=tuple(header), rows=tuple(rows))


def _change(dataset: DatasetReport, system: str) -> tuple[Cell, Cell, Cell, Cell]:
    difference: Difference | None = dataset.diff_to_base.get(system)
    if difference is None:
        return None, None, None, None
    return (
        signed(difference.mean),
        f"{signed(difference.low)} to {signed(difference.high)}",
        _stratum_change(dataset.gold_seen, system),
        _stratum_change(dataset.gold_unseen, system),
    )


def _stratum_change(stratum: Stratum | None, system: str) -> str | None:
    if stratum is None:
        return None
    values, base = stratum.systems.get(system), stratum.systems.get(BASE)
    if values is None or base is None:
        return None
    return f"{signed(values[NDCG] - base[NDCG])} ({stratum.n_queries})"


def _framed(content: str) -> str:
    return f"\n\n{content.strip()}\n\n"


def _split(path: Path, marker: str) -> tuple[str, str, str]:
    begin, end = f"<!-- begin {marker} -->", f"<!-- end {marker} -->"
    document = path.read_text(encoding="utf-8")
    counts = document.count(begin), document.count(end)
    start, stop = document.find(begin) + len(begin), document.find(end)
    if counts != (1, 1) or stop < start:
        raise InputError(
            f"{path} holds {begin!r} {counts[0]} times and {end!r} {counts[1]} times; "
            "expected each once, the first before the second: add both lines where the table belongs"
        )
    return document[:start], document[start:stop], document[stop:]
