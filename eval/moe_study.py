"""Does one mixture of experts do the work of one encoder a domain, and is it above one dense encoder for all?

    python eval/moe_study.py --seeds 5 --split test

The question of 2401.15713, with the domain of every query known, so that no router has a part in it. All towers are
trained on the same pairs, the train queries of every domain and their documents, in the same batches and for as many
steps; the checkpoint and the share beside the base are chosen on dev queries. Beside them stand experts of the query
side, trained on the same queries, which leave all documents where they are.

Results go to eval/results/experts/moe.json, and the nDCG@10 of every query to moe.queries.json beside it, after every
training; a call that is repeated goes on where it stopped, and trains nothing twice.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cocitation_study import scores_of
from earlier import earlier_values
from lora_study import size_of, trained_linear, trained_lora

from routeret.artifact import write_file, write_json
from routeret.datasets import load_dataset
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.encoders.adapted import transformer_of
from routeret.encoders.moe import MoeEncoder, upcycle
from routeret.encoders.moe.modelling import layers_of
from routeret.errors import InputError
from routeret.evaluation.provenance import installed_versions
from routeret.experts import LinearExpert, LoraExpert
from routeret.mining import graph_of_qrels
from routeret.routing import STRENGTHS
from routeret.significance import paired_test
from routeret.training.embedded import EmbeddedQueries, embed_dataset
from routeret.training.expert_report import tested_over_sets
from routeret.training.fitting import DevScore
from routeret.training.lora import LoraRecipe
from routeret.training.material import Anchors, Material
from routeret.training.measuring import divide, pilot_queries
from routeret.training.tower import Tower
from routeret.training.tower_fit import fit_to_tasks
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.tower_report import DevSet, judged
from routeret.training.towers import tower_gains
from routeret.types import FloatArray, QueryBatch

DATA = Path(__file__).parent / "data"
OUT = Path(__file__).parent / "results" / "experts" / "moe.json"
DOMAINS = ("attack_ttp", "banking77", "esco_titles", "amazon_google")
TOWERS = ("moe", "moe_last", "singles", "multitask")
RECIPE = TowerRecipe(checkpoints=(30, 60), learning_rate=1e-4, batch=32, max_tokens=48)
LORA = LoraRecipe()
COMPARED = (
    ("moe", "singles"),
    ("moe", "multitask"),
    ("moe", "moe_last"),
    ("moe", "base"),
    ("moe_last", "singles"),
    ("moe_last", "multitask"),
    ("singles", "multitask"),
    ("singles", "base"),
    ("multitask", "base"),
    ("linear", "base"),
    ("lora", "base"),
    ("moe", "linear"),
    ("moe", "lora"),
    ("singles", "linear"),
    ("singles", "lora"),
)
PASSES = {"linear": 1, "lora": 2}
"""Passes of a transformer a query; a tower alone needs one, and beside the base two."""
SECONDS = ("seconds", "judging_seconds", "processor_seconds")
PAIR_MEASURES = ("f1_max", "threshold", "ratio", "roc_auc")

Values = dict[str, dict[str, list[float]]]
"""nDCG@10 of every query, by domain and by form: alone, and fused with the base."""


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """One domain: what trains it and what judges it."""

    name: str
    own: DevSet
    task: TowerTask


@dataclass(slots=True)
class Trained:
    """A system after its training.

    Attributes:
        seconds: of the training, judging on dev included.
        judging: seconds of that.
        processor: seconds that processors of this machine worked for the training; on a busy machine they say more.
        n_bytes: of its files.
        domains: figures of every domain.
        values: nDCG@10 of every query.
    """

    seconds: float = 0.0
    judging: float = 0.0
    processor: float = 0.0
    n_bytes: int = 0
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    values: Values = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "judging_seconds": self.judging,
            "processor_seconds": self.processor,
            "bytes": self.n_bytes,
            "domains": self.domains,
        }


def main() -> None:
    arguments = parsed_arguments()
    recipe = replace(
        RECIPE,
        learning_rate=arguments.rate or RECIPE.learning_rate,
        checkpoints=tuple(arguments.steps or RECIPE.checkpoints),
    )
    settings = {
        "split": arguments.split,
        "base": str(arguments.base),
        "data": list(arguments.data),
        "recipe": recipe.as_dict(),
    }
    kept = Kept(arguments.out, settings)
    base = TorchEncoder(arguments.base, device=arguments.device)
    domains = [read(name, base, split=arguments.split, cache=arguments.cache) for name in arguments.data]
    study = Study(domains, base, recipe, split=arguments.split)
    systems = [*arguments.systems, *(["lora"] if arguments.lora else [])]
    todo = [("base", 0), *((system, seed) for seed in range(arguments.seeds) for system in systems)]
    for system, seed in todo:
        if not kept.has(system, seed):
            trained = study.run(system, seed=seed)
            kept.add(system, seed, trained)
            print(f"{system}, seed {seed}: {trained.seconds:.0f} s, nDCG@10 {means_of(trained.values)}", flush=True)
    kept.conclude(study.costs([system for system in kept.figures["runs"] if system != "base"]))
    print(json.dumps({"mean": kept.figures["mean"], "compared": kept.figures["compared"]}, indent=1))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One mixture of experts beside one encoder a domain.")
    parser.add_argument("--data", nargs="+", default=list(DOMAINS), help="domains: names of folders in eval/data")
    parser.add_argument("--systems", nargs="+", default=[*TOWERS, "linear"], choices=[*TOWERS, "linear"])
    parser.add_argument("--lora", action="store_true", help="LoRA experts as well, which are slow to train")
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings")
    parser.add_argument("--split", default="test", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--rate", type=float, help="learning rate of the towers in place of the recipe's")
    parser.add_argument("--steps", type=int, nargs="+", help="checkpoints of the towers in place of the recipe's")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of a model")
    parser.add_argument("--device", help="where it runs")
    parser.add_argument("--cache", type=Path, help="folder where the base's vectors are kept between calls")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def read(name: str, base: TorchEncoder, *, split: str, cache: Path | None) -> Domain:
    """A domain in the base's space, with the pairs of its train queries."""
    dataset = load_dataset(DATA / name)
    splits = tuple(dict.fromkeys(("train", "dev", split)))
    embedded = embed_dataset(dataset, base, splits=splits, cache=cache, show_progress=True)
    division = divide(embedded)
    if division.held_out or split not in embedded.queries_by_split:
        raise InputError(
            f"{dataset.folder} has the splits {', '.join(embedded.queries_by_split)}, expected {', '.join(splits)}, "
            f"since all train queries are trained on; choose other --data"
        )
    texts = (base.space.joined(title=document.title, text=document.text) for document in dataset.load_documents())
    own = DevSet(dataset, embedded, division, tuple(texts))
    return Domain(name, own, TowerTask(graph_of_qrels(dataset, "train")))


