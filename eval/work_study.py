"""Many-to-many InfoNCE and soft late interaction on work titles: the ablation of Unified Work Embeddings (2511.07969).

    python eval/work_study.py --split dev --zero-shot FOLDER
    python eval/work_study.py --split test --zero-shot FOLDER
    python eval/work_study.py --latency --zero-shot FOLDER

Both towers are trained on esco_titles: alternative titles with their occupations (train queries), and sentences of the
occupations' descriptions with their titles. Trained are three objectives with pooled vectors, then many-to-many with
MaxSim and with soft late interaction. Steps, and on the test split also the temperature of the soft interaction, are
chosen on the dev queries of esco_titles. A folder of another set tells what is gained where nothing was trained on.

Every run is kept at once in eval/results/experts/work.json, with its values by query in a folder beside it, so that an
interrupted study goes on where it stopped; --again measures anew. Values by query are averaged over seeds and tested
against the base, against one-way and against many-to-many InfoNCE, all three with pooled vectors.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import medians

from routeret.artifact import safetensors_of, write_file, write_json
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.errors import InputError
from routeret.evaluation.provenance import installed_versions
from routeret.experts.tower import TowerQueries
from routeret.index.structures.best import top_k
from routeret.late_interaction import PooledTargets, soft_late_interaction
from routeret.measures import measure, rp_at_k
from routeret.mining import graph_of_qrels, sentence_graph
from routeret.significance import paired_test
from routeret.training.tower import Tower
from routeret.training.tower_fit import fit_to_tasks
from routeret.training.tower_recipe import Objective, TowerRecipe, TowerTask
from routeret.training.tower_report import DevSet, judged
from routeret.types import FloatArray, IntArray, Qrels

TRAINED_ON = Path(__file__).parent / "data" / "esco_titles"
OUT = Path(__file__).parent / "results" / "experts" / "work.json"
RECIPE = TowerRecipe(checkpoints=(50, 100), learning_rate=1e-4, batch=32, max_tokens=48)
WEIGHTS = {"titles": 1.0, "sentences": 0.5}
SOFT = (0.1, 0.3, 1.0)
MAXSIM_TRAINED_AT = 1e-3
"""MaxSim is trained at a temperature at which the best token has all the weight: at 0 there would be no softmax."""

SCORERS: dict[str, float | None] = {"pooled": None, "maxsim": 0.0, **{f"soft_{value}": value for value in SOFT}}
"""Temperature of the interaction, by how queries are compared with documents."""
TRAINED: dict[str, tuple[Objective, str]] = {
    "one_way": ("one_way", "pooled"),
    "symmetric": ("symmetric", "pooled"),
    "many_to_many": ("many_to_many", "pooled"),
    "maxsim": ("many_to_many", "maxsim"),
    **{f"soft_{value}": ("many_to_many", f"soft_{value}") for value in SOFT},
}
"""Objective and scorer of every training."""
BASE = "base"
CONFIGS = (BASE, "one_way", "symmetric", "many_to_many", "maxsim", "soft")
SCORED_ALL_WAYS = (BASE, "many_to_many")
REFERENCES = (BASE, "one_way", "many_to_many")
"""What every row is tested against, each with pooled vectors."""

MEASURED = ("map", "rp@10", "ndcg@10")
HITS = 1000
SHORTCUTS = (100, 200, 500)
PRODUCT = 500
"""How many candidates the retriever scores by late interaction."""
QUERIES_AT_ONCE = 256
TIMED_QUERIES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The judged queries of one split, and all documents, as texts."""

    name: str
    split: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Qrels

    @classmethod
    def of(cls, dataset: Dataset, split: str, encoder: TorchEncoder) -> "Asked":
        """Take a split, or test where the set does not have it."""
        split = split if split in dataset.splits else "test"
        dataset.check(split)
        join = encoder.space.joined
        documents = {one.id: join(title=one.title, text=one.text) for one in dataset.load_documents()}
        return cls(dataset.name, split, documents, *dataset.split(split))


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What all runs share."""

    encoder: TorchEncoder
    tasks: list[TowerTask]
    dev: DevSet
    sets: list[Asked]
    recipe: TowerRecipe

    def settings(self, config: str, scorers: Sequence[str]) -> dict[str, Any]:
        """Everything that decides what a run gives, as JSON values."""
        return {
            "model": self.encoder.space.fingerprint,
            "recipe": recipe_of(config, self.recipe).as_dict() if config != BASE else None,
            "weights": {task.graph.name: task.weight for task in self.tasks},
            "sets": {asked.name: asked.split for asked in self.sets},
            "scorers": list(scorers),
        }


class Results:
    """The file of the study, and the values by query beside it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.parent / f"{out.stem}-values"
        self.values: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}

    def runs(self, split: str) -> dict[str, dict[str, Any]]:
        """Runs by configuration and seed."""
        found: dict[str, dict[str, Any]] = self.values.get("splits", {}).get(split, {}).get("runs", {})
        return found

    def has(self, split: str, config: str, seed: int, *, settings: dict[str, Any]) -> bool:
        """Whether a run is there.

        Raises:
            InputError: it is there, with other settings.
        """
        run = self.runs(split).get(config, {}).get(str(seed))
        if run is None or not self._file(split, config, seed).exists():
            return False
        if run["settings"] != settings:
            raise InputError(
                f"{self.out} holds {config!r} of seed {seed} on {split} with settings {run['settings']}, now they are "
                f"{settings}; measure --again, or choose another --out"
            )
        return True

    def keep(self, split: str, config: str, seed: int, run: dict[str, Any], arrays: dict[str, FloatArray]) -> None:
        """Put a run into the file, beside those that are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(self._file(split, config, seed), safetensors_of(arrays))
        of_split = self.values.setdefault("splits", {}).setdefault(split, {})
        of_split.setdefault("runs", {}).setdefault(config, {})[str(seed)] = run
        self.write()

    def write(self) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.out, {**self.values, "versions": installed_versions()})

    def by_seed(self, split: str, config: str, scorer: str, name: str) -> FloatArray | None:
        """Values, shape (n_seeds, n_queries, n_measures); None where nothing was measured."""
        from safetensors.numpy import load_file

        files = [self._file(split, config, int(seed)) for seed in self.runs(split).get(config, {})]
        found = [load_file(file).get(f"{scorer}/{name}") for file in files if file.exists()]
        kept = [values.astype(np.float64) for values in found if values is not None]
        return np.stack(kept) if kept else None

    def best_soft(self, rows: Sequence[tuple[str, str]]) -> str:
        """The soft scorer of some rows (configuration and scorer) with the best nDCG@10 on dev, over shared seeds.

        Raises:
            InputError: none of the rows was measured on dev.
        """
        runs = self.runs("dev")
        found = {
            (config, scorer): {seed: run["rows"][scorer] for seed, run in runs[config].items() if scorer in run["rows"]}
            for config, scorer in rows
            if config in runs
        }
        seeds = set.intersection(*map(set, found.values())) if found else set()
        if not seeds:
            raise InputError(
                f"{self.out} has no dev figures, of one seed at least, of {[config for config, _ in rows]}; run "
                f"--split dev first: the temperature is chosen there"
            )
        name = TRAINED_ON.name
        means = {row: np.mean([by_seed[seed][name]["ndcg@10"] for seed in seeds]) for row, by_seed in found.items()}
        return max(means, key=lambda row: means[row])[1]

    def _file(self, split: str, config: str, seed: int) -> Path:
        return self.folder / f"{split}-{config}-{seed}.safetensors"


def main() -> None:
    arguments = parsed_arguments()
    encoder = TorchEncoder(arguments.base, device=arguments.device)
    results = Results(arguments.out)
    if arguments.latency:
        if arguments.zero_shot is None:
            raise InputError("--latency needs a corpus to search; give a folder with --zero-shot")
        asked = Asked.of(load_dataset(arguments.zero_shot), arguments.split, encoder)
        results.values["latency"] = latency(encoder, asked, temperature=arguments.temperature)
        results.write()
        print(json.dumps(results.values["latency"], indent=1))
        return
    study(results, bench_of(arguments, encoder), arguments)
    results.values["splits"][arguments.split]["rows"] = rows = tested(results, arguments.split)
    results.write()
    print_table(rows)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What objectives and soft late interaction gain on work titles.")
    parser.add_argument("--split", default="test", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings of every configuration")
    parser.add_argument("--configs", nargs="+", choices=CONFIGS, default=list(CONFIGS), help="a part of the study")
    parser.add_argument("--zero-shot", type=Path, help="a BEIR folder that nothing is trained on, measured too")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of a model")
    parser.add_argument("--device", help="where it runs")
    parser.add_argument("--rate", type=float, default=RECIPE.learning_rate, help="learning rate")
    parser.add_argument("--steps", type=int, nargs="+", default=list(RECIPE.checkpoints), help="checkpoints")
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    parser.add_argument("--latency", action="store_true", help="measure what a query costs instead, with the base")
    parser.add_argument("--temperature", type=float, default=SOFT[1], help="of the interaction that is timed")
    parser.add_argument("--cache", type=Path, help="folder where the base's vectors are kept between calls")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def bench_of(arguments: argparse.Namespace, encoder: TorchEncoder) -> Bench:
    dataset = load_dataset(TRAINED_ON)
    folders = [TRAINED_ON] if arguments.zero_shot is None else [TRAINED_ON, arguments.zero_shot]
    return Bench(
        encoder=encoder,
        tasks=[
            TowerTask(graph_of_qrels(dataset, "train"), weight=WEIGHTS["titles"]),
            TowerTask(sentence_graph(dataset.corpus), weight=WEIGHTS["sentences"]),
        ],
        dev=DevSet.of(dataset, encoder, cache=arguments.cache, show_progress=True),
        sets=[Asked.of(load_dataset(folder), arguments.split, encoder) for folder in folders],
        recipe=replace(RECIPE, learning_rate=arguments.rate, checkpoints=tuple(arguments.steps)),
    )


def study(results: Results, bench: Bench, arguments: argparse.Namespace) -> None:
    """Measure what is asked for and not there yet, seed by seed, so that what is there is comparable at any time."""
    split = arguments.split
    wanted = wanted_runs(results, split, arguments.configs)
    # Runs with other settings stop the study before anything is trained.
    missing = [
        (seed, config)
        for seed in range(arguments.seeds)
        for config, scorers in wanted.items()
        if (config != BASE or seed == 0)
        and (arguments.again or not results.has(split, config, seed, settings=bench.settings(config, scorers)))
    ]
    for seed, config in missing:
        run, arrays = one_run(bench, config, wanted[config], seed=seed)
        results.keep(split, config, seed, run, arrays)
        print(f"{split} {config} {seed}: {json.dumps({key: run[key] for key in ('steps', 'seconds', 'rows')})}")


def wanted_runs(results: Results, split: str, configs: Sequence[str]) -> dict[str, list[str]]:
    """The scorers of every run; on test only the soft temperatures that did best on dev."""
    wanted = {}
    for config in configs:
        if config in SCORED_ALL_WAYS:
            soft = [f"soft_{value}" for value in SOFT]
            if split == "test":
                soft = [results.best_soft([(config, scorer) for scorer in soft])]
            wanted[config] = ["pooled", "maxsim", *soft]
        elif config == "soft":
            names = [f"soft_{value}" for value in SOFT]
            kept = [results.best_soft([(name, name) for name in names])] if split == "test" else names
            wanted |= {name: [name] for name in kept}
        else:
            wanted[config] = [TRAINED[config][1]]
    return wanted


def recipe_of(config: str, recipe: TowerRecipe) -> TowerRecipe:
    """The recipe of a training."""
    objective, scorer = TRAINED[config]
    interaction = MAXSIM_TRAINED_AT if scorer == "maxsim" else SCORERS[scorer]
    return replace(recipe, objective=objective, interaction=interaction)


def one_run(
    bench: Bench, config: str, scorers: Sequence[str], *, seed: int
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Train unless it is the base, and measure; gives the figures, and the values by query of every scorer and set."""
    start = time.perf_counter()
    tower = Tower(bench.encoder, max_tokens=bench.recipe.max_tokens)
    steps, history = 0, {}
    if config != BASE:
        fitted = fit_to_tasks(
            tower,
            bench.tasks,
            judge=lambda: judged(tower, [bench.dev], interaction=SCORERS[TRAINED[config][1]]),
            recipe=recipe_of(config, bench.recipe),
            seed=seed,
            show_progress=True,
        )
        steps, history = fitted.steps, {str(step): score.value for step, score in fitted.scores.items()}
    middle = time.perf_counter()
    rows: dict[str, dict[str, Any]] = {scorer: {} for scorer in scorers}
    arrays = {}
    for asked in bench.sets:
        for scorer, (values, recall) in scored(tower, asked, scorers).items():
            means = dict(zip(MEASURED, values.mean(axis=0).tolist(), strict=True))
            rows[scorer][asked.name] = means | ({"recall_of_candidates": recall} if recall else {})
            arrays[f"{scorer}/{asked.name}"] = values
    seconds = {"training": middle - start, "measuring": time.perf_counter() - middle}
    settings = bench.settings(config, scorers)
    return {"settings": settings, "steps": steps, "history": history, "seconds": seconds, "rows": rows}, arrays


