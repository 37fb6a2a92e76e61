"""Measures what `routeret tune` gains: tune on drawn train queries, measure on another split, several draws a corpus.

    python eval/tune_study.py --data nfcorpus nl2bash --split dev --draws 20 --queries 100

Every corpus gets an index with the pack; where one of the pack's experts was trained on the corpus, the index has the
base alone, since tuning is for corpora that are new. Every draw tunes the index as a user would, is measured by
searching with BM25 and without, and is undone. An expert that is refused counts as a gain of 0. Results go to
eval/results/tune/<corpus>-<split>.json, draw by draw, and, over all corpora, to eval/results/tune/summary-<split>.json;
a call that is repeated measures the draws that are not there.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from earlier import earlier_values

from routeret.artifact import write_json
from routeret.datasets import Dataset, load_dataset
from routeret.evaluation.leaving_out import SHARED
from routeret.evaluation.provenance import installed_versions
from routeret.labelled import labelled_queries_of
from routeret.measures import NDCG, measure
from routeret.packs import DEFAULT_PACK, read_pack
from routeret.retriever import Retriever
from routeret.significance import paired_test
from routeret.training import TuneReport
from routeret.types import LEXICAL

HARM = 0.01

TUNED = "tuned"
"""What the expert of a draw is called; it is gone before the next one."""

WITH, WITHOUT = "with_bm25", "without_bm25"
SEARCHED: dict[str, tuple[str, ...]] = {WITH: (), WITHOUT: (LEXICAL,)}
"""What is switched off in either way of searching."""


def main() -> None:
    arguments = parsed_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        indexes = arguments.indexes or Path(temporary)
        for folder in arguments.data:
            results.append(study(folder, indexes=indexes, arguments=arguments))
    summary = summarised(results, arguments)
    write_json(arguments.out / f"summary-{arguments.split}.json", summary)
    for name, value in summary.items():
        print(f"{name}: {value}")


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What `routeret tune` gains.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="BEIR folders with a train split")
    parser.add_argument("--split", default="dev", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--draws", type=int, default=20, help="how often queries are drawn, a corpus")
    parser.add_argument("--queries", type=int, default=100, help="labelled queries a draw")
    parser.add_argument("--limit", type=int, help="measure on the first N queries of the split only")
    parser.add_argument("--pack", default=DEFAULT_PACK, help="name or folder of the pack, or 'none' for the base alone")
    parser.add_argument("--base", default="all-MiniLM-L6-v2", help="the base model where there is no pack")
    parser.add_argument("--force", action="store_true", help="install every expert: what refusing saves or costs")
    parser.add_argument("--indexes", type=Path, help="keep the indexes here and use those that are there")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tune")
    return parser.parse_args()


def study(folder: Path, *, indexes: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """All draws on one corpus; those that an earlier call wrote are not measured again."""
    dataset = load_dataset(folder)
    out = arguments.out / f"{dataset.name}-{arguments.split}.json"
    settings = {
        "corpus": dataset.name,
        "split": arguments.split,
        "n_labelled": arguments.queries,
        "forced": arguments.force,
        "limit": arguments.limit,
        "pack": arguments.pack,
        "base": arguments.base if arguments.pack == "none" else None,
    }
    result = earlier_values(out, settings)
    draws = result.get("draws", [])
    if draws and len(draws) >= arguments.draws:
        return result
    with opened(dataset, indexes, arguments) as retriever:
        before = {how: ndcg_by_query(retriever, dataset, arguments, disable=off) for how, off in SEARCHED.items()}
        result = {
            **settings,
            "experts": list(retriever.expert_names),
            "n_queries": len(before[WITH]),
            "before": {how: float(values.mean()) for how, values in before.items()},
            "draws": draws,
        }
        for seed in range(len(draws), arguments.draws):
            draws.append(one_draw(seed, retriever, dataset, before, arguments))
            write_json(out, result)
    return result


def one_draw(
    seed: int, retriever: Retriever, dataset: Dataset, before: dict[str, np.ndarray], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Tune on drawn queries, measure, and undo it."""
    labelled = labelled_queries_of(dataset.folder, split="train", limit=arguments.queries, seed=seed)
    report = retriever.tune(labelled, name=TUNED, seed=seed, force=arguments.force)
    gains = {how: np.zeros(len(values)) for how, values in before.items()}
    if report.installed:
        for how, off in SEARCHED.items():
            gains[how] = ndcg_by_query(retriever, dataset, arguments, disable=off) - before[how]
        retriever.remove_expert(TUNED)
    print(
        f"{dataset.name} draw {seed}: {'installed' if report.installed else 'refused'}, cross-validated "
        f"{report.before:.3f} -> {report.after:.3f}, expected {report.expected_gain:+.3f}, "
        f"on {arguments.split} {gains[WITH].mean():+.4f}, without BM25 {gains[WITHOUT].mean():+.4f}, "
        f"{report.seconds:.1f} s",
        flush=True,
    )
    tests = {how: paired_test(values).as_dict() for how, values in gains.items()}
    return {"seed": seed, **tests, "report": shortened(report)}


