"""Write the tables of docs/experts.md from the reports in eval/results/experts: python eval/make_experts_page.py.

A study that has not been run, or not to its end, has no section, or one of what there is.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from routeret.evaluation import Report, means, update_document
from routeret.evaluation.layout import Cell, Table, markdown, signed, system_order

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "experts.md"
MARKER = "results"
RESULTS = ROOT / "eval" / "results" / "experts"
PAIR_MEASURES = {"f1_max": "F1max", "threshold": "at cosine", "ratio": "ratio", "roc_auc": "ROC AUC"}
"""Measures of pairs by their key in the reports; see routeret.pair_measures."""

Figures = Mapping[str, Any]


def main() -> None:
    update_document(PAGE, MARKER, content=content())


def content() -> str:
    """All sections whose study has been run."""
    sections = {
        "cocitation": cocitation,
        "work": work,
        "moe": mixtures,
        "lora": adapters,
        "document_tokens": document_tokens,
        "hard_negatives": hard_negatives,
        "mixture_retriever": mixture_retriever,
        "routerretriever": suite,
    }
    written = []
    for name, section in sections.items():
        file = RESULTS / f"{name}.json"
        if file.exists():
            written.append(section(json.loads(file.read_text(encoding="utf-8"))))
    return "\n\n".join(section for section in written if section)


def cocitation(values: Figures) -> str:
    """Encoders tuned on co-citations, beside the base and a linear expert."""
    runs = list(values["runs"].values())
    ndcg = values["base"]["ndcg@10"]
    rows: list[tuple[Cell, ...]] = [("base", ndcg, *pair_cells([values["base"]["pairs"]]), "")]
    forms = {
        "alone": "tuned, alone",
        "fused": "tuned, beside the base",
        "linear": "linear expert, of train queries",
        "linear_citing": "linear expert, of these and of citing sentences",
        "together": "tuned, beside the latter",
    }
    for name, words in forms.items():
        test = values["mean"][name]
        pairs = (None,) * len(PAIR_MEASURES)
        if name == "alone":
            pairs = pair_cells([run["pairs"] for run in runs])
        rows.append((words, ndcg + test["mean"], *pairs, interval(test)))
    seconds, mined = mean([run["seconds"] for run in runs]), values["mined"]
    table = Table(
        ("", "nDCG@10", *PAIR_MEASURES.values(), "difference in nDCG@10"),
        tuple(rows),
        (
            f"{counted(len(runs), 'training')}, {mined['pairs']} mined pairs, {mined['pairs_of_train_queries']} of "
            f"train queries and {mined['citing_sentences']} citing sentences; mean of {seconds / 60:.1f} minutes each",
        ),
    )
    return f"## Co-citations: acl_cocite, {values['split']} queries\n\n{markdown(table)}"


def pair_cells(pairs: Sequence[Figures]) -> tuple[Cell, ...]:
    return tuple(mean([one[key] for one in pairs]) for key in PAIR_MEASURES)


def work(values: Figures) -> str:
    """Objectives and scorers on work titles, and what a query costs."""
    parts = ["## Objectives and late interaction: work titles"]
    split = "test" if "rows" in values["splits"].get("test", {}) else "dev"
    by_row = values["splits"][split].get("rows", {})
    for name in sorted({name for sets in by_row.values() for name in sets}, reverse=True):
        rows: list[tuple[Cell, ...]] = []
        for row, sets in by_row.items():
            figures = sets.get(name)
            if figures is not None:
                tests = [figures.get(f"against_{other}", {}).get("map") for other in ("base", "many_to_many")]
                recall = values_of_candidates(values, split, row, name)
                measures = (figures["map"], figures["rp@10"], figures["ndcg@10"])
                rows.append((row.replace("/", ", scored "), *measures, *map(interval, tests), recall))
        header = (
            "trained, scored", "MAP", "RP@10", "nDCG@10", "MAP against the base", "MAP against many_to_many, pooled",
            "recall of 500 candidates",
        )  # fmt: skip
        # The base is there once, and a study that is under way has more trainings of some than of others.
        seeds = [sets[name]["n_seeds"] for row, sets in by_row.items() if name in sets and not row.startswith("base/")]
        fewer = f"{min(seeds)} to " if min(seeds) < max(seeds) else ""
        parts += [
            f"{name}, {split} queries; {fewer}{counted(max(seeds), 'training')} of each.",
            markdown(Table(header, tuple(rows))),
        ]
    if "latency" in values:
        parts.append(latency(values["latency"]))
    return "\n\n".join(parts)


def values_of_candidates(values: Figures, split: str, row: str, name: str) -> Cell:
    """Mean over seeds of the share of the best ten that is among 500 candidates found by pooled vectors."""
    config, scorer = row.split("/")
    runs = [run["rows"][scorer][name] for run in values["splits"][split]["runs"][config].values()]
    found = [run["recall_of_candidates"]["500"] for run in runs if "recall_of_candidates" in run]
    return mean(found) if found else None


def latency(values: Figures) -> str:
    ways = {
        "bi_encoder": "one vector",
        "late_over_all": "late interaction with all",
        "late_over_500": "with 500 candidates",
    }
    rows = tuple(
        (words, f"{values[key]['ms']:.1f}", f"{values[key].get('ratio', 1):.2f}") for key, words in ways.items()
    )
    notes = (
        f"{values['n_timed']} queries of {values['set']}, one at a time, {counted(values['threads'], 'thread')}; "
        f"{values['n_documents']} cached documents",
    )
    return markdown(Table(("", "ms a query", "ratio"), rows, notes))


def mixtures(values: Figures) -> str:
    """One mixture of experts beside one encoder a domain, and encoders beside experts of the query side.

    Nothing while the study is under way: its means come at its end.
    """
    if "mean" not in values:
        return ""
    base = values["mean"]["base"]
    header = (
        "",
        "alone",
        "beside the base",
        "training, min",
        "MB",
        "KB per 1000 documents",
        "documents to embed",
        "passes",
    )
    rows: list[tuple[Cell, ...]] = [("base", base["alone"], None, None, None, None, None, 1)]
    for system, figures in values["mean"].items():
        if system != "base":
            cost = values["costs"]["systems"][system]
            size = mean([run["bytes"] for run in values["runs"][system].values()]) / 1e6
            passes = cost["passes_a_query"]
            rows.append(
                (
                    system,
                    figures["alone"],
                    figures["fused"],
                    f"{figures['processor_seconds'] / 60:.1f}",
                    f"{size:.1f}",
                    round(cost["vector_bytes_per_1000_documents"] / 1000),
                    cost["documents_to_embed"],
                    passes["beside_base"] if isinstance(passes, dict) else passes,
                )
            )
    compared = tuple(
        (words, interval(forms["alone"]), interval(forms["fused"])) for words, forms in values["compared"].items()
    )
    seeds = max(figures["n_seeds"] for figures in values["mean"].values())
    about = (
        f"nDCG@10, mean over {', '.join(values['data'])}, {values['split']} queries; "
        f"{counted(seeds, 'training')} of each. Minutes are of one processor core at work, judging on dev included."
    )
    return "\n\n".join(
        [
            "## One mixture of experts, one encoder a domain, and experts of the query side",
            about,
            markdown(Table(header, tuple(rows))),
            markdown(Table(("difference in nDCG@10", "alone", "beside the base"), compared)),
            mixtures_pairs(values),
        ]
    )


def mixtures_pairs(values: Figures) -> str:
    """How well every system tells pairs that belong together from others, alone, on the mean over domains."""
    rows = tuple((system, *pair_cells(list(figures["domains"].values()))) for system, figures in values["mean"].items())
    return markdown(Table(("pairs, alone", *PAIR_MEASURES.values()), rows))


def adapters(values: Figures) -> str:
    """LoRA beside linear experts."""
    rows: list[tuple[Cell, ...]] = []
    for name, one in values["sets"].items():
        if "lora" in one:
            rows.append(
                (
                    name,
                    one["base"],
                    one["linear"]["ndcg"],
                    one["lora"]["ndcg"],
                    f"{one['linear']['seconds']:.0f}",
                    f"{one['lora']['seconds']:.0f}",
                    f"{one['linear']['bytes'] / 1e6:.2f}",
                    f"{one['lora']['bytes'] / 1e6:.2f}",
                    f"{one['linear']['query']['ratio']:.2f}",
                    f"{one['lora']['query']['ratio']:.2f}",
                )
            )
    header = (
        "nDCG@10 on dev", "base", "linear", "LoRA", "linear, s", "LoRA, s", "linear, MB", "LoRA, MB",
        "query, linear", "query, LoRA",
    )  # fmt: skip
    notes = ("seconds of training; a query's time is relative to the base alone, by PyTorch, on the same machine",)
    return f"## Linear and LoRA experts\n\n{markdown(Table(header, tuple(rows), notes))}"


def document_tokens(values: Figures) -> str:
    """Documents compared by one vector and by one a token, with the base as it is."""
    rows: list[tuple[Cell, ...]] = []
    for name, one in values["sets"].items():
        ndcg, n_documents = one["base"]["ndcg"], one["n_documents"]
        rows.append((name, "one vector of each", ndcg, None, None, kilobytes(one["base"]["bytes"], n_documents)))
        for way, found in one["ways"].items():
            of_way = (ndcg + found["alone"]["mean"], interval(found["alone"]), interval(found["fused"]))
            rows.append((name, way, *of_way, kilobytes(found["bytes"], n_documents)))
    header = (
        f"{values['split']} queries", "compared by", "nDCG@10 alone", "difference alone", "difference beside the base",
        "KB a document",
    )  # fmt: skip
    notes = (
        "the base as it is, trained with one vector a text; the share beside the base is the best on these queries",
    )
    return f"## Token vectors of documents\n\n{markdown(Table(header, tuple(rows), notes))}"


def hard_negatives(values: Figures) -> str:
    """Hard negatives of linear experts beside negatives by chance."""
    controls = ("by chance", "by chance, as many")
    rows: list[tuple[Cell, ...]] = []
    for name, one in values["sets"].items():
        rows.append((name, "base", one["base"], None, None))
        for way, found in one["ways"].items():
            tests = [interval(found["against"][control]) if way != control else None for control in controls]
            rows.append((name, way, one["base"] + found["gain"]["mean"], *tests))
    header = (f"{values['split']} queries", "negatives", "nDCG@10", *(f"against {control}" for control in controls))
    n_drawn, seeds = values["recipe"]["n_negatives"], counted(values["n_seeds"], "training")
    notes = (f"linear experts, {n_drawn} negatives drawn a step, {seeds} of each",)
    return f"## Hard negatives\n\n{markdown(Table(header, tuple(rows), notes))}"


def mixture_retriever(values: Figures) -> str:
    """A mixture behind the router, over one index of all its domains."""
    report = values["report"]
    sets = list(report["datasets"])
    names = system_order(set(report["mean"]))
    rows = tuple(
        (name, *(report["datasets"][one]["systems"][name]["ndcg@10"] for one in sets), report["mean"][name]["ndcg@10"])
        for name in names
    )
    told = mean(list(values["documents"]["accuracy"].values()))
    notes = (
        f"one index of {len(sets)} corpora, {values['split']} queries, nDCG@10, 1 training; words told its domain for "
        f"{100 * told:.1f} % of held-out documents",
    )
    return f"## A mixture behind the router\n\n{markdown(Table(('', *sets, 'mean'), rows, notes))}"


def kilobytes(size: int, n_documents: int) -> str:
    return f"{size / n_documents / 1000:.2f}"


def suite(values: Figures) -> str:
    """The experiment of RouterRetriever."""
    reports = {name: Report.from_json(report) for name, report in values["reports"].items()}
    return f"## RouterRetriever's experiment, with LoRA experts\n\n{markdown(means(reports))}"


def interval(test: Figures | None) -> str:
    """A mean difference with its 95 % interval."""
    return "-" if test is None else f"{signed(test['mean'])} ({signed(test['low'])} to {signed(test['high'])})"


def counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
