"""The benchmark's page: a saved report as Markdown tables."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from routeret.benchmarks.comparing import Figures, build_seconds, costs, percent
from routeret.benchmarks.stores.registry import OURS, STORES
from routeret.benchmarks.tables import NONE, machine_text, markdown_table, mib, number, read_report

KIND = "routeret index benchmark"
FORMAT = 1

_SETTINGS = ("nprobes", "refine_factor", "ef_search")
_TITLE_BY_STORE = {OURS: "routeret", "flat": "FAISS flat", "lancedb": "LanceDB", "chroma": "Chroma"}
_WORDS_BY_COST = {
    "build_s": "build",
    "open_ms": "open",
    "first_search_ms": "open and search once",
    "single_p50_ms": "one query, median",
    "single_p99_ms": "one query, 99th percentile",
    "batch_p50_ms": "query in a batch of 32",
    "upsert_p50_ms": "one changed document",
    "delete_p50_ms": "one removed document",
}

Column = tuple[str, Callable[[Figures], str]]


def load_report(path: Path) -> dict[str, Any]:
    """A report that :func:`routeret.benchmarks.bench_index` wrote.

    Raises:
        ArtifactError: the file is missing, or is something else.
    """
    return read_report(path, kind=KIND, format_number=FORMAT, command="routeret bench index")


def render(report: Mapping[str, Any]) -> str:
    """The report as Markdown: the machine, then for every data set its tables, then how costs grow."""
    parts = [machine_text(report["machine"], seed=report["settings"]["seed"])]
    for dataset in report["datasets"]:
        parts += _section(dataset)
    if report.get("growth"):
        parts += ["## Growth", *_growth(report)]
    return "\n\n".join(parts)


def _section(dataset: Mapping[str, Any]) -> list[str]:
    # Saved reports have their names in alphabetical order.
    stores = {name: dataset["stores"][name] for name in STORES if name in dataset["stores"]}
    lines = [f"## {dataset['documents']:,} {dataset['source']['kind']} documents", _about(dataset)]
    lines += [_table(stores, _search_columns()), _table(stores, _filter_columns(stores[OURS]))]
    lines += [_table(stores, _building_columns()), _table(stores, _change_columns()), _own(stores[OURS])]
    if dataset["times_faster"]:
        lines += [
            "How many times faster the index is than each, in this run:",
            _ratios(dataset["times_faster"], ours=stores[OURS]),
        ]
    return lines


def _about(dataset: Mapping[str, Any]) -> str:
    source = dataset["source"]
    if source["kind"] == "real":
        what = f"Documents and queries of {', '.join(source['corpora'])}"
    else:
        what = f"{source['n_clusters']:,} clusters of width {source['width']}"
    return f"{what}; {dataset['dim']} dimensions, {dataset['queries']:,} queries for {dataset['k']} documents each."


def _table(stores: Mapping[str, Figures], columns: Sequence[Column]) -> str:
    header = ["store", *(title for title, _ in columns)]
    rows = [[_TITLE_BY_STORE[name], *(cell(one) for _, cell in columns)] for name, one in stores.items()]
    return markdown_table(header, rows)


def _search_columns() -> list[Column]:
    return [
        ("structure", lambda one: _structure(one["structure"])),
        ("one query, median ms", lambda one: number(one["single"]["p50_ms"])),
        ("99 %", lambda one: number(one["single"]["p99_ms"])),
        ("recall@10", lambda one: f"{one['single']['recall']:.4f}"),
        ("in a batch of 32", lambda one: number(one["batch"]["p50_ms"])),
        ("recall@10", lambda one: f"{one['batch']['recall']:.4f}"),
    ]


def _filter_columns(ours: Figures) -> list[Column]:
    columns: list[Column] = []
    for place, one in enumerate(ours["filters"]):
        columns.append((f"{percent(one['share'])} %, first ms", partial(_filter_time, place=place, name="first")))
        columns.append(("repeated", partial(_filter_time, place=place, name="repeated")))
        columns.append(("recall@10", partial(_filter_recall, place=place)))
    return columns


def _filter_time(figures: Figures, *, place: int, name: str) -> str:
    return number(figures["filters"][place][name]["p50_ms"])


def _filter_recall(figures: Figures, *, place: int) -> str:
    return f"{figures['filters'][place]['recall']:.4f}"


def _building_columns() -> list[Column]:
    return [
        ("build, s", lambda one: number(build_seconds(one))),
        ("peak memory, MiB", lambda one: mib(one["memory_peak_bytes"])),
        ("on disk, MiB", lambda one: mib(one["bytes"])),
        ("open, ms", lambda one: number(one["open_ms"])),
        ("and search once", lambda one: number(one["first_search_ms"])),
        ("memory while searching, MiB", lambda one: mib(one["searching_memory_bytes"])),
        ("of it not mapped", lambda one: mib(one["searching_own_memory_bytes"])),
    ]


def _change_columns() -> list[Column]:
    def times(name: str) -> Callable[[Figures], str]:
        return lambda one: number(one[name]["p50_ms"]) if name in one else NONE

    return [
        ("change one, ms", times("upsert")),
        ("then search", times("upsert_then_search")),
        ("remove one, ms", times("delete")),
        ("then search", times("delete_then_search")),
        ("compact, s", lambda one: number(one["compact_s"]) if one.get("compact_s") is not None else NONE),
    ]


def _own(ours: Figures) -> str:
    beyond = "unknown"
    if ours["memory_peak_bytes"] is not None:
        beyond = f"{mib(ours['memory_peak_bytes'] - ours['vectors_bytes'])} MiB"
    return (
        f"Of the index's build, {number(ours['documents_s'])} s are documents and vectors, "
        f"{number(ours['structure_s'])} s the search structure and {number(ours['fulltext_s'])} s full text. "
        f"The peak of memory less the size of the stored vectors: {beyond}."
    )


def _ratios(times_faster: Mapping[str, Mapping[str, float]], *, ours: Figures) -> str:
    stores = [name for name in STORES if name in times_faster]
    header = ["", *(_TITLE_BY_STORE[name] for name in stores)]
    rows = [[_cost_words(cost), *(number(times_faster[name].get(cost)) for name in stores)] for cost in costs(ours)]
    return markdown_table(header, rows)


def _growth(report: Mapping[str, Any]) -> list[str]:
    synthetic = [one for one in report["datasets"] if one["source"]["kind"] == "synthetic"]
    sizes = [one["documents"] for one in synthetic]
    names = [name for name in costs(synthetic[0]["stores"][OURS]) if name in report["growth"]]
    rows = [[_cost_words(name), f"{report['growth'][name]:.2f}"] for name in names]
    return [
        f"From {sizes[0]:,} to {sizes[-1]:,} documents, the index's costs grow like the number of documents to the "
        f"power of (1 is linear, 0 constant):",
        markdown_table(["cost", "power"], rows),
    ]


def _cost_words(name: str) -> str:
    if name.startswith("filter_"):
        return f"filter, {name.split('_')[1].replace('%', ' %')}"
    return _WORDS_BY_COST[name]


def _structure(structure: Mapping[str, Any]) -> str:
    named = structure.get("factory") or structure["name"]
    settings = [
        f"{key} {value}" for key, value in structure.items() if key in ("nprobes", "refine_factor", "ef_search")
    ]
    return ", ".join([str(named), *settings])
