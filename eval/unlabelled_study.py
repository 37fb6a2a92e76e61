"""Measures what tuning without labels gains on corpora that no expert knows, beside cheap rivals.

    python eval/unlabelled_study.py --data FOLDER... --cache CACHE --split dev --out eval/results/tune/unlabelled.json

Every corpus is an index of its own, searched by the base alone, by the base with the index's closed-form map, by the
uniform mixture of base and experts, and by the base with the map that tuning without labels makes, for several seeds
of its pseudo-queries. Experts that were trained on the corpus, or on another of its source, are left out of the
mixture, and so is the multi-task expert where it was. All of it once alone and once with BM25 beside it. The indexes
of an evaluation are used if they are in the cache.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import write_json
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import load_encoder
from routeret.evaluation.indexing import indexes_of, query_vectors
from routeret.evaluation.provenance import installed_versions
from routeret.experts import LinearExpert, load_expert
from routeret.experts.strength import applied
from routeret.fusion import mix_queries, weighted_lexical
from routeret.index import Index
from routeret.packs import DEFAULT_PACK, read_pack
from routeret.protocols import Encoder
from routeret.retriever.index_map import IndexMap
from routeret.retriever.pool import DEFAULT_LEXICAL_WEIGHT, Pool
from routeret.retriever.searching import Searcher
from routeret.retriever.unlabelled import unknown_documents, unlabelled_task
from routeret.routing import RouterSettings
from routeret.training.pack_recipe import PackRecipe
from routeret.training.scoring import ndcg_of_scores
from routeret.training.unlabelled import fit_unlabelled
from routeret.types import FloatArray, QueryBatch

MULTITASK = "multitask"
OURS = "tuned without labels"
IN_FULL = "the learned map at full strength"
_BLOCK = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="BEIR folders")
    parser.add_argument("--recipe", type=Path, default=Path("eval/packs/minilm-domains.toml"))
    parser.add_argument("--pack", default=DEFAULT_PACK)
    parser.add_argument("--split", default="dev", choices=["dev", "test"], help="measured on; test is for the end")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="measure on N queries of a split, evenly")
    parser.add_argument("--cache", type=Path, help="where indexes and queries' vectors are kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "tune" / "unlabelled.json")
    options = parser.parse_args()
    recipe = PackRecipe.read(options.recipe)
    encoder = load_encoder(recipe.base)
    pack = read_pack(options.pack)
    experts = [load_expert(folder) for folder in pack.expert_folders.values()]
    corpora = {}
    for folder in options.data:
        dataset = load_dataset(folder)
        with indexes_of([dataset], encoder, merged=False, cache=options.cache, show_progress=True) as indexes:
            study = CorpusStudy(dataset, indexes[dataset.name].index, encoder, options)
            corpora[dataset.name] = study.measured(without(experts, dataset.name, recipe), n_seeds=options.seeds)
        print(dataset.name, corpora[dataset.name]["alone"], corpora[dataset.name]["with_bm25"], flush=True)
        values = {
            "split": options.split,
            "strength": RouterSettings().index_strength,
            "summary": {kind: summarised({name: row[kind] for name, row in corpora.items()}) for kind in KINDS},
            "corpora": corpora,
            "versions": installed_versions(),
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, values)
    for kind in KINDS:
        print(kind, values["summary"][kind])


KINDS = ("alone", "with_bm25")


class CorpusStudy:
    """One corpus, its index, and the queries that it is measured on."""

    def __init__(self, dataset: Dataset, index: Index, encoder: Encoder, options: argparse.Namespace) -> None:
        texts, qrels = dataset.split(options.split)
        ids = list(texts)
        if options.limit is not None and options.limit < len(ids):
            ids = [ids[place] for place in np.linspace(0, len(ids) - 1, options.limit).astype(np.int64)]
        self.texts = tuple(texts[one] for one in ids)
        self.searcher = Searcher(index, Pool(encoder))
        self.queries = query_vectors(self.texts, encoder, cache=options.cache)
        self.rows = index.live_rows
        self.documents = index.vectors(self.rows)
        owners = index.row_documents[self.rows]
        judged = [{one: grade for one, grade in qrels[one_id].items() if grade > 0} for one_id in ids]
        numbers = [index.numbers(list(one)) for one in judged]
        self.relevant = tuple(np.searchsorted(owners, one) for one in numbers)
        self.grades = tuple(np.array(list(one.values()), dtype=np.float32) for one in judged)
        scores = np.stack([index.fulltext.scores(text)[owners] for text in self.texts])
        weights = np.full(len(scores), DEFAULT_LEXICAL_WEIGHT, dtype=np.float32)
        self.lexical = weighted_lexical(scores, weights=weights, best=scores.max(axis=1, initial=0.0))

    def measured(self, experts: list[LinearExpert], *, n_seeds: int) -> dict[str, Any]:
        """nDCG@10 of the base, and what others gain over it."""
        batch = QueryBatch(self.texts, self.queries)
        at = {expert.name: np.full(len(batch), expert.strength, dtype=np.float32) for expert in experts}
        written = [expert.encode_queries(batch, strengths=at[expert.name]) for expert in experts]
        weights = np.full((len(batch), 1 + len(written)), 1 / (1 + len(written)), dtype=np.float32)
        vectors = {"uniform mixture": [mix_queries([self.queries, *written], weights=weights)]}
        closed_form = IndexMap().weight(self.searcher.index, is_known=lambda numbers: np.zeros(len(numbers), bool))
        vectors["closed-form map"] = [self.turned(closed_form)]
        vectors[OURS], tuned = [], []
        for seed in range(n_seeds):
            start = time.process_time()
            task = unlabelled_task(self.searcher, unknown_documents(self.searcher), seed=seed)
            if task is None:
                vectors[OURS].append(self.turned(closed_form))
                continue
            outcome = fit_unlabelled(task, strength=RouterSettings().index_strength, seed=seed)
            seconds = round(time.process_time() - start, 1)
            vectors[OURS].append(self.turned(outcome.weight if outcome.is_better else closed_form))
            agreement = {"before": round(outcome.before, 4), "after": round(outcome.after, 4)}
            tuned.append({"n_pseudo_queries": len(task.queries), **agreement, "cpu_seconds": seconds})
        found: dict[str, Any] = {"n_queries": len(batch), "n_documents": len(self.documents), "tuned": tuned}
        # Beside BM25, an index is searched with its closed-form map, whatever it has learned.
        beside = {**vectors, OURS: vectors["closed-form map"], IN_FULL: vectors[OURS]}
        for kind, lexical, compared in zip(KINDS, (None, self.lexical), (vectors, beside), strict=True):
            base = self.ndcg(self.queries, lexical)
            gains = {
                name: [round(float((self.ndcg(one, lexical) - base).mean()), 5) for one in several]
                for name, several in compared.items()
            }
            found[kind] = {"base": round(float(base.mean()), 5), **gains}
        return found

    def turned(self, weight: FloatArray | None) -> FloatArray:
        """The queries with a map of the index, at the strength of a router's usual settings."""
        if weight is None:
            return self.queries
        strengths = np.full(len(self.queries), RouterSettings().index_strength, dtype=np.float32)
        unit_length = self.searcher.index.space.unit_length
        return applied(self.queries, self.queries @ weight.T, strengths=strengths, unit_length=unit_length)

    def ndcg(self, vectors: FloatArray, lexical: FloatArray | None) -> FloatArray:
        values = []
        for start in range(0, len(vectors), _BLOCK):
            part = slice(start, start + _BLOCK)
            scores = vectors[part] @ self.documents.T
            if lexical is not None:
                scores += lexical[part]
            values.append(ndcg_of_scores(scores, relevant=self.relevant[part], grades=self.grades[part]))
        return np.concatenate(values)


def without(experts: list[LinearExpert], corpus: str, recipe: PackRecipe) -> list[LinearExpert]:
    """The experts that have seen neither a corpus nor another of its source."""
    source = recipe.sources.get(corpus, corpus)
    out = {name for name in recipe.folder_by_set if recipe.sources.get(name, name) == source}
    trained_on = {expert.name: set(expert.sets) for expert in recipe.experts}
    return [expert for expert in experts if not out or (expert.name != MULTITASK and not trained_on[expert.name] & out)]


def summarised(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, median and worst gain over the corpora, every corpus by the mean over its seeds."""
    names = [name for name in next(iter(rows.values())) if name != "base"]
    summary = {}
    for name in names:
        gains = {corpus: float(np.mean(row[name])) for corpus, row in rows.items()}
        worst = min(gains, key=lambda corpus: gains[corpus])
        summary[name] = {
            "mean": round(float(np.mean(list(gains.values()))), 5),
            "median": round(float(np.median(list(gains.values()))), 5),
            "worst": round(gains[worst], 5),
            "worst_corpus": worst,
        }
    return summary


if __name__ == "__main__":
    main()
