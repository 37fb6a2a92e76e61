"""What a suite measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from routeret.artifact import write_json
from routeret.evaluation.layout import EXPERT
from routeret.evaluation.report import Report
from routeret.evaluation.saved import read_report
from routeret.evaluation.seeds import SeedsReport
from routeret.evaluation.suite_file import Setting
from routeret.evaluation.summary import summary_text
from routeret.types import BASE


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """What a suite measured.

    Attributes:
        suite: its name.
        checksum: of its file.
        reports: by setting; over several trainings where the suite has seeds.
    """

    suite: str
    checksum: str
    reports: Mapping[Setting, Report | SeedsReport]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`."""
        reports = {setting: report.to_json() for setting, report in self.reports.items()}
        return {"suite": self.suite, "checksum": self.checksum, "reports": reports}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SuiteReport":
        """The report whose :meth:`to_json` gave these values."""
        reports = {cast("Setting", setting): _report_of(report) for setting, report in values["reports"].items()}
        return cls(suite=values["suite"], checksum=values["checksum"], reports=reports)

    def save(self, path: Path) -> None:
        """Write the JSON form whole or not at all, over an older one."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "SuiteReport":
        """Read a report that :meth:`save` wrote.

        Raises:
            ArtifactError: the file is missing, is not JSON or is not the report of a suite.
        """
        return read_report(
            path, cls.from_json, what="a suite's report of this version", command="routeret suite SUITE.toml"
        )

    def tables(self) -> str:
        """Every setting as text: nDCG@10 of the systems, then of the single experts, then the summary.

        Both tables of nDCG@10 have the base in their first column. Over several trainings there are the tables of
        :meth:`~routeret.evaluation.seeds.SeedsReport.table` instead.
        """
        parts = []
        for setting, report in self.reports.items():
            parts += [f"{self.suite}, {setting}", report.table()]
            if isinstance(report, SeedsReport):
                continue
            if experts := [name for name in report.mean if name.startswith(EXPERT)]:
                parts.append(report.table(systems=[BASE, *experts]))
            parts += filter(None, [summary_text(report)])
        return "\n\n".join(parts)


def _report_of(values: Mapping[str, Any]) -> Report | SeedsReport:
    return SeedsReport.from_json(values) if "seeds" in values else Report.from_json(values)
