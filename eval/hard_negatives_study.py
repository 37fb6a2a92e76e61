"""Do hard negatives help a linear expert? Mined from the base, BM25 and the expert itself, beside negatives by chance.

    python eval/hard_negatives_study.py --data attack_ttp banking77 tldr_cli

Few negatives are drawn a step, as in a corpus that is much larger than what a step can hold; where the whole corpus is
a candidate there is nothing to mine. Every way is fitted on the train queries of one set, with the others as anchors,
and measured on its dev queries, with steps and strength chosen on the other half of them; test queries are not read.
Results go to eval/results/experts/hard_negatives.json, set by set; a set that is run again replaces its old figures.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from earlier import earlier_sets, write_sets

from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.significance import paired_test
from routeret.training.linear import LinearRecipe
from routeret.training.material import Material
from routeret.training.trained import trained_linear

DATA = Path(__file__).parent / "data"
SETS = ("attack_ttp", "banking77", "tldr_cli")
OUT = Path(__file__).parent / "results" / "experts" / "hard_negatives.json"
RECIPE = LinearRecipe(n_negatives=200)
N_HARD = 8
BY_CHANCE, AS_MANY = "by chance", "by chance, as many"
WAYS: dict[str, dict[str, Any]] = {
    BY_CHANCE: {},
    # A mined document is a negative of the whole batch: without this control, more would be taken for harder.
    AS_MANY: {"n_negatives": RECIPE.n_negatives + N_HARD * RECIPE.batch},
    "hard, no margin": {"n_hard_negatives": N_HARD, "margin": None},
    "hard": {"n_hard_negatives": N_HARD},
    "hard, 2 rounds": {"n_hard_negatives": N_HARD, "rounds": 2},
    "hard, likely answers ignored": {"n_hard_negatives": N_HARD, "ignores_likely_answers": True},
}
"""Fields in place of the recipe's. Hard ways have at most as many negatives as the second control."""


def main() -> None:
    arguments = parsed_arguments()
    fields = {
        "split": "dev",
        "base": str(arguments.base),
        "recipe": RECIPE.as_dict(),
        "n_seeds": arguments.seeds,
    }
    sets = earlier_sets(arguments.out, fields)
    encoder = TorchEncoder(arguments.base, device=arguments.device)
    for name in arguments.data:
        anchors = [DATA / other for other in SETS if other != name]
        material = Material.read(
            [DATA / name], anchors=anchors, encoder=encoder, cache=arguments.cache, show_progress=True
        )
        sets[name] = study(material, RECIPE, n_seeds=arguments.seeds)
        write_sets(arguments.out, fields, sets)
        print(f"{name}: {json.dumps(sets[name], indent=1)}", flush=True)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What hard negatives gain a linear expert, on dev.")
    parser.add_argument("--data", nargs="+", default=list(SETS), help="names of folders in eval/data")
    parser.add_argument("--seeds", type=int, default=2, help="how many trainings of every way")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of a model")
    parser.add_argument("--device", help="where the base runs")
    parser.add_argument("--cache", type=Path, help="folder where vectors are kept between calls")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def study(material: Material, recipe: LinearRecipe, *, n_seeds: int) -> dict[str, Any]:
    """The figures of one set: what every way gains over the base, and over the controls."""
    gains = {}
    for way, changes in WAYS.items():
        fits = [
            trained_linear("linear", material, replace(recipe, **changes), seed=seed, show_progress=False)
            for seed in range(n_seeds)
        ]
        gains[way] = np.mean([fit.choice.gains[0] for fit in fits], axis=0)
    (training,), (judged,) = material.training, material.dev
    return {
        "n_train": len(training.queries),
        "n_dev": len(judged.queries),
        "n_documents": len(training.documents),
        "base": float(judged.ndcg_of(judged.queries).mean()),
        "ways": {
            way: {
                "gain": paired_test(found).as_dict(),
                "against": {other: paired_test(found - gains[other]).as_dict() for other in (BY_CHANCE, AS_MANY)},
            }
            for way, found in gains.items()
        },
    }


if __name__ == "__main__":
    main()
