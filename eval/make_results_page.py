"""Write the results of the shipped pack from the reports under eval/results: python eval/make_results_page.py.

The README gets the means of the systems that are most worth comparing, docs/results.md all that was measured.
"""

import json
from pathlib import Path

from routeret.evaluation import Report, SeedsReport, markdown, means, render, update_document
from routeret.evaluation.layout import Table

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "results.md"
MARKER = "results"
RESULTS = ROOT / "eval" / "results"
REPORTS = [RESULTS / "home" / "separate.json", RESULTS / "home" / "merged.json", RESULTS / "away" / "separate.json"]
SEEDS = [report.with_name(f"{report.stem}-seeds.json") for report in REPORTS]
"""The same with packs of several seeds; one that is not there has not been measured."""
ROUTER = RESULTS / "router" / "report.json"
"""What `routeret router report` says of the pack."""
TIME = RESULTS / "router" / "time.json"
"""What eval/routing_time.py found."""
TUNED = [RESULTS / "tune" / f"summary-{split}.json" for split in ("dev", "test")]
"""What eval/tune_study.py found."""
UNLABELLED = [RESULTS / "tune" / f"unlabelled-{split}.json" for split in ("dev", "test")]
"""What eval/unlabelled_study.py found."""
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
    seeds = [over_seeds(path) for path in SEEDS if path.exists()]
    return "\n\n".join([render(REPORTS), *seeds, tuned(), unlabelled(), promises(), cost()])


def over_seeds(path: Path) -> str:
    """Means and spread over packs of several seeds."""
    report = SeedsReport.load(path)
    heading = f"## {path.parent.name} / {path.stem.removesuffix('-seeds')}, {len(report.reports)} seeds"
    return "\n\n".join([heading, *map(markdown, report.values())])


def tuned() -> str:
    """What a hundred labelled queries of a corpus gain, over draws of them."""
    rows, notes = [], []
    for path in filter(Path.exists, TUNED):
        found = json.loads(path.read_text(encoding="utf-8"))
        for how, words in (("with_bm25", "yes"), ("without_bm25", "no")):
            one = found[how]
            numbers = [f"{one[name]:+.4f}" for name in ("mean_gain", "median_gain", "worst_gain")]
            rows.append((found["split"], words, *numbers, f"{one['share_harmful']:.1%}"))
        gains = ", ".join(f"{name} {gain:+.3f}" for name, gain in found["with_bm25"]["gain_by_corpus"].items())
        notes.append(
            f"{found['split']}: {found['n_labelled']} queries a draw, {found['n_draws']} draws, installed in "
            f"{found['n_installed']} of them; means with BM25: {gains}"
        )
    notes.append(
        "where an expert of the pack was trained on a corpus, its index has the base alone; the worst and the harmful "
        "are among what was installed, harmful is a gain below -0.01"
    )
    heading = ("split", "BM25", "mean gain", "median corpus", "worst draw", "harmful")
    return f"## Tuning with labelled queries\n\n{markdown(Table(heading, tuple(rows), tuple(notes)))}"


def unlabelled() -> str:
    """What tuning without labels gains on corpora that no expert knows, beside cheap rivals."""
    rows = []
    for path in filter(Path.exists, UNLABELLED):
        found = json.loads(path.read_text(encoding="utf-8"))
        for how, words in (("alone", "no"), ("with_bm25", "yes")):
            for name, one in found["summary"][how].items():
                numbers = [f"{one[key]:+.4f}" for key in ("mean", "median", "worst")]
                rows.append((found["split"], words, name, *numbers, one["worst_corpus"]))
    heading = ("split", "BM25", "what turns the queries", "mean gain", "median corpus", "worst corpus", "which")
    notes = ("every corpus as one that no expert knows; gains over the base, or over the base with BM25",)
    return f"## Tuning without labels\n\n{markdown(Table(heading, tuple(rows), notes))}"


def promises() -> str:
    """How far the chance that an expert helps comes true on corpora that were left out."""
    found = json.loads(ROUTER.read_text(encoding="utf-8"))["reliability"]
    rows = tuple((f"{one['predicted']:.2f}", one["observed"], one["n"]) for one in found["bins"])
    notes = (
        f"expected calibration error {found['calibration_error']:.3f}, Brier skill {found['brier_skill']:+.3f}, area "
        f"under the ROC curve {found['auc']:.3f}",
    )
    table = Table(("chance that an expert helps", "came true", "promises"), rows, notes)
    return f"## Every training corpus left out of the router once\n\n{markdown(table)}"


def cost() -> str:
    """What routing adds to a query in a large pool."""
    found = json.loads(TIME.read_text(encoding="utf-8"))
    rows = tuple(
        (name, found[key]["median"], found[key]["p99"])
        for name, key in (
            ("routing", "routing_ms"),
            ("routing, with looking up whose the documents are", "routing_with_lookup_ms"),
            ("turning the query and lowering documents", "mixing_ms"),
            ("explaining, where somebody looks", "explaining_ms"),
            ("encoding the query", "encoding_ms"),
        )
    )
    notes = (
        f"{found['n_experts']} experts of {found['n_corpora']} corpora drawn at random, one query at a time on one "
        f"thread, in one run; the router holds {found['router_megabytes']:.1f} MB. What was looked up is kept",
    )
    table = Table(("ms a query", "median", "99th percentile"), rows, notes)
    return f"## The time that routing takes\n\n{markdown(table)}"


if __name__ == "__main__":
    main()
