"""docs/benchmarks.md and its plots are those of the committed reports."""

from pathlib import Path

from scripts import loaded

from routeret.benchmarks import load_query_report, load_report, render, render_queries
from routeret.benchmarks.plots import PLOTS
from routeret.benchmarks.queries.plots import shown
from routeret.drawing import fingerprint
from routeret.evaluation import is_stale

ROOT = Path(__file__).parents[2]
NEXT = "run: python eval/make_benchmark_page.py"


def maker():
    return loaded(ROOT / "eval" / "make_benchmark_page.py")


def test_the_page_is_that_of_the_report():
    made = maker()
    assert not is_stale(made.PAGE, made.MARKER, content=render(load_report(made.REPORT))), f"stale; {NEXT}"
    content = render_queries(load_query_report(made.QUERY_REPORT))
    assert not is_stale(made.PAGE, made.QUERY_MARKER, content=content), f"stale; {NEXT}"


def test_the_plots_are_those_of_the_report():
    made = maker()
    report = load_report(made.REPORT)
    for plot in PLOTS:
        drawn = (made.PLOTS_FOLDER / f"{plot.name}.svg").read_text(encoding="utf-8")
        assert fingerprint(plot.points(report)) in drawn, f"{plot.name}.svg is stale; {NEXT}"
    for name, values in shown(load_query_report(made.QUERY_REPORT)).items():
        drawn = (made.PLOTS_FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        assert fingerprint(values) in drawn, f"{name}.svg is stale; {NEXT}"


def test_no_path_of_a_machine_is_in_the_report():
    made = maker()
    text = made.REPORT.read_text(encoding="utf-8") + made.QUERY_REPORT.read_text(encoding="utf-8")
    assert not [folder for folder in ("/tmp", "/home", "/root", "/work") if folder in text]  # noqa: S108 - words
