"""The page of what a query costs: a saved report as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from routeret.benchmarks.queries.parts import PARTS
from routeret.benchmarks.queries.sides.registry import ALONE, HYBRID, LORA, ROUTED, SIDES
from routeret.benchmarks.tables import (
    limits_text,
    machine_text,
    markdown_table,
    mib,
    missing_text,
    number,
    read_report,
    work_parts,
)

KIND = "routeret query benchmark"
FORMAT = 1

TITLE_BY_ROUTING = {ROUTED: "linear experts", HYBRID: "linear experts and BM25", LORA: "LoRA experts"}
"""How the sides that route are called beside each other."""

TITLE_BY_RUNTIME = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch"}
"""How that is called which runs queries."""

Figures = Mapping[str, Any]


def load_query_report(path: Path) -> dict[str, Any]:
    """A report that :func:`routeret.benchmarks.bench_queries` wrote.

    Raises:
        ArtifactError: the file is missing, or is something else.
    """
    return read_report(path, kind=KIND, format_number=FORMAT, command="routeret bench query")


def render_queries(report: Figures) -> str:
    """The report as Markdown; what was not measured is left out."""
    parts = [machine_text(report["machine"], seed=report["settings"]["seed"]), _about(report)]
    sides = {name: report["sides"][name] for name in SIDES if name in report["sides"]}
    titles = {name: entry.title for name, entry in SIDES.items()}
    batches = [(_title(name, side), side["batch"]) for name, side in sides.items()]
    parts += [_sides(sides), *_runtimes(sides), *work_parts(report.get("work"), batches, what="batches of 64")]
    parts += [*missing_text(report["missing"], titles), *_groups(sides), *_routing(sides)]
    parts += [*_threads(report), *_parts(report), *_start(report), *_memory(report), *_precision(report)]
    return "\n\n".join(parts)


def ratio(sides: Figures, name: str, other: str) -> float | None:
    """The median time of a side over that of another; None where one was not measured."""
    if name not in sides or other not in sides:
        return None
    return float(sides[name]["single"]["p50_ms"] / sides[other]["single"]["p50_ms"])


def _about(report: Figures) -> str:
    corpus, settings = report["corpus"], report["settings"]
    return (
        f"{corpus['documents']:,} documents of {', '.join(corpus['datasets'])} with {corpus['dim']} dimensions, "
        f"{corpus['queries']:,} of their queries for {settings['k']} documents each; experts and router of "
        f"{settings['pack']}; LoRA of rank {settings['rank']}{limits_text(settings['thread_limits'])}"
    )


def _sides(sides: Figures) -> str:
    header = [
        "one query",
        "median ms",
        "99 %",
        "of plain",
        "queries/s in batches of 64",
        "times plain",
        "found as plain",
    ]
    rows = []
    for name, side in sides.items():
        single, batch = side["single"], side["batch"]
        times = [number(single["p50_ms"]), number(single["p99_ms"]), f"{single['of_plain']:.2f}"]
        rates = [number(batch["queries_per_s"]), number(batch["times_plain"]), f"{single['found']:.3f}"]
        rows.append([_title(name, side), *times, *rates])
    return markdown_table(header, rows)


def _runtimes(sides: Figures) -> list[str]:
    """What runs the model of the sides that choose it."""
    titles: dict[str, list[str]] = {}
    for name, side in sides.items():
        if side.get("query_runtime") is not None:
            titles.setdefault(side["query_runtime"], []).append(SIDES[name].title)
    lines = [f"- {TITLE_BY_RUNTIME[runtime]}: {'; '.join(named)}" for runtime, named in titles.items()]
    return ["\n".join(["What runs the model:", "", *lines])] if lines else []


def _title(name: str, side: Figures) -> str:
    arithmetic = f" ({side['precision']})" if name in (ALONE, ROUTED, HYBRID, LORA) else ""
    return SIDES[name].title + arithmetic


def _groups(sides: Figures) -> list[str]:
    """The queries with an expert apart from those that the base answers alone."""
    rows = []
    for name in (one for one in TITLE_BY_ROUTING if one in sides):
        single = sides[name]["single"]
        for group, words in (("with_experts", "with an expert"), ("without_experts", "the base alone")):
            if group in single:
                one = single[group]
                row = [f"{one['n']:,}", number(one["p50_ms"]), number(one["p99_ms"]), f"{one['of_plain']:.2f}"]
                rows.append([f"{TITLE_BY_ROUTING[name]}, {words}", *row])
    if not rows:
        return []
    mean = "; ".join(
        f"{TITLE_BY_ROUTING[name]} {sides[name]['single']['experts_mean']:.2f}"
        for name in TITLE_BY_ROUTING
        if name in sides
    )
    table = markdown_table(["routed queries", "queries", "median ms", "99 %", "of plain"], rows)
    return [table, f"Experts that a query meets, on the mean: {mean}."]


def _routing(sides: Figures) -> list[str]:
    rows: list[tuple[str, float | None]] = [
        ("routed, linear experts, over the base alone", ratio(sides, ROUTED, ALONE)),
        ("with BM25 over the same without", ratio(sides, HYBRID, ROUTED)),
        ("with BM25 over the base alone", ratio(sides, HYBRID, ALONE)),
        ("routed, LoRA experts, over PEFT adapters switched", ratio(sides, LORA, "peft")),
    ]
    for precision in ("float32", "int8"):
        other = f"onnx-{precision}"
        rows.append(
            (f"base alone over sentence-transformers' ONNX backend, {precision}", ratio(sides, precision, other))
        )
        for name in (ROUTED, LORA):
            if name in sides and sides[name]["precision"] == precision:
                words = f"routed, {TITLE_BY_ROUTING[name]}, over that backend, {precision}"
                rows.append((words, ratio(sides, name, other)))
    known = [[words, f"{value:.2f}"] for words, value in rows if value is not None]
    return [markdown_table(["median time", "times"], known)] if known else []


def _threads(report: Figures) -> list[str]:
    if "threads" not in report:
        return []
    one = report["threads"]
    return [
        f"{one['threads']} threads asking at once, {one['requests']:,} requests ({one['distinct_requests']:,} "
        f"different): {number(one['together_per_s'])} a second, {number(one['together_per_s'] / one['alone_per_s'])} "
        f"times what one thread gets ({number(one['alone_per_s'])}); median {number(one['p50_ms'])} ms, 99 % "
        f"{number(one['p99_ms'])} ms, {number(one['p99_ms'] / one['p50_ms'])} times the median; "
        f"{one['errors']:,} errors."
    ]


def _parts(report: Figures) -> list[str]:
    parts = report.get("parts", {})
    names = [name for name in TITLE_BY_ROUTING if name in parts]
    if not names:
        return []
    header = ["part of one query, median ms", *(TITLE_BY_ROUTING[name] for name in names)]
    rows = [[part, *(number(parts[name][part]) for name in names)] for part in PARTS]
    return [markdown_table(header, rows)]


def _start(report: Figures) -> list[str]:
    if "start" not in report:
        return []
    one = report["start"]
    torch = "is" if one["imports_torch"] else "is not"
    return [
        f"`routeret search` from the shell, in a process that has loaded nothing: {number(one['p50_ms'] / 1000)} s, "
        f"the median of {one['n']}; PyTorch {torch} imported."
    ]


def _memory(report: Figures) -> list[str]:
    if not report.get("memory", {}).get("above"):
        return []
    one = report["memory"]
    count = one["experts_of_each_kind"]
    return [
        f"{count} LoRA and {count} linear experts with their router take {mib(one['above']['now'])} MiB above the same "
        f"index without experts ({mib(one['without']['now'])} MiB), of it {mib(one['above']['own'])} MiB not mapped "
        f"from files."
    ]


def _precision(report: Figures) -> list[str]:
    sets: Sequence[Figures] = report.get("precision", ())
    if not sets:
        return []
    header = ["dev queries", "queries", "nDCG@10 float32", "int8", "difference", "cosine, mean", "least"]
    rows = [
        [
            one["dataset"],
            f"{one['queries']:,}",
            f"{one['ndcg']['float32']:.4f}",
            f"{one['ndcg']['int8']:.4f}",
            f"{one['ndcg']['int8'] - one['ndcg']['float32']:+.4f}",
            f"{one['cosine_mean']:.5f}",
            f"{one['cosine_least']:.5f}",
        ]
        for one in sets
    ]
    return [markdown_table(header, rows)]