def scored(tower: Tower, asked: Asked, scorers: Sequence[str]) -> dict[str, tuple[FloatArray, dict[str, float]]]:
    """Values by query and measure, and for late interaction what candidates found by pooled vectors would keep."""
    documents = tower.encode(list(asked.documents.values()), prompt=tower.document_prompt)
    queries = tower.queries(list(asked.queries.values()), interaction=0.0)
    targets, ids = PooledTargets.of(documents), list(asked.documents)
    values: dict[str, list[FloatArray]] = {scorer: [] for scorer in scorers}
    recalls: dict[str, list[FloatArray]] = {scorer: [] for scorer in scorers}
    for start in range(0, len(queries.vectors), QUERIES_AT_ONCE):
        part = slice(start, start + QUERIES_AT_ONCE)
        pooled = queries.vectors[part] @ documents.T
        for scorer in scorers:
            scores = interaction_scores(queries, targets, part, SCORERS[scorer], pooled=pooled)
            values[scorer].append(measures_of(scores, list(asked.queries)[part], ids, asked.qrels))
            if SCORERS[scorer] is not None:
                recalls[scorer].append(kept_by_shortcut(scores, pooled))
    return {
        scorer: (np.concatenate(values[scorer]), recall_by_shortcut(recalls[scorer]) if recalls[scorer] else {})
        for scorer in scorers
    }


