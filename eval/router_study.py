"""Choose the settings of the router on dev queries: at home, all corpora in one index, and on corpora never seen.

A corpus that is left out takes with it every corpus of the same source, the experts trained on them, their pilots, and
their part in the multi-task expert, which is trained again without them. What remains has never seen the corpus, so its
dev queries show what the router does on documents of somebody else. Further corpora that no expert was trained on can
be added. Run after the pack was built, from the checkout:

    python eval/router_study.py --pack routeret/packs_data/minilm-domains --out eval/results/router/study.json \\
        --unknown FOLDER...
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from routeret.artifact import write_json
from routeret.datasets import load_dataset
from routeret.encoders import load_encoder
from routeret.experts import LinearExpert, load_expert
from routeret.experts.sketch import are_among
from routeret.experts.strength import applied
from routeret.fusion import mix_queries
from routeret.index.structures.best import top_k
from routeret.packs import read_pack
from routeret.retriever.index_map import MOST_ROWS, evenly
from routeret.retriever.searching import FIRST_HITS
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, RouterSettings, RoutingBatch, UtilityRouter
from routeret.routing.whitening import LEAST_VECTORS, whitening
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.linear import fit_linear
from routeret.training.measuring import divide, pilot_queries
from routeret.training.pack import SEVERAL_SETS
from routeret.training.pack_recipe import PackRecipe
from routeret.training.scoring import ndcg_of_scores, ndcg_of_vectors
from routeret.types import FloatArray, HashArray, QueryBatch

Experts = list[LinearExpert]

MULTITASK = "multitask"
TEMPERATURES = (0.005, 0.01, 0.02)
UNKNOWN_STRENGTHS = (0.0, 0.1, 0.2)
INDEX_STRENGTHS = (0.0, 0.1, 0.2, 0.3)
CORPUS_PENALTIES = (0.0, 0.05, 0.1, 0.15, 0.2)
MOST_QUERIES = 300
"""Of a corpus, in an index of all of them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("eval/packs/minilm-domains.toml"))
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--unknown", type=Path, nargs="*", default=[], help="BEIR folders that no expert has seen.")
    options = parser.parse_args()
    study = Study(PackRecipe.read(options.recipe), options.pack, unknown=options.unknown)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found = {"home": study.home(), "merged": study.merged(), "left_out": study.left_out()}
    write_json(options.out, {"split": "dev", **found})