def opened(dataset: Dataset, indexes: Path, arguments: argparse.Namespace) -> Retriever:
    """The index of a corpus, built if it is not there, without an expert that knows the corpus."""
    path = indexes / dataset.name
    if not path.exists():
        build(dataset, path, arguments)
    retriever = Retriever.open(path)
    if TUNED in retriever.expert_names:
        # A call that was stopped between measuring and undoing has left it.
        retriever.remove_expert(TUNED)
    if has_seen(retriever):
        for name in retriever.expert_names:
            retriever.remove_expert(name)
    return retriever


def has_seen(retriever: Retriever) -> bool:
    """Whether an expert of the pool knows more than a few of the documents."""
    searcher = retriever.searcher
    known = searcher.known_documents.by(np.flatnonzero(searcher.index.live_documents))
    return bool((known.mean(axis=0) > SHARED).any())


def shortened(report: TuneReport) -> dict[str, Any]:
    """A report without the points of its curve's line."""
    values = report.as_dict()
    if values["curve"]:
        del values["curve"]["line"]
    return values | {"seconds": round(report.seconds, 1)}


def build(dataset: Dataset, path: Path, arguments: argparse.Namespace) -> None:
    """Write a new index of a corpus; it has its name once it is whole."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    made_of = {"base": arguments.base} if arguments.pack == "none" else {"pack": arguments.pack}
    with Retriever.create(unfinished, **made_of) as retriever:
        retriever.add(dataset.corpus, show_progress=True)
    unfinished.rename(path)


def ndcg_by_query(
    retriever: Retriever, dataset: Dataset, arguments: argparse.Namespace, *, disable: Sequence[str]
) -> np.ndarray:
    """nDCG@10 of every judged query of the split, shape (n_queries,)."""
    texts, qrels = dataset.split(arguments.split)
    ids = list(texts)[: arguments.limit]
    found = retriever.search_batch([texts[one] for one in ids], 10, disable=disable)
    run = {one: {hit.id: hit.score for hit in hits} for one, hits in zip(ids, found, strict=True)}
    values = measure(run, {one: qrels[one] for one in ids})
    return np.array([values[one][NDCG] for one in ids])


def summarised(results: list[dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures over all corpora and draws; every corpus counts the same."""
    draws = [draw for result in results for draw in result["draws"]]
    installed = [draw for draw in draws if draw["report"]["installed"]]
    return {
        "split": arguments.split,
        "n_labelled": arguments.queries,
        "forced": arguments.force,
        "pack": None if arguments.pack == "none" else read_pack(arguments.pack).name,
        "without_experts": sorted(result["corpus"] for result in results if not result["experts"]),
        "n_draws": len(draws),
        "n_installed": len(installed),
        **{how: gains_over_all(results, installed, how) for how in SEARCHED},
        "mean_seconds": round(float(np.mean([draw["report"]["seconds"] for draw in draws])), 1),
        "versions": installed_versions(),
    }


def gains_over_all(results: list[dict[str, Any]], installed: list[dict[str, Any]], how: str) -> dict[str, Any]:
    """Mean, median and worst gain, and how many of the installed experts harm."""
    gain_by_corpus = {
        result["corpus"]: float(np.mean([draw[how]["mean"] for draw in result["draws"]])) for result in results
    }
    harmful = [draw for draw in installed if draw[how]["mean"] < -HARM]
    return {
        "mean_gain": float(np.mean(list(gain_by_corpus.values()))),
        "median_gain": float(np.median(list(gain_by_corpus.values()))),
        "gain_by_corpus": gain_by_corpus,
        "worst_gain": min((draw[how]["mean"] for draw in installed), default=0.0),
        "n_harmful": len(harmful),
        "share_harmful": len(harmful) / max(1, len(installed)),
    }


if __name__ == "__main__":
    main()
