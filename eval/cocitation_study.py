"""Does tuning on co-citations help? Mined from acl_citances without the papers that are asked about in acl_cocite.

    python eval/cocitation_study.py --seeds 5

Who cites whom stands in the ids of acl_citances' training queries. All lines that the dev and test queries of
acl_cocite take part in, as citing or as cited papers, are left out before pairs are mined. The judgements of
acl_cocite's train queries, which are co-citations of a larger graph, join them. A second task are the citing sentences
themselves with the papers that they cite, of the same lines. Every seed trains both towers on the two tasks; the
checkpoint and the share beside the base are chosen on the dev queries, and the test queries are measured once. Beside
it stand linear experts of the query side, trained on the train queries of acl_cocite, alone and with the citing
sentences, and the tower beside the latter, as a pool holds both. Results go to eval/results/experts/cocitation.json,
seed by seed; a call that is repeated measures the seeds that are not there.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from earlier import earlier_values

from routeret.artifact import write_json
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.evaluation.provenance import installed_versions
from routeret.experts import LinearExpert, load_expert
from routeret.mining import BipartiteGraph, graph_of_pairs, graph_of_qrels, mine_cocitations
from routeret.pair_measures import pair_report
from routeret.routing import STRENGTHS
from routeret.significance import paired_test
from routeret.training.choosing import choose, score_checkpoints
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.linear import LinearRecipe, fit_linear
from routeret.training.measuring import divide
from routeret.training.scoring import JudgedQueries
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.towers import tower_gains
from routeret.training.training_set import TrainingSet
from routeret.training.two_tower import train_two_tower
from routeret.types import FloatArray, QueryBatch

DATA = Path(__file__).parent / "data"
OUT = Path(__file__).parent / "results" / "experts" / "cocitation.json"
RECIPE = TowerRecipe(checkpoints=(75, 150), learning_rate=1e-4, batch=32, max_tokens=64)
LINEAR = LinearRecipe()
CITING_WEIGHT = 0.3
"""Of the loss of citing sentences and cited papers, beside that of pairs of papers."""
FORMS = ("alone", "fused", "linear", "linear_citing", "together")
"""The tower, alone and beside the base; linear experts, without and with citing sentences; tower beside the latter."""


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What is trained on; the papers that dev and test queries ask about have no part in it.

    Attributes:
        mined: how many lines and pairs there are.
        tasks: of towers.
        papers: train queries of acl_cocite, for linear experts.
        citing: citing sentences with the papers that they cite, for linear experts.
    """

    mined: dict[str, Any]
    tasks: list[TowerTask]
    papers: TrainingSet
    citing: TrainingSet


