"""Building a pack: train its experts, measure every one on every corpus, fit the router."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import new_folder, write_manifest
from routeret.datasets import load_dataset
from routeret.encoders import load_encoder
from routeret.experts import LinearExpert
from routeret.index.fulltext import Fulltext
from routeret.packs import FORMAT, KIND
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.routing import LEXICAL_WEIGHTS, STRENGTHS, PilotCorpus, PilotLibrary, RouterSettings, UtilityRouter
from routeret.training.choice import Choice, DevSet, choose, unit_length
from routeret.training.embedded import EmbeddedDataset, EmbeddedSplit, embed_dataset
from routeret.training.gains import ndcg_of
from routeret.training.linear import LinearRecipe, TrainingSet, fit_linear
from routeret.training.pack_recipe import ExpertRecipe, PackRecipe
from routeret.types import FloatArray, IntArray, QueryBatch

_ANCHORS_PER_SET = 600
_SEVERAL_SETS = LinearRecipe(checkpoints=(500, 1000), batch=288, anchor_weight=0.0)


@dataclass(frozen=True, slots=True)
class PackReport:
    """What became of a recipe.

    Attributes:
        name: of the pack.
        folder: where it was written.
        experts: by name: steps, strength and mean dev gain, over all its sets and by set.
        lexical_weight: the one lexical weight for all sets.
        seconds: how long it took.
    """

    name: str
    folder: Path
    experts: Mapping[str, Any]
    lexical_weight: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "experts": dict(self.experts),
            "lexical_weight": self.lexical_weight,
            "seconds": self.seconds,
        }


def build_pack(recipe: Path | str, *, out: Path | str, show_progress: bool = False) -> PackReport:
    """Train the experts and the router of a recipe and write the pack.

    Args:
        recipe: a TOML file, as :class:`PackRecipe` reads it.
        out: the pack's folder; must not exist.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: the recipe cannot be read, or a data set that it names is missing.
        CorpusError: a data set cannot be read.
        ArtifactError: ``out`` exists.
    """
    start = time.perf_counter()
    builder = _Builder(PackRecipe.read(recipe), show_progress=show_progress)
    with new_folder(Path(out)) as temporary:
        builder.write(temporary)
    return PackReport(
        name=builder.recipe.name,
        folder=Path(out),
        experts=builder.scores,
        lexical_weight=builder.lexical_weight,
        seconds=time.perf_counter() - start,
    )


class _Builder:
    """The steps of building a pack, in order."""

    def __init__(self, recipe: PackRecipe, *, show_progress: bool) -> None:
        self.recipe = recipe
        self._show = show_progress
        self._encoder: Encoder = load_encoder(recipe.base)
        self._sets = {
            name: embed_dataset(load_dataset(folder), self._encoder, cache=recipe.cache, show_progress=show_progress)
            for name, folder in recipe.folder_by_set.items()
        }
        self._dev_pilots = {
            name: self._sample(data.splits["dev"], recipe.n_dev_pilots) for name, data in self._sets.items()
        }
        self._dev_sets = {
            name: DevSet.of(self._sets[name].documents, pilots) for name, pilots in self._dev_pilots.items()
        }
        self.scores: dict[str, Any] = {}
        self.lexical_weight = 0.0

    def write(self, folder: Path) -> None:
        """Train everything and write it into an empty folder."""
        experts = [self._train(expert) for expert in self.recipe.experts]
        for expert in experts:
            expert.save(folder / "experts" / expert.name)
        library = PilotLibrary(
            query_tower=self._encoder.query_tower,
            corpora=tuple(self._pilots(name, experts) for name in self._sets),
        )
        bm25 = {name: self._bm25_scores(name) for name in self._sets}
        base = {name: self._lexical_gains(name, self._dev_pilots[name].queries, bm25[name]) for name in self._sets}
        means = np.mean([gains.mean(axis=0) for gains in base.values()], axis=0)
        self.lexical_weight = LEXICAL_WEIGHTS[int(np.argmax(means))]
        names = [expert.name for expert in experts]
        settings = RouterSettings(lexical_weight=self.lexical_weight)
        dense = UtilityRouter.fit(library, names, settings=settings)
        corpora = tuple(self._with_lexical(corpus, dense, experts, bm25[corpus.name]) for corpus in library.corpora)
        UtilityRouter.fit(replace(library, corpora=corpora), names, settings=settings).save(folder / "router")
        if self.recipe.notice is not None:
            shutil.copyfile(self.recipe.notice, folder / "NOTICE")
        write_manifest(folder, kind=KIND, format_number=FORMAT, fields=self._fields())

    def _train(self, expert: ExpertRecipe) -> LinearExpert:
        own = [self._sets[name] for name in expert.sets]
        others = [self._sets[name] for name in self._sets if self._source(name) not in map(self._source, expert.sets)]
        anchors = [self._sample(data.splits["train"], _ANCHORS_PER_SET).queries for data in others]
        recipe = _SEVERAL_SETS if len(own) > 1 else LinearRecipe()
        checkpoints = fit_linear(
            [_training_set(data) for data in own],
            anchors=np.concatenate(anchors) if anchors else None,
            recipe=recipe,
            seed=self.recipe.seed,
            show_progress=self._show,
        )
        choice = choose(checkpoints, [self._dev_sets[name] for name in expert.sets])
        self.scores[expert.name] = _scores(choice, expert)
        return LinearExpert(
            name=expert.name,
            weight=choice.weight.astype(np.float16).astype(np.float32),
            strength=choice.strength,
            space=self._encoder.space,
            query_tower=self._encoder.query_tower,
            known_documents=np.unique(np.concatenate([data.content_keys for data in own])),
            details={
                "data": {data.name: data.fingerprint for data in own},
                "anchors": [data.name for data in others],
                "seed": self.recipe.seed,
                "recipe": recipe.as_dict(),
                "dev": self.scores[expert.name],
            },
        )

    def _pilots(self, name: str, experts: Sequence[LinearExpert]) -> PilotCorpus:
        """Dev queries with the gain of every expert on them, then train queries without."""
        dev, train = self._dev_pilots[name], self._sample(self._sets[name].splits["train"], self.recipe.n_train_pilots)
        unmeasured = np.full((len(train), len(STRENGTHS)), np.nan, dtype=np.float32)
        gains = {}
        for expert in track(experts, description=f"measuring on {name}", unit="experts", show=self._show):
            columns = [self._dev_sets[name].gains(expert.weight, strength) for strength in STRENGTHS]
            gains[expert.name] = np.concatenate([np.stack(columns, axis=1), unmeasured])
        home = sorted(
            (expert for expert in self.recipe.experts if name in expert.sets), key=lambda expert: len(expert.sets)
        )
        return PilotCorpus(
            name=name,
            texts=(*dev.texts, *train.texts),
            vectors=np.concatenate([dev.queries, train.queries]),
            gains=gains,
            home_experts=tuple(expert.name for expert in home),
            source=self._source(name),
        )

    def _with_lexical(
        self, corpus: PilotCorpus, router: UtilityRouter, experts: Sequence[LinearExpert], bm25: FloatArray
    ) -> PilotCorpus:
        """The corpus with the gains of the lexical weights on top of the mixture that suits it."""
        dev = self._dev_pilots[corpus.name]
        constant = router.known_index(corpus.name, n_queries=len(dev))
        if constant is None:
            return corpus
        batch = QueryBatch(dev.texts, dev.queries)
        mixed = constant.weights[:, :1] * dev.queries
        for column, expert in enumerate(experts):
            written = expert.encode_queries(batch, strengths=constant.strengths[:, column])
            mixed = mixed + constant.weights[:, [1 + column]] * written
        gains = self._lexical_gains(corpus.name, unit_length(mixed), bm25)
        unmeasured = np.full((len(corpus.texts) - len(dev), len(LEXICAL_WEIGHTS)), np.nan, dtype=np.float32)
        return replace(corpus, lexical_gains=np.concatenate([gains, unmeasured]))

    def _lexical_gains(self, name: str, queries: FloatArray, bm25: FloatArray) -> FloatArray:
        """nDCG@10 at every lexical weight minus without, float32, shape (n_queries, n_lexical_weights)."""
        pilots, documents = self._dev_pilots[name], self._sets[name].documents
        columns = []
        for weight in LEXICAL_WEIGHTS:

            def scores(block: slice, weight: float = weight) -> FloatArray:
                return np.asarray(queries[block] @ documents.T + weight * bm25[block], dtype=np.float32)

            columns.append(ndcg_of(scores, positives=pilots.positives, grades=pilots.grades))
        return np.stack(columns, axis=1) - columns[0][:, None]

    def _bm25_scores(self, name: str) -> FloatArray:
        """BM25 of every dev pilot on every document, divided by its best, shape (n_pilots, n_documents)."""
        fulltext = Fulltext.build(self._sets[name].document_texts)
        scores = np.stack([fulltext.scores(text) for text in self._dev_pilots[name].texts])
        return np.asarray(scores / np.maximum(scores.max(axis=1, keepdims=True), np.finfo(np.float32).tiny))

    def _sample(self, split: EmbeddedSplit, n_queries: int) -> EmbeddedSplit:
        rng = np.random.default_rng(self.recipe.seed)
        chosen: IntArray = np.sort(rng.permutation(len(split))[:n_queries])
        return split.take(chosen)

    def _source(self, name: str) -> str:
        return self.recipe.sources.get(name, name)

    def _fields(self) -> dict[str, Any]:
        from routeret import __version__

        return {
            "name": self.recipe.name,
            "routeret": __version__,
            "base": self.recipe.base,
            "space": self._encoder.space.as_dict(),
            "query_tower": self._encoder.query_tower,
            "lexical_weight": self.lexical_weight,
            "data": {name: data.fingerprint for name, data in self._sets.items()},
            "experts": self.scores,
            "seed": self.recipe.seed,
        }


def _training_set(data: EmbeddedDataset) -> TrainingSet:
    train = data.splits["train"]
    return TrainingSet(data.name, train.queries, data.documents, train.positives)


def _scores(choice: Choice, expert: ExpertRecipe) -> dict[str, Any]:
    return {
        "steps": choice.steps,
        "strength": choice.strength,
        "mean_gain": round(choice.mean_gain, 6),
        "gain_by_set": {
            name: round(float(gains.mean()), 6) for name, gains in zip(expert.sets, choice.gains, strict=True)
        },
    }
