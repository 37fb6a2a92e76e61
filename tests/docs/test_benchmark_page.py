"""docs/benchmarks.md and its plots are those of the committed reports."""

from pathlib import Path

from scripts import loaded

from routeret.benchmarks import load_build_report, load_query_report, load_report, render, render_queries
from routeret.benchmarks.building.plots import shown_builds
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
    for report, marker in (
        (made.QUERY_REPORT, made.QUERY_MARKER),
        (made.LARGE_QUERY_REPORT, made.LARGE_QUERY_MARKER),
    ):
        content = render_queries(load_query_report(report))
        assert not is_stale(made.PAGE, marker, content=content), f"{report.name} is not on the page; {NEXT}"
    assert not is_stale(made.PAGE, made.BUILD_MARKER, content=made.build_section()), f"stale; {NEXT}"


def test_the_plots_are_those_of_the_report():
    made = maker()
    report = load_report(made.REPORT)
    for plot in PLOTS:
        drawn = (made.PLOTS_FOLDER / f"{plot.name}.svg").read_text(encoding="utf-8")
        assert fingerprint(plot.points(report)) in drawn, f"{plot.name}.svg is stale; {NEXT}"
    pictures = shown(load_query_report(made.QUERY_REPORT))
    if made.BUILD_REPORT.is_file():
        pictures |= shown_builds(load_build_report(made.BUILD_REPORT))
    for name, values in pictures.items():
        drawn = (made.PLOTS_FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        assert fingerprint(values) in drawn, f"{name}.svg is stale; {NEXT}"


def test_no_path_of_a_machine_is_in_the_report():
    made = maker()
    reports = (made.REPORT, made.QUERY_REPORT, made.LARGE_QUERY_REPORT, made.BUILD_REPORT)
    text = "".join(file.read_text(encoding="utf-8") for file in reports if file.is_file())
    assert not [folder for folder in ("/tmp", "/home", "/root", "/work") if folder in text]  # noqa: S108 - words