def main() -> None:
    arguments = parsed_arguments()
    dataset = load_dataset(DATA / "acl_cocite")
    settings = {
        "split": arguments.split,
        "base_model": str(arguments.base),
        "recipe": RECIPE.as_dict(),
        "linear_recipe": LINEAR.as_dict(),
        "citing_weight": CITING_WEIGHT,
    }
    runs = earlier_values(arguments.out, settings).get("runs", {})
    base = TorchEncoder(arguments.base, device=arguments.device)
    splits = tuple(dict.fromkeys(("train", "dev", arguments.split)))
    before = embed_dataset(dataset, base, splits=splits, cache=arguments.cache)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sources = sources_of(folder, dataset, base, before, cache=arguments.cache)
        for seed in range(arguments.seeds):
            if str(seed) not in runs:
                runs[str(seed)] = one_seed(seed, sources, folder, base, before, split=arguments.split)
                keep(arguments.out, {**settings, "mined": sources.mined, "runs": runs}, before)
    print(json.dumps(json.loads(arguments.out.read_text(encoding="utf-8"))["mean"], indent=2))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What tuning on co-citations gains.")
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings")
    parser.add_argument("--split", default="test", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of a model")
    parser.add_argument("--device", help="where it runs")
    parser.add_argument("--cache", type=Path, help="folder where the base's vectors are kept between calls")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def keep(out: Path, values: dict[str, Any], before: EmbeddedSet) -> None:
    """Write what is known so far: every seed, and the gains averaged over seeds with their tests."""
    runs = list(values["runs"].values())
    mean = {form: paired_test(np.mean([run[form]["gains"] for run in runs], axis=0)).as_dict() for form in FORMS}
    out.parent.mkdir(parents=True, exist_ok=True)
    base = scores_of(before, split=values["split"])
    write_json(out, {**values, "base": base, "n_seeds": len(runs), "mean": mean, "versions": installed_versions()})


def sources_of(
    folder: Path, cocite: Dataset, base: TorchEncoder, before: EmbeddedSet, *, cache: Path | None
) -> Sources:
    """Mine the pairs into a folder, and take the citing sentences of the same lines."""
    citances = load_dataset(DATA / "acl_citances")
    held_out = {query for split in ("dev", "test") for query in cocite.split(split)[0]}
    queries, qrels = citances.split("train")
    mined = mine(folder, list(queries), cocite, held_out)
    pairs = graph_of_pairs(folder / "pairs.jsonl", citances.folder)
    kept = [query for query in queries if held_out.isdisjoint(query.split("__")) and held_out.isdisjoint(qrels[query])]
    graph = graph_of_qrels(citances, "train")
    is_kept = np.isin(np.array(graph.left_ids), kept)[graph.edges[:, 0]]
    citing = BipartiteGraph.from_edges(
        "citing",
        graph.edges[is_kept],
        left=dict(zip(graph.left_ids, graph.left_texts, strict=True)),
        right=dict(zip(graph.right_ids, graph.right_texts, strict=True)),
    )
    embedded = embed_dataset(citances, base, splits=("train",), cache=cache, show_progress=True)
    asked = embedded.queries_by_split["train"]
    return Sources(
        mined={**mined, "citing_sentences": len(kept)},
        tasks=[TowerTask(pairs), TowerTask(citing, weight=CITING_WEIGHT)],
        papers=before.training_set(divide(before).train),
        citing=embedded.training_set(asked.take(np.flatnonzero(np.isin(np.array(asked.ids), kept)))),
    )


def mine(folder: Path, lines: Sequence[str], cocite: Dataset, held_out: set[str]) -> dict[str, Any]:
    """Write the pairs; gives what was mined, and how many pairs the judgements of train queries add."""
    edges = [dict(zip(("citing", "cited"), line.split("__"), strict=False)) for line in lines]
    (folder / "edges.jsonl").write_text("".join(json.dumps(edge) + "\n" for edge in edges), encoding="utf-8")
    file = folder / "pairs.jsonl"
    report = mine_cocitations(folder / "edges.jsonl", out=file, corpus=DATA / "acl_citances", hold_out=held_out)
    pairs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    known = {(pair["a"], pair["b"]) for pair in pairs}
    _, qrels = cocite.split("train")
    judged_pairs = {tuple(sorted((query, paper))) for query, grades in qrels.items() for paper in grades}
    added = sorted(pair for pair in judged_pairs - known if held_out.isdisjoint(pair))
    pairs += [{"a": a, "b": b, "count": 1} for a, b in added]
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    numbers = {name: value for name, value in report.as_dict().items() if not isinstance(value, str | list)}
    return {**numbers, "pairs_of_train_queries": len(added)}


def one_seed(
    seed: int, sources: Sources, folder: Path, base: TorchEncoder, before: EmbeddedSet, *, split: str
) -> dict[str, Any]:
    """Train with a seed and measure everything that was trained."""
    tower, run = tuned(seed, sources, folder, base, before, split=split)
    _, run["linear"] = linear([sources.papers], base, before, seed=seed, split=split)
    adapter, run["linear_citing"] = linear([sources.papers, sources.citing], base, before, seed=seed, split=split)
    run["together"] = together(adapter, tower, before, run["linear_citing"]["gains"], split=split)
    return run


def tuned(
    seed: int, sources: Sources, folder: Path, base: TorchEncoder, before: EmbeddedSet, *, split: str
) -> tuple[EmbeddedSet, dict[str, Any]]:
    """Train both towers; gives the set as they embed it, and what they are worth alone and beside the base."""
    start = time.perf_counter()
    out = folder / f"expert-{seed}"
    report = train_two_tower(
        "cocitation",
        sources.tasks,
        [DATA / "acl_cocite"],
        out=out,
        base=base,
        recipe=RECIPE,
        seed=seed,
        force=True,
        show_progress=True,
    )
    seconds = time.perf_counter() - start
    expert = load_expert(out)
    splits = tuple(dict.fromkeys(("dev", split)))
    after = embed_dataset(load_dataset(DATA / "acl_cocite"), expert.encoder, splits=splits)
    queries, twins = before.queries_by_split[split], after.queries_by_split[split]
    gains = tower_gains(before.judged(queries), after.judged(twins), shares=(1.0, expert.strength))
    return after, {
        "seed": seed,
        "seconds": seconds,
        "steps": report.steps,
        "history": {str(steps): value for steps, value in report.history.items()},
        "strength": expert.strength,
        "dev": {"base": report.base, "alone": report.alone, "fused": report.fused},
        "pairs": scores_of(after, split=split)["pairs"],
        "alone": {"gain": float(gains[:, 0].mean()), "gains": gains[:, 0].tolist()},
        "fused": {"gain": float(gains[:, 1].mean()), "gains": gains[:, 1].tolist()},
    }


def linear(
    sets: Sequence[TrainingSet], base: TorchEncoder, before: EmbeddedSet, *, seed: int, split: str
) -> tuple[LinearExpert, dict[str, Any]]:
    """Train a linear expert on the queries of some sets, chosen on dev; gives what it gains over the base."""
    start = time.perf_counter()
    dev, asked = before.judged(divide(before).dev), before.judged(before.queries_by_split[split])
    fits = fit_linear(sets, anchors=None, recipe=LINEAR, seed=seed, unit_length=base.space.unit_length)
    choice = choose(score_checkpoints(fits, [dev]), seed=seed)
    expert = LinearExpert(
        name="linear",
        weight=fits[choice.fit].weight,
        strength=choice.strength,
        space=base.space,
        query_tower=base.query_tower,
        known_documents=before.content_keys,
    )
    seconds = time.perf_counter() - start
    gains = asked.ndcg_of(adapted(expert, before, split).queries) - asked.ndcg_of(asked.queries)
    figures = {"seconds": seconds, "strength": choice.strength, "gain": float(gains.mean()), "gains": gains.tolist()}
    return expert, figures


def adapted(expert: LinearExpert, before: EmbeddedSet, split: str) -> JudgedQueries:
    """The queries of a split as an expert writes them, over the base's documents."""
    queries = before.queries_by_split[split]
    strengths = np.full(len(queries), expert.strength, dtype=np.float32)
    vectors = expert.encode_queries(QueryBatch(queries.texts, queries.vectors), strengths=strengths)
    return before.judged(replace(queries, vectors=vectors))


def together(
    expert: LinearExpert, after: EmbeddedSet, before: EmbeddedSet, gains_of_expert: Sequence[float], *, split: str
) -> dict[str, Any]:
    """What a tower beside a linear expert gains over the base; the tower's share is chosen on dev, and may be none."""

    def gains(of_split: str, shares: Sequence[float]) -> FloatArray:
        twins = after.judged(after.queries_by_split[of_split])
        return tower_gains(adapted(expert, before, of_split), twins, shares=shares)

    on_dev = gains("dev", STRENGTHS).mean(axis=0)
    share = STRENGTHS[int(on_dev.argmax())] if on_dev.max() > 0 else 0.0
    found = np.array(gains_of_expert) + (gains(split, (share,))[:, 0] if share else 0)
    return {"share": share, "gain": float(found.mean()), "gains": found.tolist()}


def scores_of(embedded: EmbeddedSet, *, split: str) -> dict[str, Any]:
    """nDCG@10, and the measures of pairs: every relevant document against one that is not, drawn by chance."""
    queries = embedded.queries_by_split[split]
    rng = np.random.default_rng(0)
    scores, labels = [], []
    for number, relevant in enumerate(queries.relevant):
        others = np.setdiff1d(np.arange(len(embedded.documents)), relevant)
        rows = np.concatenate([relevant, rng.choice(others, len(relevant), replace=False)])
        scores.append(embedded.documents[rows] @ queries.vectors[number])
        labels.append(np.arange(len(rows)) < len(relevant))
    pairs = pair_report(np.concatenate(scores), np.concatenate(labels)).as_dict()
    judged = embedded.judged(queries)
    return {"ndcg@10": float(judged.ndcg_of(judged.queries).mean()), "pairs": pairs}


if __name__ == "__main__":
    main()
