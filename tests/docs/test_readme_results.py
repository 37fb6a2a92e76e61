"""The README's results are those of the committed reports."""

from pathlib import Path

from scripts import loaded

from routeret.evaluation import is_stale, render

ROOT = Path(__file__).parents[2]


def test_the_results_are_those_of_the_reports():
    make_readme_table = loaded(ROOT / "eval" / "make_readme_table.py")
    reports = make_readme_table.REPORTS
    content = render(reports) if any(report.exists() for report in reports) else ""
    assert not is_stale(make_readme_table.README, make_readme_table.MARKER, content=content), (
        "README.md is stale; run: python eval/make_readme_table.py"
    )
