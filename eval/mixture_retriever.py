"""A mixture of experts as a user has it: one model, one index of all corpora, and a router that picks the domain.

    python eval/mixture_retriever.py

Where eval/moe_study.py knows the domain of every query and document, nothing knows it here. The mixture is trained by
`train_moe`, with the steps and the rate of that study; its experts are added to a retriever that holds the corpora of
all four domains; documents are written for the domain that their words tell, and every query for the domains that the
router gives weight. Reported are the systems of `routeret eval` on the test queries, and the weight that every expert
gets in every set. Results go to eval/results/experts/mixture_retriever.json.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from moe_study import DATA, DOMAINS, RECIPE

from routeret import Retriever
from routeret.artifact import write_json
from routeret.encoders import DEFAULT_BASE
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.training.moe import train_moe
from routeret.training.tower_recipe import TowerRecipe
from routeret.training.tower_sources import domains_of

OUT = Path(__file__).parent / "results" / "experts" / "mixture_retriever.json"


def main() -> None:
    arguments = parsed_arguments()
    folders = [DATA / name for name in arguments.data]
    with tempfile.TemporaryDirectory() as temporary:
        values = study(folders, Path(temporary), RECIPE, arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, values)
    print(json.dumps({"documents": values["documents"], "report": values["report"]["mean"]}, indent=1))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A mixture of experts behind the router, over one index.")
    parser.add_argument("--data", nargs="+", default=list(DOMAINS), help="domains: names of folders in eval/data")
    parser.add_argument("--split", default="test", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of a model")
    parser.add_argument("--device", help="where it runs")
    parser.add_argument("--cache", type=Path, help="folder where the base's vectors are kept between calls")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def study(folders: list[Path], work: Path, recipe: TowerRecipe, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, build one retriever of all corpora, and measure it."""
    start = time.perf_counter()
    trained = train_moe(
        domains_of([(folder.name, folder) for folder in folders]),
        out=work / "mixture",
        base=arguments.base,
        recipe=recipe,
        device=arguments.device,
        seed=arguments.seed,
        cache=arguments.cache,
        force=True,
        show_progress=True,
    )
    middle = time.perf_counter()
    with Retriever.create(work / "kb", base=arguments.base, device=arguments.device) as retriever:
        for folder in folders:
            retriever.add(folder, prefix_ids=True, show_progress=True)
        for folder in folders:
            retriever.add_expert(work / "mixture" / "experts" / folder.name, show_progress=True)
    seconds = {"training": middle - start, "indexing": time.perf_counter() - middle}
    systems = ["base", "routed", "uniform", "dataset_oracle", *(f"expert:{folder.name}" for folder in folders)]
    report = evaluate(
        folders,
        index=work / "kb",
        settings=EvaluationSettings(merged=True, split=arguments.split, systems=systems),
        device=arguments.device,
        show_progress=True,
    )
    return {
        "split": arguments.split,
        "base": str(arguments.base),
        "recipe": recipe.as_dict(),
        "documents": trained.documents.as_dict(),
        "seconds": seconds,
        "report": report.to_json(),
    }


if __name__ == "__main__":
    main()