def interaction_scores(
    queries: TowerQueries, targets: PooledTargets, part: slice, temperature: float | None, *, pooled: FloatArray
) -> FloatArray:
    if temperature is None or queries.tokens is None:
        return pooled
    return soft_late_interaction(queries.tokens[part], targets, temperature=temperature)


def measures_of(scores: FloatArray, query_ids: Sequence[str], ids: Sequence[str], qrels: Qrels) -> FloatArray:
    """Values of :data:`MEASURED` by query, float32, from the best 1000 hits."""
    best = top_k(scores, HITS)
    run = {
        query: {ids[row]: score for row, score in zip(rows, line, strict=True)}
        for query, rows, line in zip(query_ids, best.rows.tolist(), best.scores.tolist(), strict=True)
    }
    asked = {query: qrels[query] for query in query_ids}
    found, precision = measure(run, asked), rp_at_k(run, asked, k=10)
    lines = [[found[query]["map"], precision[query], found[query]["ndcg@10"]] for query in query_ids]
    return np.array(lines, dtype=np.float32)


def kept_by_shortcut(scores: FloatArray, pooled: FloatArray) -> FloatArray:
    """Share of every query's exact top 10 that is among the candidates, which are then scored exactly.

    Returns:
        float32, shape (n_queries, one for each of :data:`SHORTCUTS`).
    """
    exact, candidates = top_k(scores, 10).rows, top_k(pooled, max(SHORTCUTS)).rows
    shares = [
        [np.isin(top, found[:n_candidates]).mean() for n_candidates in SHORTCUTS]
        for top, found in zip(exact, candidates, strict=True)
    ]
    return np.array(shares, dtype=np.float32)


