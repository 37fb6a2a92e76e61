"""Does tuning on co-citations help? Mined from acl_citances without the papers that are asked about in acl_cocite.

    python eval/cocitation_study.py --seeds 5

Who cites whom stands in the ids of acl_citances' training queries. All lines that the dev and test queries of
acl_cocite take part in, as citing or as cited papers, are left out before pairs are mined. The judgements of
acl_cocite's train queries, which are co-citations of a larger graph, join them. Every seed trains both towers on the
pairs; the checkpoint and the share beside the base are chosen on the dev queries, and the test queries are measured
once. Beside it stands a linear expert of the query side, trained on the same train queries. Results go to
eval/results/experts/cocitation.json, seed by seed; a call that is repeated measures the seeds that are not there.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import write_json
from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.errors import InputError
from routeret.evaluation.provenance import installed_versions
from routeret.experts import load_expert
from routeret.mining import graph_of_pairs, mine_cocitations
from routeret.pair_measures import pair_report
from routeret.significance import paired_test
from routeret.training.choosing import choose, score_checkpoints
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.linear import LinearRecipe, fit_linear
from routeret.training.measuring import divide
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.towers import tower_gains
from routeret.training.two_tower import train_two_tower

DATA = Path(__file__).parent / "data"
OUT = Path(__file__).parent / "results" / "experts" / "cocitation.json"
RECIPE = TowerRecipe(checkpoints=(75, 150), learning_rate=1e-4, batch=32, max_tokens=64)


def main() -> None:
    parser = argparse.ArgumentParser(description="What tuning on co-citations gains.")
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings")
    parser.add_argument("--split", default="test", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    dataset = load_dataset(DATA / "acl_cocite")
    settings = {"split": arguments.split, "recipe": RECIPE.as_dict()}
    runs = kept_runs(arguments.out, settings)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        mined = mine(folder)
        task = TowerTask(graph_of_pairs(folder / "pairs.jsonl", DATA / "acl_citances"))
        base = TorchEncoder("all-MiniLM-L6-v2")
        before = embed_dataset(dataset, base, splits=tuple(dict.fromkeys(("train", "dev", arguments.split))))
        for seed in range(arguments.seeds):
            if str(seed) not in runs:
                run = one_seed(seed, task, folder, base, before, split=arguments.split)
                runs[str(seed)] = run | {"linear": linear(before, base, seed=seed, split=arguments.split)}
                keep(arguments.out, {**settings, "mined": mined, "runs": runs}, before)
    print(json.dumps(json.loads(arguments.out.read_text(encoding="utf-8"))["mean"], indent=2))


def kept_runs(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The seeds that were measured already, if with the same settings."""
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    differing = [name for name in settings if found and found.get(name) != settings[name]]
    if differing:
        raise InputError(f"{out} holds runs with another {differing[0]}; remove it, or choose another --out")
    return dict(found.get("runs", {}))


def keep(out: Path, values: dict[str, Any], before: EmbeddedSet) -> None:
    """Write what is known so far: every seed, and the gains averaged over seeds with their tests."""
    runs = list(values["runs"].values())
    gains = {
        "alone": [run["gains"]["alone"] for run in runs],
        "fused": [run["gains"]["fused"] for run in runs],
        "linear": [run["linear"]["gains"] for run in runs],
    }
    mean = {name: paired_test(np.mean(found, axis=0)).as_dict() for name, found in gains.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    base = scores_of(before, split=values["split"])
    write_json(out, {**values, "base": base, "n_seeds": len(runs), "mean": mean, "versions": installed_versions()})


def mine(folder: Path) -> dict[str, Any]:
    """Write the pairs; gives what was mined, and how many pairs the judgements of train queries add."""
    cocite = load_dataset(DATA / "acl_cocite")
    held_out = {query for split in ("dev", "test") for query in cocite.split(split)[0]}
    queries, _ = load_dataset(DATA / "acl_citances").split("train")
    edges = [dict(zip(("citing", "cited"), query.split("__"), strict=False)) for query in queries]
    (folder / "edges.jsonl").write_text("".join(json.dumps(edge) + "\n" for edge in edges), encoding="utf-8")
    pairs = folder / "pairs.jsonl"
    report = mine_cocitations(folder / "edges.jsonl", out=pairs, corpus=DATA / "acl_citances", hold_out=held_out)
    lines = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    known = {(line["a"], line["b"]) for line in lines}
    _, qrels = cocite.split("train")
    judged_pairs = {tuple(sorted((query, paper))) for query, grades in qrels.items() for paper in grades}
    added = sorted(pair for pair in judged_pairs - known if held_out.isdisjoint(pair))
    lines += [{"a": a, "b": b, "count": 1} for a, b in added]
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    numbers = {name: value for name, value in report.as_dict().items() if not isinstance(value, str | list)}
    return {**numbers, "pairs_of_train_queries": len(added)}


def linear(before: EmbeddedSet, base: TorchEncoder, *, seed: int, split: str) -> dict[str, Any]:
    """What a linear expert gains over the base, trained on the train queries of the set and chosen on dev."""
    start = time.perf_counter()
    division, queries = divide(before), before.queries_by_split[split]
    dev, asked = before.judged(division.dev), before.judged(queries)
    fits = fit_linear([before.training_set(division.train)], anchors=None, recipe=LinearRecipe(), seed=seed)
    choice = choose(score_checkpoints(fits, [dev]), seed=seed)
    weight = fits[choice.fit].weight
    seconds = time.perf_counter() - start
    ndcg = asked.ndcg_at_strengths(weight, (choice.strength,), unit_length=base.space.unit_length)[:, 0]
    gains = (ndcg - asked.ndcg_of(asked.queries)).tolist()
    return {"seconds": seconds, "strength": choice.strength, "gain": float(np.mean(gains)), "gains": gains}


def one_seed(
    seed: int, task: TowerTask, folder: Path, base: TorchEncoder, before: EmbeddedSet, *, split: str
) -> dict[str, Any]:
    """Train with a seed and measure the expert, alone and beside the base."""
    start = time.perf_counter()
    out = folder / f"expert-{seed}"
    report = train_two_tower(
        "cocitation",
        [task],
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
    after = embed_dataset(load_dataset(DATA / "acl_cocite"), expert.encoder, splits=(split,))
    queries, twins = before.queries_by_split[split], after.queries_by_split[split]
    gains = tower_gains(before.judged(queries), after.judged(twins), shares=(1.0, expert.strength))
    return {
        "seed": seed,
        "seconds": seconds,
        "steps": report.steps,
        "history": {str(steps): value for steps, value in report.history.items()},
        "strength": expert.strength,
        "dev": {"base": report.base, "alone": report.alone, "fused": report.fused},
        "alone": scores_of(after, split=split),
        "gain_alone": float(gains[:, 0].mean()),
        "gain_fused": float(gains[:, 1].mean()),
        "gains": {"alone": gains[:, 0].tolist(), "fused": gains[:, 1].tolist()},
    }


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
