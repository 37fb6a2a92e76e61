"""What the pages of the benchmarks share: saved reports, and figures as Markdown."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from routeret.errors import ArtifactError

NONE = "-"
"""Stands where there is no figure."""

_MIB = 2**20


def read_report(path: Path, *, kind: str, format_number: int, command: str) -> dict[str, Any]:
    """A saved report of a benchmark.

    Args:
        path: a JSON file.
        kind: what it says it is.
        format_number: of the version that is read here.
        command: what writes such a file.

    Raises:
        ArtifactError: the file is missing, or is something else.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as a report of {command}: {error}") from error
    if not isinstance(report, dict) or (report.get("kind"), report.get("format")) != (kind, format_number):
        raise ArtifactError(f"{path} is not a {kind} of format {format_number}; write it with {command}")
    return report


def machine_text(machine: Mapping[str, Any], *, seed: int) -> str:
    """The machine and the versions of a report, in a sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine["versions"].items()) if version)
    # Reports of before there was a choice name no device.
    device = f"{machine['device']}; " if machine.get("device") else ""
    return (
        f"{device}{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}; {versions}; seed {seed}."
    )


def missing_text(missing: Mapping[str, str], title_by_side: Mapping[str, str]) -> list[str]:
    """What was not measured and why, as one part of a page; none where all was.

    Args:
        missing: reasons by side.
        title_by_side: how the sides are called, in their order.
    """
    named = [f"- {title}: {missing[name]}" for name, title in title_by_side.items() if name in missing]
    return ["\n".join(["Not measured:", "", *named])] if named else []


def limits_text(limits: Mapping[str, str | None]) -> str:
    """Limits of threads behind a sentence, with the full stop."""
    named = [f"{name}={value}" for name, value in limits.items() if value]
    return f"; {', '.join(named)}." if named else "."


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column stands left and whose others stand right."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def work_parts(
    work: Mapping[str, Any] | None, figures: Sequence[tuple[str, Mapping[str, Any]]], *, what: str
) -> list[str]:
    """The parts of a page that tell how much arithmetic is done a second; none where that was not measured.

    Args:
        work: what :meth:`routeret.benchmarks.models.work.Work.as_dict` gave.
        figures: title and figures of every side, with what :meth:`~routeret.benchmarks.models.work.Work.rates` gave.
        what: the texts, as the table's first words.
    """
    if work is None:
        return []
    header, peak = [what, "tokens/s", "TFLOP/s"], work["peak_tflops"]
    rows = [[title, number(one["tokens_per_s"]), number(one["tflops"])] for title, one in figures]
    sentence = f"One pass is {number(work['operations_per_token'] / 1e6)} million operations a token on the mean"
    if peak is not None:
        header.append("of the peak")
        rows = [[*row, f"{100 * one['peak_share']:.1f} %"] for row, (_, one) in zip(rows, figures, strict=True)]
        sentence += f"; the device does {number(peak)} TFLOP/s at most"
    return [markdown_table(header, rows), f"{sentence}."]


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def mib(value: int | None) -> str:
    """A size in MiB, without a fraction."""
    return NONE if value is None else f"{value / _MIB:,.0f}"
