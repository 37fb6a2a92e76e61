"""A report of a router in words."""

from routeret.cli import output
from routeret.routing.reliability import Reliability
from routeret.routing.report import LearnedGain, RouterReport


def router_text(report: RouterReport) -> str:
    """A table of gains, corpus by expert, and how far to believe them."""
    return "\n".join([*_gains(report), "", *_reliability(report.reliability)])


def _gains(report: RouterReport) -> list[str]:
    head = ["gain in nDCG@10", *report.experts, "bm25", "pilots"]
    rows = [
        [corpus.name, *map(_gain, corpus.gains), f"{corpus.lexical_weight:.2f}", f"{corpus.n_pilots:,}"]
        for corpus in report.corpora
    ]
    return [
        *output.table_lines([head, *rows]),
        "Mean gain over the base on dev queries at the best strength (behind @); * trained on the corpus.",
        "bm25: the weight of BM25 beside a cosine that suits the corpus.",
    ]


def _gain(gain: LearnedGain) -> str:
    return f"{gain.mean:+.3f}@{gain.strength:.1f}{'*' if gain.is_home else ' '}"


def _reliability(found: Reliability | None) -> list[str]:
    if found is None:
        return ["One source of corpora cannot be left out, so what the router promises cannot be checked."]
    auc = "-" if found.auc is None else f"{found.auc:.3f}"
    coverage = "-" if found.coverage is None else f"{found.coverage:.0%}"
    rows = [["chance", "came true", "promises"]]
    rows += [[f"{one.predicted:.2f}", f"{one.observed:.2f}", f"{one.n:,}"] for one in found.bins]
    return [
        f'"This expert helps", every corpus left out once: {found.n:,} promises, {found.base_rate:.0%} came true.',
        *output.table_lines(rows),
        f"Expected calibration error {found.calibration_error:.3f}, Brier skill {found.brier_skill:+.3f}, AUC {auc}.",
        f"Mean gains on strange corpora that lie within their 95 % interval: {coverage}.",
    ]