class Kept:
    """The files of the results."""

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.out = out
        self.queries = out.with_suffix(".queries.json")
        self.figures: dict[str, Any] = {**settings, "versions": installed_versions(), "runs": {}}
        self.values: dict[str, dict[str, Values]] = {}
        if out.exists() and self.queries.exists():
            self.figures["runs"] = earlier_values(out, settings)["runs"]
            self.values = json.loads(self.queries.read_text(encoding="utf-8"))

    def has(self, system: str, seed: int) -> bool:
        return str(seed) in self.figures["runs"].get(system, {}) and str(seed) in self.values.get(system, {})

    def add(self, system: str, seed: int, trained: Trained) -> None:
        self.figures["runs"].setdefault(system, {})[str(seed)] = trained.as_dict()
        self.values.setdefault(system, {})[str(seed)] = trained.values
        self.write()

    def conclude(self, costs: Mapping[str, Any]) -> None:
        """Add what all runs together say."""
        self.figures["mean"] = {system: self.mean(system) for system in self.figures["runs"]}
        self.figures["costs"] = costs
        self.figures["compared"] = {
            f"{one} - {other}": {form: self.compared(one, other, form) for form in ("alone", "fused")}
            for one, other in COMPARED
            if one in self.figures["runs"] and other in self.figures["runs"]
        }
        self.write()

    def write(self) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_file(self.queries, json.dumps(self.values).encode())
        write_json(self.out, self.figures)

    def mean(self, system: str) -> dict[str, Any]:
        """Means over the seeds: by domain, and the mean over domains."""
        runs = list(self.figures["runs"][system].values())
        by_domain = {
            name: {
                **{form: mean([run["domains"][name][form] for run in runs]) for form in ("alone", "fused")},
                **{key: mean([run["domains"][name]["pairs"][key] for run in runs]) for key in PAIR_MEASURES},
            }
            for name in self.figures["data"]
        }
        over_domains = {key: mean([one[key] for one in by_domain.values()]) for key in ("alone", "fused")}
        seconds = {key: mean([run[key] for run in runs]) for key in SECONDS}
        return {"n_seeds": len(runs), **over_domains, **seconds, "domains": by_domain}

    def compared(self, one: str, other: str, form: str) -> dict[str, Any]:
        """Paired tests over queries, each the mean over its seeds: by domain, and of the mean over domains."""
        gains = {
            name: self.averaged(one, name, form) - self.averaged(other, name, form) for name in self.figures["data"]
        }
        by_domain = {name: paired_test(values).as_dict() for name, values in gains.items()}
        return {**tested_over_sets(list(gains.values()), seed=0).as_dict(), "domains": by_domain}

    def averaged(self, system: str, name: str, form: str) -> FloatArray:
        seeds = self.figures["runs"][system]
        return np.mean([self.values[system][seed][name][form] for seed in seeds], axis=0)


