"""The page of what building costs: a saved report as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from routeret.benchmarks.building.parts import PARTS
from routeret.benchmarks.building.sides.registry import SIDES, TITLE_BY_BUILD
from routeret.benchmarks.tables import (
    NONE,
    limits_text,
    machine_text,
    markdown_table,
    mib,
    missing_text,
    number,
    read_report,
    work_parts,
)

KIND = "routeret build benchmark"
FORMAT = 1

Figures = Mapping[str, Any]


def load_build_report(path: Path) -> dict[str, Any]:
    """A report that :func:`routeret.benchmarks.bench_builds` wrote.

    Raises:
        ArtifactError: the file is missing, or is something else.
    """
    return read_report(path, kind=KIND, format_number=FORMAT, command="routeret bench build")


def render_builds(report: Figures) -> str:
    """The report as Markdown; what was not measured is left out."""
    titles = {name: entry.title for name, entry in SIDES.items()}
    parts = [machine_text(report["machine"], seed=report["settings"]["seed"]), _about(report)]
    sides = {name: report["sides"][name] for name in SIDES if name in report["sides"]}
    named = [(title_of(name, side), side) for name, side in sides.items()]
    parts += [_sides(sides), *work_parts(report.get("work"), named, what="texts into vectors")]
    parts += missing_text(report["missing"], titles)
    parts += [*_builds(report.get("builds", {})), *_quality(report.get("quality", ()), sides)]
    return "\n\n".join(parts)


def title_of(name: str, side: Figures) -> str:
    """What a measured side is called, with its arithmetic where it tells that."""
    return SIDES[name].title + (f" ({side['precision']})" if "precision" in side else "")


def _about(report: Figures) -> str:
    corpus, settings = report["corpus"], report["settings"]
    tokens = report["tokens"]
    return (
        f"{corpus['documents']:,} of the {corpus['documents_of_corpora']:,} documents of "
        f"{', '.join(corpus['datasets'])}, with {number(tokens['median'])} tokens at the median and {tokens['most']:,} "
        f"at the most; {_percent(tokens['cut_share'])} are cut at the model's limit. "
        f"{_percent(corpus['identical_share'])} of them are the same text as another one, of all documents of the "
        f"corpora {_percent(corpus['identical_share_of_corpora'])}. Blocks of {settings['block']} documents"
        f"{limits_text(settings['thread_limits'])}"
    )


def _sides(sides: Figures) -> str:
    header = ["texts into vectors", "documents/s", "tokens/s", "times plain", "least, most", "cosine, mean", "least"]
    rows = []
    for name, side in sides.items():
        speed = [number(side["documents_per_s"]), number(side["tokens_per_s"]), *_times(side)]
        rows.append([title_of(name, side), *speed, f"{side['cosine_mean']:.5f}", f"{side['cosine_least']:.5f}"])
    return markdown_table(header, rows)


def _builds(builds: Figures) -> list[str]:
    """The whole builds, and where their time goes."""
    named = {title: builds[name] for name, title in TITLE_BY_BUILD.items() if name in builds}
    if not named:
        return []
    header = ["the whole build", "s", "documents/s", "times plain", "least, most"]
    header += ["texts embedded", "peak memory, MiB", "of it before", "on disk, MiB"]
    rows = []
    for title, one in named.items():
        speed = [number(one["seconds"]), number(one["documents_per_s"]), *_times(one)]
        sizes = [mib(one["memory_peak_bytes"]), mib(one["memory_before_bytes"]), number(one["bytes"] / 2**20)]
        rows.append([title, *speed, f"{one['embedded']:,}", *sizes])
    shares = [[title, *(_percent(one["share_by_part"][part]) for part in PARTS)] for title, one in named.items()]
    return [markdown_table(header, rows), markdown_table(["share of the time", *PARTS], shares)]


def _quality(quality: Any, sides: Figures) -> list[str]:  # noqa: ANN401 - a list in JSON
    """nDCG@10 of every side, and its difference to plain's, on the mean of the data sets and where it is least."""
    if not quality:
        return []
    header = ["dev queries, nDCG@10", "mean of sets", "difference", "least of a set"]
    rows = []
    for name, side in sides.items():
        differences = [f"{side[key]:+.4f}" for key in ("ndcg_difference", "ndcg_difference_least")]
        rows.append([title_of(name, side), f"{side['ndcg']:.4f}", *differences])
    sets = ", ".join(f"{one['dataset']} {one['queries']:,}" for one in quality)
    return [markdown_table(header, rows), f"Queries by set: {sets}."]


def _times(side: Figures) -> list[str]:
    return [number(side["times_plain"]), f"{number(side['times_plain_least'])}, {number(side['times_plain_most'])}"]


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"
