"""Write docs/benchmarks.md and its plots from the reports under eval/results: python eval/make_benchmark_page.py."""

from pathlib import Path

from routeret.benchmarks import (
    load_build_report,
    load_query_report,
    load_report,
    render,
    render_builds,
    render_queries,
)
from routeret.benchmarks.building.plots import draw_builds
from routeret.benchmarks.plots import draw
from routeret.benchmarks.queries.plots import draw_queries
from routeret.evaluation import update_document

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS_FOLDER = ROOT / "docs" / "plots"
MARKER, QUERY_MARKER, LARGE_QUERY_MARKER, BUILD_MARKER = "results", "queries", "queries-large", "builds"
REPORT = ROOT / "eval" / "results" / "index" / "benchmark.json"
QUERY_REPORT = ROOT / "eval" / "results" / "query" / "benchmark.json"
LARGE_QUERY_REPORT = ROOT / "eval" / "results" / "query" / "large.json"
BUILD_REPORT = ROOT / "eval" / "results" / "building" / "benchmark.json"
BUILD_PLOTS = """\
![Documents a second against plain sentence-transformers, for every side](plots/documents-into-vectors.svg)

![Where the time of a build goes](plots/parts-of-a-build.svg)
"""


def build_section() -> str:
    """What stands between the markers of building: nothing until it has been measured."""
    if not BUILD_REPORT.is_file():
        return ""
    return f"{BUILD_PLOTS}\n{render_builds(load_build_report(BUILD_REPORT))}"


def main() -> None:
    report, query_report = load_report(REPORT), load_query_report(QUERY_REPORT)
    draw(report, PLOTS_FOLDER)
    draw_queries(query_report, PLOTS_FOLDER)
    if BUILD_REPORT.is_file():
        draw_builds(load_build_report(BUILD_REPORT), PLOTS_FOLDER)
    update_document(PAGE, MARKER, content=render(report))
    update_document(PAGE, QUERY_MARKER, content=render_queries(query_report))
    update_document(PAGE, LARGE_QUERY_MARKER, content=render_queries(load_query_report(LARGE_QUERY_REPORT)))
    update_document(PAGE, BUILD_MARKER, content=build_section())


if __name__ == "__main__":
    main()
