"""Write docs/benchmarks.md and its plots from the report under eval/results: python eval/make_benchmark_page.py."""

from pathlib import Path

from routeret.benchmarks import load_report, render
from routeret.benchmarks.plots import draw
from routeret.evaluation import update_document

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS_FOLDER = ROOT / "docs" / "plots"
MARKER = "results"
REPORT = ROOT / "eval" / "results" / "index" / "benchmark.json"


def main() -> None:
    report = load_report(REPORT)
    draw(report, PLOTS_FOLDER)
    update_document(PAGE, MARKER, content=render(report))


if __name__ == "__main__":
    main()
