"""Compares two ways to mix adapters: by the vectors that they write, and inside the layers, on dev.

    python eval/adapter_mixture_study.py --experts FOLDER... --data FOLDER... --out eval/results/experts/mixtures.json

The experts are of kind lora, see ``routeret train expert --kind lora``. A mixture of vectors is what the library does:
every adapter writes the query, and the weighted sum of the vectors gets length 1. Inside the layers, the same weights
scale the adapters' products, which are added up in every layer, so that one row passes the model whatever the number of
adapters. Quality is nDCG@10 of dev queries over all documents; time is that of one query in the exported graph, in
turns; test queries are not read.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from timing import medians

from routeret.artifact import write_json
from routeret.encoders import DEFAULT_BASE, OnnxEncoder
from routeret.encoders.adapted import AdaptedQueries
from routeret.encoders.adapter import Adapter
from routeret.evaluation.provenance import installed_versions
from routeret.experts import LoraExpert, load_expert
from routeret.fusion import mix_queries
from routeret.significance import paired_test
from routeret.training.material import Material
from routeret.training.scoring import JudgedQueries
from routeret.types import FloatArray

TIMED_QUERIES = 100


def main() -> None:
    arguments = parsed_arguments()
    encoder = OnnxEncoder(arguments.base, query_precision="float32")
    if not encoder.prepare():
        raise SystemExit(f"no graph can hold {arguments.base}")
    experts = [load_expert(folder, base=encoder) for folder in arguments.experts]
    if len(experts) < 2 or not all(isinstance(expert, LoraExpert) for expert in experts):
        raise SystemExit("found experts that cannot be mixed; expected at least two folders of kind lora")
    sets, texts = {}, []
    for folder in arguments.data:
        material = Material.read([folder], anchors=[], encoder=encoder, cache=arguments.cache, show_progress=True)
        (division,), (judged,) = material.divisions, material.dev
        sets[folder.name] = quality(encoder, experts, judged, division.dev.texts, seed=arguments.seed)
        texts.extend(division.dev.texts[: TIMED_QUERIES // len(arguments.data)])
    figures = {
        "split": "dev",
        "seed": arguments.seed,
        "experts": [expert.name for expert in experts],
        "versions": installed_versions(),
        "sets": sets,
        "time": {str(n): times(encoder, experts[:n], texts) for n in range(2, len(experts) + 1)},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, figures)
    print(json.dumps(figures, indent=1))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mixtures of adapters by their vectors and inside the layers, on dev.")
    parser.add_argument("--experts", nargs="+", type=Path, required=True, help="folders of experts of kind lora")
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="BEIR folders with dev queries")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of the model that they were trained in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder where vectors are kept between calls")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "experts" / "mixtures.json")
    return parser.parse_args()


def quality(
    encoder: OnnxEncoder, experts: Sequence[LoraExpert], judged: JudgedQueries, texts: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """nDCG@10 of the base, of every expert alone, and of mixtures in both ways."""
    alone = {expert.name: AdaptedQueries(encoder, expert.adapter).encode_queries(texts) for expert in experts}
    figures: dict[str, Any] = {
        "n_queries": len(texts),
        "base": float(judged.ndcg_of(judged.queries).mean()),
        "alone": {name: float(judged.ndcg_of(vectors).mean()) for name, vectors in alone.items()},
        "mixtures": [],
    }
    for chosen, weight in mixtures(experts):
        rest = max(0.0, 1 - weight * len(chosen))
        weights = np.tile(np.array([rest, *[weight] * len(chosen)], dtype=np.float32), (len(texts), 1))
        of_vectors = mix_queries([judged.queries, *(alone[one.name] for one in chosen)], weights=weights)
        inside = AdaptedQueries(encoder, summed([one.adapter for one in chosen], weight)).encode_queries(texts)
        scores = [judged.ndcg_of(vectors) for vectors in (of_vectors, inside)]
        figures["mixtures"].append(
            {
                "experts": [one.name for one in chosen],
                "weight_of_each": weight,
                "weight_of_base": rest,
                "vectors": float(scores[0].mean()),
                "inside_layers": float(scores[1].mean()),
                "difference": paired_test(scores[0] - scores[1], seed=seed).as_dict(),
            }
        )
    return figures


def mixtures(experts: Sequence[LoraExpert]) -> list[tuple[tuple[LoraExpert, ...], float]]:
    """Experts and the weight of each: pairs at a half and at a quarter beside the base, and all of them alike."""
    pairs = [(pair, weight) for pair in combinations(experts, 2) for weight in (0.5, 0.25)]
    return pairs if len(experts) == 2 else [*pairs, (tuple(experts), 1 / len(experts))]


def summed(adapters: Sequence[Adapter], weight: float) -> Adapter:
    """One adapter that adds what several add, each scaled by the weight: their ranks stand side by side."""
    targets = sorted({target for one in adapters for target in one.targets})
    if any(sorted(one.targets) != targets for one in adapters):
        raise SystemExit("found adapters of different layers, expected the same layers in all")
    rank = sum(one.rank for one in adapters)
    weights: dict[str, FloatArray] = {}
    for target in targets:
        down, up = f"{target}.lora_A.weight", f"{target}.lora_B.weight"
        weights[down] = np.concatenate([one.weights[down] for one in adapters])
        scaled = [one.weights[up].astype(np.float32) * (weight * one.alpha / one.rank) for one in adapters]
        weights[up] = np.concatenate(scaled, axis=1)
    # Its scale is alpha / rank, which is 1.
    return Adapter(rank=rank, alpha=float(rank), targets=tuple(targets), weights=weights)


def times(encoder: OnnxEncoder, experts: Sequence[LoraExpert], texts: Sequence[str]) -> dict[str, float]:
    """Median seconds of one query: the base alone, a row an adapter, and one row with the sum of all."""
    graph = encoder.query_graph
    adapters = [expert.adapter for expert in experts]
    together = summed(adapters, 1 / len(adapters))
    base, rows, inside = medians(
        texts,
        lambda text: graph.vectors([text], adapters=[None]),
        lambda text: graph.vectors([text] * len(adapters), adapters=adapters),
        lambda text: graph.vectors([text], adapters=[together]),
        most=TIMED_QUERIES,
    )
    return {
        "base_seconds": base,
        "vectors_seconds": rows,
        "inside_layers_seconds": inside,
        "inside_over_vectors": inside / rows,
    }


if __name__ == "__main__":
    main()