def recall_by_shortcut(shares: Sequence[FloatArray]) -> dict[str, float]:
    means = np.concatenate(shares).mean(axis=0).tolist()
    return {str(n_candidates): mean for n_candidates, mean in zip(SHORTCUTS, means, strict=True)}


def tested(results: Results, split: str) -> dict[str, Any]:
    """Means over seeds of every row and set, with the tests against the references."""
    rows: dict[str, Any] = {}
    for config, runs in results.runs(split).items():
        names = {(scorer, name) for run in runs.values() for scorer, sets in run["rows"].items() for name in sets}
        for scorer, name in sorted(names):
            by_seed = results.by_seed(split, config, scorer, name)
            if by_seed is None:
                continue
            values = by_seed.mean(axis=0)
            figures: dict[str, Any] = dict(zip(MEASURED, values.mean(axis=0).tolist(), strict=True))
            figures["n_seeds"] = len(by_seed)
            for reference in REFERENCES:
                others = results.by_seed(split, reference, "pooled", name)
                if others is not None and (reference, "pooled") != (config, scorer):
                    differences = values - others.mean(axis=0)
                    figures[f"against_{reference}"] = {
                        one: paired_test(differences[:, column]).as_dict() for column, one in enumerate(MEASURED)
                    }
            rows.setdefault(f"{config}/{scorer}", {})[name] = figures
    return rows


