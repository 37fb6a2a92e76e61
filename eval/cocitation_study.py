"""Does tuning on co-citations help? Mined from acl_citances without the papers that are asked about in acl_cocite.

    python eval/cocitation_study.py --seeds 5

Who cites whom stands in the ids of acl_citances' training queries. All lines that the dev and test queries of
acl_cocite take part in, as citing or as cited papers, are left out before pairs are mined. Every seed trains both
towers on the pairs; the checkpoint and the share beside the base are chosen on the dev queries, and the test queries
are measured once. Results go to eval/results/experts/cocitation.json.
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
from routeret.evaluation.provenance import installed_versions
from routeret.experts import load_expert
from routeret.mining import graph_of_pairs, mine_cocitations
from routeret.pair_measures import pair_report
from routeret.significance import paired_test
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.towers import tower_gains
from routeret.training.two_tower import train_two_tower

DATA = Path(__file__).parent / "data"
OUT = Path(__file__).parent / "results" / "experts" / "cocitation.json"
RECIPE = TowerRecipe(checkpoints=(50, 100, 150, 200), learning_rate=1e-4, batch=32, max_tokens=64)


def main() -> None:
    parser = argparse.ArgumentParser(description="What tuning on co-citations gains.")
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings")
    parser.add_argument("--split", default="test", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    dataset = load_dataset(DATA / "acl_cocite")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        mined = mine(folder)
        task = TowerTask(graph_of_pairs(folder / "pairs.jsonl", DATA / "acl_citances"))
        base = TorchEncoder("all-MiniLM-L6-v2")
        before = embed_dataset(dataset, base, splits=("train", "dev", arguments.split))
        runs = [one_seed(seed, task, folder, base, before, split=arguments.split) for seed in range(arguments.seeds)]
    values = {
        "split": arguments.split,
        "mined": mined,
        "recipe": RECIPE.as_dict(),
        "base": scores_of(before, split=arguments.split),
        "runs": [{name: value for name, value in run.items() if name != "gains"} for run in runs],
        "mean": {
            name: {"difference": paired_test(np.mean([run["gains"][name] for run in runs], axis=0)).as_dict()}
            for name in ("alone", "fused")
        },
        "versions": installed_versions(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, values)
    print(json.dumps(values["mean"], indent=2))


def mine(folder: Path) -> dict[str, Any]:
    """Write the pairs; gives what was mined."""
    cocite = load_dataset(DATA / "acl_cocite")
    held_out = {query for split in ("dev", "test") for query in cocite.split(split)[0]}
    queries, _ = load_dataset(DATA / "acl_citances").split("train")
    edges = [dict(zip(("citing", "cited"), query.split("__"), strict=False)) for query in queries]
    (folder / "edges.jsonl").write_text("".join(json.dumps(edge) + "\n" for edge in edges), encoding="utf-8")
    report = mine_cocitations(
        folder / "edges.jsonl", out=folder / "pairs.jsonl", corpus=DATA / "acl_citances", hold_out=held_out
    )
    values = report.as_dict()
    return {name: value for name, value in values.items() if not isinstance(value, str | list)}


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
        "gains": {"alone": gains[:, 0], "fused": gains[:, 1]},
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