class Study:
    """Trains and measures systems on some domains."""

    def __init__(self, domains: Sequence[Domain], base: TorchEncoder, recipe: TowerRecipe, *, split: str) -> None:
        self.domains = domains
        self.base = base
        self.recipe = recipe
        self.split = split

    def run(self, system: str, *, seed: int) -> Trained:
        """Train a system with a seed and measure it on every domain."""
        if system == "base":
            trained = Trained(n_bytes=bytes_in(self.base.folder))
            for domain in self.domains:
                self.measure_queries(trained, domain, self.queries_of(domain).vectors, {})
            return trained
        if system in TOWERS:
            with tempfile.TemporaryDirectory() as folder:
                return self.towers(system, Path(folder), seed=seed)
        return self.query_side(system, seed=seed)

    def towers(self, system: str, folder: Path, *, seed: int) -> Trained:
        """Train encoders with documents of their own: one for all domains, or one a domain."""
        trained = Trained()
        if system == "singles":
            for number, domain in enumerate(self.domains):
                # The seed of the batches that the domain has among the others.
                tower = Tower(self.base, max_tokens=self.recipe.max_tokens)
                self.fit(trained, tower, {domain.name: tower}, [domain.task], seed=seed + number)
            return trained
        if system == "multitask":
            tower = Tower(self.base, max_tokens=self.recipe.max_tokens)
            by_domain = dict.fromkeys((domain.name for domain in self.domains), tower)
            self.fit(trained, tower, by_domain, [domain.task for domain in self.domains], seed=seed)
            return trained
        tower = self.mixture(folder / "start", in_last_layer=system == "moe_last")
        by_domain = {domain.name: tower.in_domain(domain.name) for domain in self.domains}
        tasks = [replace(domain.task, domain=domain.name) for domain in self.domains]
        self.fit(trained, tower, by_domain, tasks, seed=seed)
        return trained

    def mixture(self, folder: Path, *, in_last_layer: bool) -> Tower:
        """A mixture of experts that writes the base's vectors."""
        n_layers = len(layers_of(transformer_of(self.base.fresh_model())))
        names = [domain.name for domain in self.domains]
        upcycle(self.base.folder, domains=names, layers=[n_layers - 1] if in_last_layer else None, out=folder)
        base = self.base
        encoder = MoeEncoder(
            folder,
            domain=names[0],
            device=base.device,
            max_tokens=base.max_tokens,
            query_prompt=base.query_prompt,
            document_prompt=base.document_prompt,
        )
        return Tower(encoder, max_tokens=self.recipe.max_tokens)

    def fit(
        self, trained: Trained, tower: Tower, by_domain: Mapping[str, Tower], tasks: Sequence[TowerTask], *, seed: int
    ) -> None:
        """Train a tower, keep the checkpoint that is best on the mean over its domains, and measure it on each."""
        served = [domain for domain in self.domains if domain.name in by_domain]

        def judge() -> DevScore:
            start = time.perf_counter()
            scores = {one.name: judged(by_domain[one.name], [one.own], interaction=None).value for one in served}
            trained.judging += time.perf_counter() - start
            return DevScore(mean(list(scores.values())), {name: np.array(score) for name, score in scores.items()})

        start, worked = time.perf_counter(), time.process_time()
        fitted = fit_to_tasks(tower, tasks, judge=judge, recipe=self.recipe, seed=seed, show_progress=True)
        trained.seconds += time.perf_counter() - start
        trained.processor += time.process_time() - worked
        with tempfile.TemporaryDirectory() as folder:
            tower.save(Path(folder) / "model")
            trained.n_bytes += bytes_in(Path(folder))
        for domain in served:
            history = {str(steps): float(score.arrays[domain.name]) for steps, score in fitted.scores.items()}
            details = {"steps": fitted.steps, "history": history}
            self.measure_tower(trained, domain, by_domain[domain.name], details)

    def measure_tower(self, trained: Trained, domain: Domain, tower: Tower, details: Mapping[str, Any]) -> None:
        """Figures of a domain in a tower's space, alone and at the best share on dev beside the base's."""
        before = domain.own.embedded
        pilots, queries = pilot_queries(before).measured, self.queries_of(domain)
        twins, asked = encoded(tower, pilots), encoded(tower, queries)
        documents = tower.encode(domain.own.documents, prompt=tower.document_prompt)
        after = replace(before, documents=documents, queries_by_split={self.split: asked})
        on_dev = tower_gains(before.judged(pilots), after.judged(twins)).mean(axis=0)
        share = STRENGTHS[int(np.argmax(np.round(on_dev, 9)))]
        gains = tower_gains(before.judged(queries), after.judged(asked), shares=(share,))[:, 0]
        alone = after.judged(asked).ndcg_of(asked.vectors)
        fused = before.judged(queries).ndcg_of(queries.vectors) + gains
        keep(trained, domain.name, alone, fused)
        pairs = scores_of(after, split=self.split)["pairs"]
        trained.domains[domain.name] |= {**details, "strength": share, "pairs": pairs}

    def query_side(self, system: str, *, seed: int) -> Trained:
        """Train an expert of the query side for every domain, with the other domains as anchors."""
        trained = Trained()
        for domain in self.domains:
            own = domain.own
            others = [one.own.dataset.folder for one in self.domains if one is not domain]
            anchors = Anchors.read(others, self.base)
            material = Material(self.base, (own.embedded,), (own.division,), anchors)
            expert: LinearExpert | LoraExpert
            worked = time.process_time()
            if system == "lora":
                expert, found = trained_lora(material, self.base, LORA, seed=seed)
            else:
                expert, found = trained_linear(material, seed=seed)
            trained.seconds += found["seconds"]
            trained.processor += time.process_time() - worked
            trained.n_bytes += size_of(expert)
            queries = self.queries_of(domain)
            batch = QueryBatch(queries.texts, queries.vectors)
            strengths = np.full(len(queries), expert.strength, dtype=np.float32)
            vectors = expert.encode_queries(batch, strengths=strengths)
            details = {"strength": expert.strength, "chosen": found["chosen"], "recipe": found["recipe"]}
            self.measure_queries(trained, domain, vectors, details)
        return trained

    def measure_queries(
        self, trained: Trained, domain: Domain, vectors: FloatArray, details: Mapping[str, Any]
    ) -> None:
        """Figures of a domain with other vectors of its queries, over the base's documents."""
        asked = replace(self.queries_of(domain), vectors=vectors)
        after = replace(domain.own.embedded, queries_by_split={self.split: asked})
        values = after.judged(asked).ndcg_of(vectors)
        keep(trained, domain.name, values, values)
        trained.domains[domain.name] |= {**details, "pairs": scores_of(after, split=self.split)["pairs"]}

    def queries_of(self, domain: Domain) -> EmbeddedQueries:
        return domain.own.embedded.queries_by_split[self.split]

    def costs(self, systems: Sequence[str]) -> dict[str, Any]:
        """What systems cost beside the base, but for what every run measures: vectors, documents and passes."""
        n_documents = {domain.name: len(domain.own.documents) for domain in self.domains}
        return {
            "documents": n_documents,
            "threads": torch.get_num_threads(),
            "systems": {system: costs_of(system, n_documents, dim=self.base.dim) for system in systems},
        }


