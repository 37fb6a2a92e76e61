"""What a LoRA expert is worth beside a linear one: quality on dev, training time, size, and what a query costs.

    python eval/lora_study.py --data attack_ttp banking77 esco_titles acl_citances tldr_cli

Every expert is trained on the train queries of one set, with the other sets as anchors, and everything is chosen and
measured on its dev queries; test queries are not read. Strength is compared in two forms: between the vectors of the
base and of the adapted base, as the library does, and inside the layers, by scaling the adapter. Results go to
eval/results/experts/lora.json, set by set; a set that is run again replaces its old figures. With --settings the study
fits other ranks, scales and temperatures instead, at one learning rate, and keeps what each gains beside the rest.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from earlier import earlier_sets, write_sets
from timing import medians

from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.encoders.adapted import AdaptedQueries
from routeret.experts import LinearExpert, LoraExpert
from routeret.routing import STRENGTHS
from routeret.significance import paired_test
from routeret.training.choosing import DevScores, choose
from routeret.training.linear import LinearRecipe
from routeret.training.lora import AskedSet, LoraRecipe, fit_lora
from routeret.training.material import Material
from routeret.training.scoring import JudgedQueries
from routeret.training.trained import trained_linear as trained_in_library
from routeret.types import FloatArray, QueryBatch

DATA = Path(__file__).parent / "data"
SETS = ("attack_ttp", "banking77", "esco_titles", "acl_citances", "tldr_cli")
TIMED_QUERIES = 50
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "rank 4": {"rank": 4, "alpha": 8.0},
    "rank 8": {"rank": 8, "alpha": 16.0},
    "rank 32": {"rank": 32, "alpha": 64.0},
    "alpha 16": {"alpha": 16.0},
    "alpha 64": {"alpha": 64.0},
    "temperature 0.03": {"temperature": 0.03},
    "no anchors": {"anchor_weight": 0.0},
}


def main() -> None:
    arguments = parsed_arguments()
    fields = {"split": "dev", "base": str(arguments.base), "seed": arguments.seed}
    sets = earlier_sets(arguments.out, fields)
    encoder = TorchEncoder(arguments.base, device=arguments.device)
    recipe = LoraRecipe()
    if arguments.rates:
        recipe = replace(recipe, learning_rates=tuple(arguments.rates))
    if arguments.steps:
        recipe = replace(recipe, checkpoints=tuple(arguments.steps))
    for name in arguments.data:
        anchors = [DATA / other for other in SETS if other != name]
        material = Material.read(
            [DATA / name], anchors=anchors, encoder=encoder, cache=arguments.cache, show_progress=True
        )
        if arguments.settings:
            result = {"settings": settings(material, encoder, recipe, seed=arguments.seed)}
        else:
            result = study(material, encoder, recipe, seed=arguments.seed)
        sets[name] = {**sets.get(name, {}), **result}
        write_sets(arguments.out, fields, sets)
        print(f"{name}: {json.dumps(result, indent=1)}")


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a LoRA expert is worth beside a linear one, on dev.")
    parser.add_argument("--data", nargs="+", default=list(SETS), help="names of folders in eval/data")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of a model")
    parser.add_argument("--device", help="where it runs")
    parser.add_argument("--rates", type=float, nargs="+", help="learning rates in place of the recipe's")
    parser.add_argument("--steps", type=int, nargs="+", help="checkpoints in place of the recipe's")
    parser.add_argument("--settings", action="store_true", help="compare settings at the first of the learning rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder where vectors are kept between calls")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "experts" / "lora.json")
    return parser.parse_args()


def study(material: Material, encoder: TorchEncoder, recipe: LoraRecipe, *, seed: int) -> dict[str, Any]:
    """The figures of one set."""
    linear, of_linear = trained_linear(material, seed=seed)
    expert, of_lora = trained_lora(material, encoder, recipe, seed=seed)
    (division,), (judged,) = material.divisions, material.dev
    texts = division.dev.texts
    return {
        "n_train": len(division.train),
        "n_dev": len(texts),
        "held_out": division.held_out,
        "threads": torch.get_num_threads(),
        "base": float(judged.ndcg_of(judged.queries).mean()),
        "linear": {**of_linear, "bytes": size_of(linear), "query": query_seconds(linear, texts, encoder)},
        "lora": {**of_lora, "bytes": size_of(expert), "query": query_seconds(expert, texts, encoder)},
        "strength": strengths(expert, encoder, judged, texts),
    }


def settings(material: Material, encoder: TorchEncoder, recipe: LoraRecipe, *, seed: int) -> dict[str, Any]:
    """What the expert gains with other settings, each at one learning rate."""
    figures = {}
    for name, changes in SETTINGS.items():
        changed = replace(recipe, learning_rates=recipe.learning_rates[:1], **changes)
        _, found = trained_lora(material, encoder, changed, seed=seed)
        figures[name] = {key: found[key] for key in ("ndcg", "strength", "chosen", "difference", "seconds", "grid")}
    return figures


def trained_linear(material: Material, *, seed: int) -> tuple[LinearExpert, dict[str, Any]]:
    start = time.perf_counter()
    recipe = LinearRecipe()
    trained = trained_in_library("linear", material, recipe, seed=seed, show_progress=False)
    seconds = time.perf_counter() - start
    grid: list[dict[str, float]] = [{"steps": steps} for steps in recipe.checkpoints]
    figures = {"seconds": seconds, "recipe": recipe.as_dict(), **summary(trained.scores, grid, seed=seed)}
    return cast("LinearExpert", trained.expert), figures


def trained_lora(
    material: Material, encoder: TorchEncoder, recipe: LoraRecipe, *, seed: int
) -> tuple[LoraExpert, dict[str, Any]]:
    start = time.perf_counter()
    (division,), (training,), (judged,) = material.divisions, material.training, material.dev
    found = fit_lora(
        encoder,
        [AskedSet(division.train.texts, training)],
        dev=[(division.dev.texts, judged)],
        anchors=material.anchors,
        recipe=recipe,
        seed=seed,
        show_progress=True,
    )
    seconds = time.perf_counter() - start
    fits, scores = found.fits, found.scores
    choice = choose(scores, seed=seed)
    expert = LoraExpert(
        name="lora",
        adapter=fits[choice.fit].adapter,
        strength=choice.strength,
        space=encoder.space,
        query_tower=encoder.query_tower,
        known_documents=material.known_documents,
    )
    grid: list[dict[str, float]] = [{"learning_rate": fit.learning_rate, "steps": fit.steps} for fit in fits]
    figures = {"seconds": seconds, "recipe": recipe.as_dict(), **summary(scores, grid, seed=seed)}
    return expert.attached(encoder), figures


def summary(scores: list[DevScores], fits: list[dict[str, float]], *, seed: int) -> dict[str, Any]:
    """What was chosen, what it is worth, and the mean gain of everything that could have been."""
    choice = choose(scores, seed=seed)
    gains = scores[0].gains.mean(axis=0)
    return {
        "ndcg": float(scores[0].base.mean()) + choice.gain,
        "strength": choice.strength,
        "chosen": fits[choice.fit],
        "difference": paired_test(choice.gains[0], seed=seed).as_dict(),
        "grid": [
            {**fit, "gain": {str(strength): float(gain) for strength, gain in zip(STRENGTHS, line, strict=True)}}
            for fit, line in zip(fits, gains, strict=True)
        ],
    }


def size_of(expert: LinearExpert | LoraExpert) -> int:
    """Bytes of an expert's folder, without pilots."""
    with tempfile.TemporaryDirectory() as folder:
        expert.save(Path(folder) / expert.name)
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def query_seconds(expert: LinearExpert | LoraExpert, texts: tuple[str, ...], encoder: TorchEncoder) -> dict[str, float]:
    """Medians over some queries, one at a time: the base alone, and the base with the expert behind it."""

    def with_expert(text: str) -> None:
        batch = QueryBatch((text,), encoder.encode_queries([text]))
        expert.encode_queries(batch, strengths=np.ones(1, dtype=np.float32))

    base, full = medians(texts, lambda text: encoder.encode_queries([text]), with_expert, most=TIMED_QUERIES)
    return {"base_seconds": base, "with_expert_seconds": full, "ratio": full / base}