class Study:
    def __init__(self, recipe: PackRecipe, pack: Path, *, unknown: Sequence[Path]) -> None:
        self.recipe = recipe
        encoder = load_encoder(recipe.base)
        folders = {**recipe.folder_by_set, **{folder.name: folder for folder in unknown}}
        self.homes = tuple(recipe.folder_by_set)
        self.sets = {
            name: embed_dataset(
                load_dataset(folder),
                encoder,
                splits=("train", "dev") if name in self.homes else ("dev",),
                cache=recipe.cache,
                show_progress=True,
            )
            for name, folder in folders.items()
        }
        opened = read_pack(pack)
        self.router = UtilityRouter.load(opened.router_folder)
        loaded = {name: load_expert(folder) for name, folder in opened.expert_folders.items()}
        self.experts = [loaded[name] for name in self.router.expert_names]
        self.dev = {
            name: pilot_queries(data).measured if name in self.homes else data.queries_by_split["dev"]
            for name, data in self.sets.items()
        }
        self.maps = {name: index_map(data.documents) for name, data in self.sets.items()}
        self.base = {name: self.score(name, split.vectors) for name, split in self.dev.items()}

    def home(self) -> list[dict]:
        """Every corpus with its own experts in the pool, documents known."""
        rows = []
        for temperature in TEMPERATURES:
            router = self.fitted(self.router.library, self.experts, temperature=temperature)
            gains = {}
            for name in self.homes:
                keys = self.sets[name].content_keys
                shares = [are_among(keys, expert.known_documents).mean() for expert in self.experts]
                gains[name] = self.gain(name, router, self.experts, np.tile(shares, (len(self.dev[name]), 1)))
            rows.append({"temperature": temperature, **summary(gains)})
        return rows

    def merged(self) -> list[dict]:
        """All corpora with experts in one index, of one source the first; queries of every corpus, at most 300."""
        first_of_source = {self.source_of(name): name for name in reversed(self.homes)}
        names = [name for name in self.homes if name in first_of_source.values()]
        index = MergedIndex.of({name: self.sets[name] for name in names})
        knows = np.stack([are_among(index.keys, expert.known_documents) for expert in self.experts], axis=1)
        gains = {penalty: {} for penalty in CORPUS_PENALTIES}
        for name in names:
            dev = self.dev[name]
            split = dev.take(np.linspace(0, len(dev) - 1, min(len(dev), MOST_QUERIES)).astype(np.int64))
            relevant = tuple(rows + index.starts[name] for rows in split.relevant)
            batch = QueryBatch(split.texts, split.vectors)
            scores = split.vectors @ index.documents.T
            base = ndcg_of_scores(scores, relevant=relevant, grades=split.grades)
            hits = top_k(scores, FIRST_HITS).rows
            for penalty in CORPUS_PENALTIES:
                router = self.fitted(self.router.library, self.experts, corpus_penalty=penalty)
                routing = router.route(batch, known=knows[hits].mean(axis=1, dtype=np.float32))
                scores = self.mixed(batch, routing, self.experts) @ index.documents.T
                if routing.standing is not None:
                    for query in range(len(split)):
                        # Every document of this index stands in some corpus.
                        counts = routing.standing.of(query, knows)
                        scores[query] += np.minimum(counts - counts[hits[query]].max(), 0)
                gain = ndcg_of_scores(scores, relevant=relevant, grades=split.grades) - base
                gains[penalty][name] = float(gain.mean())
        return [{"corpus_penalty": penalty, **summary(found)} for penalty, found in gains.items()]

    def left_out(self) -> list[dict]:
        """Every corpus once without all that was trained on it or on its source, no document known."""
        without = {source: self.pool_without(source) for source in {self.source_of(name) for name in self.sets}}
        pools = {name: without[self.source_of(name)] for name in self.sets}
        usual = RouterSettings()
        grid = [(usual.temperature, strength, index) for strength in UNKNOWN_STRENGTHS for index in INDEX_STRENGTHS]
        grid += [(temperature, usual.unknown_strength, usual.index_strength) for temperature in TEMPERATURES]
        rows = []
        for temperature, strength, index in dict.fromkeys(grid):
            settings = {"temperature": temperature, "unknown_strength": strength, "index_strength": index}
            gains, weights = {}, {}
            for name, (library, experts) in pools.items():
                router = self.fitted(library, experts, **settings)
                unknown = np.zeros((len(self.dev[name]), len(experts)))
                gains[name] = self.gain(name, router, experts, unknown)
                weights[name] = self.weight_off_base(name, router, unknown)
            rows.append({**settings, **summary(gains), "weight_off_base": float(np.mean(list(weights.values())))})
        return rows

    def pool_without(self, source: str) -> tuple[PilotLibrary, list[LinearExpert]]:
        """Library and experts as if the corpora of a source did not exist."""
        out = [name for name in self.sets if self.source_of(name) == source]
        if not set(out) & set(self.homes):
            return self.router.library, self.experts
        kept = [name for name in self.homes if name not in out]
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
        vectors, weight = self.mixed(batch, routing, experts), self.maps[name]
        if weight is not None:
            unit_length = self.sets[name].space.unit_length
            vectors = applied(vectors, vectors @ weight.T, strengths=routing.adaptation, unit_length=unit_length)
        return float((self.score(name, vectors) - self.base[name]).mean())

    def mixed(self, batch: QueryBatch, routing: RoutingBatch, experts: Experts) -> FloatArray:
        written = [expert.encode_queries(batch, strengths=routing.strengths[:, i]) for i, expert in enumerate(experts)]
        return mix_queries([batch.base, *written], weights=routing.weights)

    def weight_off_base(self, name: str, router: UtilityRouter, known: np.ndarray) -> float:
        split = self.dev[name]
        routing = router.route(QueryBatch(split.texts, split.vectors), known=known.astype(np.float32))
        return float(1 - routing.weights[:, 0].mean())

    def score(self, name: str, vectors: FloatArray) -> FloatArray:
        split = self.dev[name]
        return ndcg_of_vectors(vectors, self.sets[name].documents, relevant=split.relevant, grades=split.grades)

    def source_of(self, name: str) -> str:
        return self.recipe.sources.get(name, name)


@dataclass(frozen=True)
class MergedIndex:
    documents: FloatArray
    keys: HashArray
    starts: dict[str, int]

    @classmethod
    def of(cls, sets: Mapping[str, EmbeddedSet]) -> "MergedIndex":
        sizes = [len(data.documents) for data in sets.values()]
        return cls(
            np.concatenate([data.documents for data in sets.values()]),
            np.concatenate([data.content_keys for data in sets.values()]),
            dict(zip(sets, np.cumsum([0, *sizes]).tolist(), strict=False)),
        )


def index_map(documents: FloatArray) -> FloatArray | None:
    """The map of an index that holds these documents alone."""
    rows = evenly(np.arange(len(documents)), most=MOST_ROWS)
    return whitening(documents[rows]) if len(rows) >= LEAST_VECTORS else None


def summary(gains: dict[str, float]) -> dict:
    rounded = {name: round(gain, 5) for name, gain in gains.items()}
    return {"gains": rounded, "mean": round(float(np.mean(list(gains.values()))), 5), "worst": min(rounded.values())}


if __name__ == "__main__":
    main()
