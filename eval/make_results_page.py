"""Write the results of the shipped pack from the reports under eval/results: python eval/make_results_page.py.

The README gets the means of the systems that are most worth comparing, docs/results.md all that was measured.
"""

from pathlib import Path

from routeret.evaluation import Report, SeedsReport, markdown, means, render, update_document

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "results.md"
MARKER = "results"
RESULTS = ROOT / "eval" / "results"
REPORTS = [RESULTS / "home" / "separate.json", RESULTS / "home" / "merged.json", RESULTS / "away" / "separate.json"]
SEEDS = [report.with_name(f"{report.stem}-seeds.json") for report in REPORTS]
"""The same with packs of several seeds; one that is not there has not been measured."""
COLUMNS = ("own sets, an index each", "own sets, one index for all", "strange sets, an index each")
"""What the README calls the reports."""
SYSTEMS = (
    "base",
    "bm25",
    "hybrid",
    "routed",
    "routed_hybrid",
    "centroid",
    "expert_classifiers",
    "two_step",
    "multitask",
    "average",
    "uniform",
    "known_index",
    "known_index_expert",
    "dataset_oracle_strengths",
    "query_oracle_strengths",
    "query_oracle_strengths_null",
)
"""What the README shows."""


def main() -> None:
    update_document(README, MARKER, content=short())
    update_document(PAGE, MARKER, content=whole())


def short() -> str:
    """The README's table."""
    reports = dict(zip(COLUMNS, map(Report.load, REPORTS), strict=True))
    return markdown(means(reports, systems=SYSTEMS))


def whole() -> str:
    """All tables."""
    return "\n\n".join([render(REPORTS), *(over_seeds(path) for path in SEEDS if path.exists())])


def over_seeds(path: Path) -> str:
    """Means and spread over packs of several seeds."""
    report = SeedsReport.load(path)
    heading = f"## {path.parent.name} / {path.stem.removesuffix('-seeds')}, {len(report.reports)} seeds"
    return "\n\n".join([heading, *map(markdown, report.values())])


if __name__ == "__main__":
    main()