def strengths(
    expert: LoraExpert, encoder: TorchEncoder, judged: JudgedQueries, texts: tuple[str, ...]
) -> dict[str, Any]:
    """nDCG@10 at every strength in both forms, and the seconds that all of them take over the dev queries."""
    start = time.perf_counter()
    shift = AdaptedQueries(encoder, expert.adapter).encode_queries(texts) - judged.queries
    between = judged.ndcg_of_shift(shift, STRENGTHS, unit_length=encoder.space.unit_length)
    middle = time.perf_counter()
    inside = np.stack([judged.ndcg_of(scaled(expert, encoder, texts, strength)) for strength in STRENGTHS], axis=1)
    end = time.perf_counter()
    return {
        "between_vectors": {**by_strength(between), "seconds": middle - start},
        "inside_layers": {**by_strength(inside), "seconds": end - middle},
        "difference": {
            str(strength): paired_test(between[:, column] - inside[:, column]).as_dict()
            for column, strength in enumerate(STRENGTHS)
        },
    }


def scaled(expert: LoraExpert, encoder: TorchEncoder, texts: tuple[str, ...], strength: float) -> FloatArray:
    """The queries with the adapter scaled inside the layers: its alpha says how much it counts."""
    adapter = replace(expert.adapter, alpha=expert.adapter.alpha * strength)
    return AdaptedQueries(encoder, adapter).encode_queries(texts)


def by_strength(values: FloatArray) -> dict[str, Any]:
    means = values.mean(axis=0)
    return {"ndcg": {str(strength): float(mean) for strength, mean in zip(STRENGTHS, means, strict=True)}}


if __name__ == "__main__":
    main()
