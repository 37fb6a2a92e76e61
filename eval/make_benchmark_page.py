"""Write docs/benchmarks.md and its plots from the reports under eval/results: python eval/make_benchmark_page.py."""

from pathlib import Path

from routeret.benchmarks import load_query_report, load_report, render, render_queries
from routeret.benchmarks.plots import draw
from routeret.benchmarks.queries.plots import draw_queries
from routeret.evaluation import update_document

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS_FOLDER = ROOT / "docs" / "plots"
MARKER, QUERY_MARKER = "results", "queries"
REPORT = ROOT / "eval" / "results" / "index" / "benchmark.json"
QUERY_REPORT = ROOT / "eval" / "results" / "query" / "benchmark.json"


def main() -> None:
    report, query_report = load_report(REPORT), load_query_report(QUERY_REPORT)
    draw(report, PLOTS_FOLDER)
    draw_queries(query_report, PLOTS_FOLDER)
    update_document(PAGE, MARKER, content=render(report))
    update_document(PAGE, QUERY_MARKER, content=render_queries(query_report))


if __name__ == "__main__":
    main()