def print_table(rows: Mapping[str, Any]) -> None:
    """One line a row and set: the measures, and the difference in nDCG@10 to every reference."""
    print(f"{'trained/scored':<26}{'set':<14}{'seeds':>6}" + "".join(f"{one:>9}" for one in MEASURED), end="")
    print("".join(f"{'- ' + one:>24}" for one in REFERENCES))
    for row, sets in rows.items():
        for name, figures in sets.items():
            print(f"{row:<26}{name:<14}{figures['n_seeds']:>6}", end="")
            print("".join(f"{figures[one]:>9.4f}" for one in MEASURED), end="")
            for reference in REFERENCES:
                test = figures.get(f"against_{reference}", {}).get("ndcg@10")
                print(f"{'':>24}" if test is None else f"{test['mean']:>+12.4f} (p {test['p_value']:.4f})", end="")
            print()


def latency(encoder: TorchEncoder, asked: Asked, *, temperature: float) -> dict[str, Any]:
    """What a query costs over all documents: one vector, late interaction over all, and over candidates."""
    tower = Tower(encoder)
    documents = tower.encode(list(asked.documents.values()), prompt=tower.document_prompt)
    targets = PooledTargets.of(documents)
    texts = list(asked.queries.values())

    def queries_of(text: str) -> TowerQueries:
        return TowerQueries.of_tokens(encoder.encode_query_tokens([text]), space=encoder.space, temperature=temperature)

    def bi_encoder(text: str) -> IntArray:
        return top_k(encoder.encode_queries([text]) @ documents.T, 10).rows

    def late_over_all(text: str) -> IntArray:
        tokens = encoder.encode_query_tokens([text])
        return top_k(soft_late_interaction(tokens, targets, temperature=temperature), 10).rows

    def late_over_candidates(text: str) -> IntArray:
        queries = queries_of(text)
        rows = top_k(queries.vectors @ documents.T, PRODUCT).rows
        best = top_k(queries.scores(0, documents[rows[0]])[None], 10).rows
        return np.take_along_axis(rows, best, axis=1)

    one, over_all, over_candidates = medians(texts, bi_encoder, late_over_all, late_over_candidates, most=TIMED_QUERIES)
    shares = []
    for text in texts:
        queries = queries_of(text)
        scores = soft_late_interaction(queries.tokens or (), targets, temperature=temperature)
        shares.append(kept_by_shortcut(scores, queries.vectors @ documents.T))
    return {
        "set": asked.name,
        "split": asked.split,
        "n_documents": len(documents),
        "n_timed": min(TIMED_QUERIES, len(texts)),
        "n_queries": len(texts),
        "threads": torch.get_num_threads(),
        "device": str(tower.model.device),
        "temperature": temperature,
        "bi_encoder": {"ms": 1000 * one},
        "late_over_all": {"ms": 1000 * over_all, "ratio": over_all / one},
        f"late_over_{PRODUCT}": {"ms": 1000 * over_candidates, "ratio": over_candidates / one},
        "recall_of_candidates": recall_by_shortcut(shares),
    }


if __name__ == "__main__":
    main()
