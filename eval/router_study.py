"""Choose the settings of the router on dev queries: at home, and with every training corpus left out once.

A corpus that is left out takes with it every corpus of the same source, the experts trained on them, their pilots, and
their part in the multi-task expert, which is trained again without them. What remains has never seen the corpus, so its
dev queries show what the router does on documents of somebody else. Run after the pack was built, from the checkout:

    python eval/router_study.py --pack routeret/packs_data/minilm-domains --out eval/results/router/study.json
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from routeret.artifact import write_json
from routeret.datasets import load_dataset
from routeret.encoders import load_encoder
from routeret.experts import LinearExpert, load_expert
from routeret.fusion import mix_queries
from routeret.packs import read_pack
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, UtilityRouter
from routeret.training.embedded import embed_dataset
from routeret.training.linear import fit_linear
from routeret.training.measuring import divide, pilot_queries
from routeret.training.pack import SEVERAL_SETS
from routeret.training.pack_recipe import PackRecipe
from routeret.training.scoring import ndcg_of_vectors
from routeret.types import FloatArray, QueryBatch

Experts = list[LinearExpert]

MULTITASK = "multitask"
TEMPERATURES = (0.005, 0.01, 0.02)
UNKNOWN_STRENGTHS = (0.0, 0.1, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("eval/packs/minilm-domains.toml"))
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    study = Study(PackRecipe.read(options.recipe), options.pack)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, {"split": "dev", "home": study.home(), "left_out": study.left_out()})


class Study:
    def __init__(self, recipe: PackRecipe, pack: Path) -> None:
        self.recipe = recipe
        encoder = load_encoder(recipe.base)
        self.sets = {
            name: embed_dataset(load_dataset(folder), encoder, cache=recipe.cache, show_progress=True)
            for name, folder in recipe.folder_by_set.items()
        }
        opened = read_pack(pack)
        self.router = UtilityRouter.load(opened.router_folder)
        loaded = {name: load_expert(folder) for name, folder in opened.expert_folders.items()}
        self.experts = [loaded[name] for name in self.router.expert_names]
        self.dev = {name: pilot_queries(data).measured for name, data in self.sets.items()}
        self.base = {name: self.score(name, split.vectors) for name, split in self.dev.items()}

    def home(self) -> list[dict]:
        """Every corpus with its own experts in the pool, documents known."""
        rows = []
        for temperature in TEMPERATURES:
            router = self.fitted(self.router.library, self.experts, temperature=temperature)
            gains = {}
            for name, split in self.dev.items():
                keys = self.sets[name].content_keys
                shares = [np.isin(keys, expert.known_documents).mean() for expert in self.experts]
                gains[name] = self.gain(name, router, self.experts, np.tile(shares, (len(split), 1)))
            rows.append({"temperature": temperature, **summary(gains)})
        return rows

    def left_out(self) -> list[dict]:
        """Every corpus once without all that was trained on it or on its source, no document known."""
        without = {source: self.pool_without(source) for source in {self.source_of(name) for name in self.sets}}
        pools = {name: without[self.source_of(name)] for name in self.sets}
        rows = []
        for temperature in TEMPERATURES:
            for strength in UNKNOWN_STRENGTHS:
                gains, weights = {}, {}
                for name, (library, experts) in pools.items():
                    router = self.fitted(library, experts, temperature=temperature, unknown_strength=strength)
                    unknown = np.zeros((len(self.dev[name]), len(experts)))
                    gains[name] = self.gain(name, router, experts, unknown)
                    weights[name] = self.weight_off_base(name, router, unknown)
                row = {"temperature": temperature, "unknown_strength": strength, **summary(gains)}
                rows.append({**row, "weight_off_base": float(np.mean(list(weights.values())))})
        return rows

    def pool_without(self, source: str) -> tuple[PilotLibrary, list[LinearExpert]]:
        """Library and experts as if the corpora of a source did not exist."""
        out = [name for name in self.sets if self.source_of(name) == source]
        kept = [name for name in self.sets if name not in out]
        trained_on = {expert.name: set(expert.sets) for expert in self.recipe.experts}
        experts = [
            expert for expert in self.experts if expert.name != MULTITASK and not trained_on[expert.name] & set(out)
        ]
        sets = [self.sets[name].training_set(divide(self.sets[name]).train) for name in kept]
        checkpoint = fit_linear(sets, recipe=SEVERAL_SETS, seed=self.recipe.seed, show_progress=True)[-1]
        whole = next(expert for expert in self.experts if expert.name == MULTITASK)
        again = replace(whole, weight=checkpoint.weight)
        library = self.router.library.without_corpora(out)
        measured = [
            replace(corpus, gains={**corpus.gains, MULTITASK: self.measured(corpus, again)})
            for corpus in library.corpora
        ]
        return replace(library, corpora=tuple(measured)), [*experts, again]

    def measured(self, corpus: PilotCorpus, expert: LinearExpert) -> FloatArray:
        """Gains of an expert on the dev queries of a corpus, laid out like its pilots."""
        split = self.dev[corpus.name]
        gains = np.full((len(corpus.texts), len(STRENGTHS)), np.nan, dtype=np.float32)
        batch = QueryBatch(split.texts, split.vectors)
        for column, strength in enumerate(STRENGTHS):
            moved = expert.encode_queries(batch, strengths=np.full(len(split), strength, dtype=np.float32))
            own = self.score(corpus.name, moved) - self.base[corpus.name]
            gains[: len(split), column] = own
        return gains

    def fitted(self, library: PilotLibrary, experts: Experts, **settings: float) -> UtilityRouter:
        names = [expert.name for expert in experts]
        return UtilityRouter.fit(library, names, settings=replace(self.router.settings, **settings))

    def gain(self, name: str, router: UtilityRouter, experts: Experts, known: np.ndarray) -> float:
        split = self.dev[name]
        batch = QueryBatch(split.texts, split.vectors)
        routing = router.route(batch, known=known.astype(np.float32))
        written = [expert.encode_queries(batch, strengths=routing.strengths[:, i]) for i, expert in enumerate(experts)]
        mixed = mix_queries([split.vectors, *written], weights=routing.weights)
        return float((self.score(name, mixed) - self.base[name]).mean())

    def weight_off_base(self, name: str, router: UtilityRouter, known: np.ndarray) -> float:
        split = self.dev[name]
        routing = router.route(QueryBatch(split.texts, split.vectors), known=known.astype(np.float32))
        return float(1 - routing.weights[:, 0].mean())

    def score(self, name: str, vectors: FloatArray) -> FloatArray:
        split = self.dev[name]
        return ndcg_of_vectors(vectors, self.sets[name].documents, relevant=split.relevant, grades=split.grades)

    def source_of(self, name: str) -> str:
        return self.recipe.sources.get(name, name)


def summary(gains: dict[str, float]) -> dict:
    rounded = {name: round(gain, 5) for name, gain in gains.items()}
    return {"gains": rounded, "mean": round(float(np.mean(list(gains.values()))), 5), "worst": min(rounded.values())}


if __name__ == "__main__":
    main()