def costs_of(system: str, n_documents: Mapping[str, int], *, dim: int) -> dict[str, Any]:
    """Bytes of further vectors, documents to embed for all domains and after one was trained again, and passes."""
    has_documents, total = system in TOWERS, sum(n_documents.values())
    return {
        "vector_bytes_per_1000_documents": 4 * 1000 * dim if has_documents else 0,
        "documents_to_embed": total if has_documents else 0,
        "documents_to_embed_again": {
            name: (n_own if system == "singles" else total) if has_documents else 0
            for name, n_own in n_documents.items()
        },
        "passes_a_query": {"alone": 1, "beside_base": 2} if has_documents else PASSES[system],
    }


def encoded(tower: Tower, queries: EmbeddedQueries) -> EmbeddedQueries:
    """The queries in a tower's space."""
    return replace(queries, vectors=tower.encode(queries.texts, prompt=tower.query_prompt, precision="float32"))


def keep(trained: Trained, name: str, alone: FloatArray, fused: FloatArray) -> None:
    """Put the nDCG@10 of a domain's queries into the results."""
    trained.domains[name] = {"n_queries": len(alone), "alone": mean(alone), "fused": mean(fused)}
    trained.values[name] = {
        form: np.round(values.astype(np.float64), 5).tolist() for form, values in (("alone", alone), ("fused", fused))
    }


def means_of(values: Values) -> dict[str, float]:
    """The mean over domains of both forms."""
    return {form: round(mean([mean(one[form]) for one in values.values()]), 4) for form in ("alone", "fused")}


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def mean(values: Sequence[float] | FloatArray) -> float:
    return float(np.mean(values, dtype=np.float64))


if __name__ == "__main__":
    main()
