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

from routeret.artifact import write_json
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.evaluation.provenance import installed_versions
from routeret.significance import paired_test
from routeret.training.linear import LinearRecipe
from routeret.training.material import Material
from routeret.training.trained import trained_linear

DATA = Path(__file__).parent / "data"
SETS = ("attack_ttp", "banking77", "tldr_cli")
OUT = Path(__file__).parent / "results" / "experts" / "hard_negatives.json"
RECIPE = LinearRecipe(n_negatives=200)
BY_CHANCE = "by chance"
WAYS: dict[str, dict[str, Any]] = {
    BY_CHANCE: {},
    "8 hard, no margin": {"n_hard_negatives": 8, "margin": None},
    "8 hard": {"n_hard_negatives": 8},
    "8 hard, 2 rounds": {"n_hard_negatives": 8, "rounds": 2},
    "8 hard, likely answers ignored": {"n_hard_negatives": 8, "ignores_likely_answers": True},
}
"""Fields of the recipe in place of the defaults."""


def main() -> None:
    arguments = parsed_arguments()
    encoder = TorchEncoder(arguments.base, device=arguments.device)
    for name in arguments.data:
        anchors = [DATA / other for other in SETS if other != name]
        material = Material.read(
            [DATA / name], anchors=anchors, encoder=encoder, cache=arguments.cache, show_progress=True
        )
        found = study(material, RECIPE, n_seeds=arguments.seeds)
        keep(arguments.out, name, found, arguments)
        print(f"{name}: {json.dumps(found, indent=1)}", flush=True)


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
    """The figures of one set: what every way gains over the base, and over negatives by chance."""
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
                "against_chance": paired_test(found - gains[BY_CHANCE]).as_dict(),
            }
            for way, found in gains.items()
        },
    }


def keep(out: Path, name: str, found: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Put the figures of a set into the file, beside those that are there."""
    sets = json.loads(out.read_text(encoding="utf-8"))["sets"] if out.exists() else {}
    out.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "split": "dev",
        "base": str(arguments.base),
        "recipe": RECIPE.as_dict(),
        "n_seeds": arguments.seeds,
        "versions": installed_versions(),
    }
    write_json(out, {**fields, "sets": {**sets, name: found}})


if __name__ == "__main__":
    main()
