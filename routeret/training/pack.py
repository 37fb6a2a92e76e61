"""Building a pack: train its experts, measure every one on every corpus, fit the router."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import new_folder, remove_leftovers, write_manifest
from routeret.corpus import Corpus
from routeret.datasets import load_dataset
from routeret.encoders import load_encoder
from routeret.experts import LinearExpert, LoraExpert
from routeret.experts.remembering import remembering
from routeret.fusion import mix_queries, weighted_lexical
from routeret.index.lexical import Fulltext
from routeret.packs import FORMAT, KIND
from routeret.progress import track
from routeret.routing import LEXICAL_WEIGHTS, PilotCorpus, PilotLibrary, RouterSettings, UtilityRouter
from routeret.routing.description import described
from routeret.training.embedded import EmbeddedSet, embed_dataset
from routeret.training.fitting import FitState
from routeret.training.linear import LinearRecipe
from routeret.training.material import Anchors, Material
from routeret.training.measuring import PilotQueries, divide, pilot_corpus, pilot_queries
from routeret.training.pack_recipe import ExpertRecipe, PackRecipe
from routeret.training.scoring import ndcg_of_scores
from routeret.training.trained import Trained, require_layers, trained_linear, trained_lora
from routeret.types import FloatArray, QueryBatch

SEVERAL_SETS = LinearRecipe(checkpoints=(500, 1000), batch=288, anchor_weight=0.0)
"""How an expert for several sets is trained: longer, in larger batches, with no other domain to keep away from."""

_ANCHORS_PER_SET = 600


@dataclass(frozen=True, slots=True)
class PackReport:
    """What became of a recipe.

    Attributes:
        name: of the pack.
        folder: where it was written.
        experts: by name: kind, steps, strength and mean dev gain, over all its sets and by set.
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


def build_pack(
    recipe: Path | str | PackRecipe, *, out: Path | str, device: str | None = None, show_progress: bool = False
) -> PackReport:
    """Train the experts and the router of a recipe and write the pack.

    The training of LoRA experts that was interrupted goes on when the same call is repeated, from files beside ``out``.

    Args:
        recipe: a TOML file, as :class:`PackRecipe` reads it, or what was read from one.
        out: the pack's folder; must not exist.
        device: where the base runs and LoRA experts are trained.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: the recipe cannot be read, a data set that it names is missing, or it has LoRA experts and a base
            without layers to adapt.
        CorpusError: a data set cannot be read.
        ArtifactError: ``out`` exists, or beside it is the state of an interrupted training with other settings.
        TrainingDivergedError: a loss is not finite; its batch is named.
    """
    start = time.perf_counter()
    read = recipe if isinstance(recipe, PackRecipe) else PackRecipe.read(recipe)
    builder = _Builder(read, out=Path(out), device=device, show_progress=show_progress)
    with new_folder(Path(out)) as temporary:
        builder.write(temporary)
    builder.forget_states()
    remove_leftovers(Path(out))
    return PackReport(
        name=builder.recipe.name,
        folder=Path(out),
        experts=builder.scores,
        lexical_weight=builder.lexical_weight,
        seconds=time.perf_counter() - start,
    )


class _Builder:
    """The steps of building a pack, in order."""

    def __init__(self, recipe: PackRecipe, *, out: Path, device: str | None, show_progress: bool) -> None:
        self.recipe = recipe
        self._out = out
        self.scores: dict[str, Any] = {}
        self.lexical_weight = 0.0
        self._show = show_progress
        self._states: tuple[FitState, ...] = ()
        self._encoder = load_encoder(recipe.base, device=device)
        if any(expert.kind == "lora" for expert in recipe.experts):
            require_layers(self._encoder)
        self._sets: dict[str, EmbeddedSet] = {}
        self._pilots: dict[str, PilotQueries] = {}
        self._bm25: dict[str, FloatArray] = {}
        for name, folder in recipe.folder_by_set.items():
            dataset = load_dataset(folder)
            embedded = embed_dataset(dataset, self._encoder, cache=recipe.cache, show_progress=show_progress)
            pilots = pilot_queries(embedded)
            fulltext = _fulltext(dataset.corpus)
            self._sets[name], self._pilots[name] = embedded, pilots
            self._bm25[name] = _scaled_bm25(fulltext, pilots.measured.texts)

    def write(self, folder: Path) -> None:
        """Train everything and write it into an empty folder."""
        trained = [self._trained(expert) for expert in self.recipe.experts]
        for expert in trained:
            expert.save(folder / "experts" / expert.name)
        # Every strength, and then the router's mixtures, are measured on the same queries.
        experts = [remembering(expert) for expert in trained]
        corpora = track(self._sets, description="measuring", unit="sets", show=self._show)
        library = PilotLibrary(
            query_tower=self._encoder.query_tower, corpora=tuple(self._measured(name, experts) for name in corpora)
        )
        self.lexical_weight = self._best_lexical_weight()
        names = [expert.name for expert in experts]
        settings = RouterSettings(lexical_weight=self.lexical_weight)
        dense = UtilityRouter.fit(library, names, settings=settings)
        with_lexical = tuple(self._with_lexical(corpus, dense, experts) for corpus in library.corpora)
        router = UtilityRouter.fit(replace(library, corpora=with_lexical), names, settings=settings)
        router.save(folder / "router")
        if self.recipe.notice is not None:
            shutil.copyfile(self.recipe.notice, folder / "NOTICE")
        write_manifest(folder, kind=KIND, format_number=FORMAT, fields=self._fields())

    def forget_states(self) -> None:
        """Remove what an interrupted training would go on from."""
        for state in self._states:
            state.remove()

    def _trained(self, expert: ExpertRecipe) -> LinearExpert | LoraExpert:
        own = tuple(self._sets[name] for name in expert.sets)
        material = Material(self._encoder, own, tuple(divide(one) for one in own), self._anchors(expert))
        seed, show = self.recipe.seed, self._show
        if expert.kind == "lora":
            out = self._out.with_name(f"{self._out.name}-{expert.name}")
            trained = trained_lora(expert.name, material, self.recipe.lora, out=out, seed=seed, show_progress=show)
        else:
            recipe = SEVERAL_SETS if len(own) > 1 else LinearRecipe()
            trained = trained_linear(expert.name, material, recipe, seed=seed, show_progress=show)
        self._states += trained.states
        self.scores[expert.name] = _scores(trained, expert)
        details = {
            "data": {one.name: dict(one.checksums) for one in own},
            "seed": seed,
            **trained.settings,
            "dev": self.scores[expert.name],
            **described(expert.description),
        }
        return replace(trained.expert, details=details)

    def _anchors(self, expert: ExpertRecipe) -> Anchors:
        """Train queries of the sets that share no source with an expert's."""
        sources = {self._source(name) for name in expert.sets}
        rng = np.random.default_rng(self.recipe.seed)
        others = {name: one for name, one in self._sets.items() if self._source(name) not in sources}
        texts: list[str] = []
        vectors = [np.zeros((0, self._encoder.space.dim), dtype=np.float32)]
        for embedded in others.values():
            train = divide(embedded).train
            chosen = train.take(rng.permutation(len(train))[:_ANCHORS_PER_SET])
            texts += chosen.texts
            vectors.append(chosen.vectors)
        return Anchors(tuple(others), tuple(texts), np.concatenate(vectors))

    def _measured(self, name: str, experts: Sequence[LinearExpert | LoraExpert]) -> PilotCorpus:
        home = [expert for expert in self.recipe.experts if name in expert.sets]
        home.sort(key=lambda expert: len(expert.sets))
        names = [expert.name for expert in home]
        return pilot_corpus(self._sets[name], experts, home_experts=names, source=self._source(name))

    def _best_lexical_weight(self) -> float:
        """The weight that does best beside the base, on the mean over sets."""
        gains = [
            self._lexical_gains(name, pilots.measured.vectors).mean(axis=0) for name, pilots in self._pilots.items()
        ]
        return LEXICAL_WEIGHTS[int(np.argmax(np.mean(gains, axis=0)))]

    def _with_lexical(
        self, corpus: PilotCorpus, router: UtilityRouter, experts: Sequence[LinearExpert | LoraExpert]
    ) -> PilotCorpus:
        """The corpus with the gains of the lexical weights on top of the mixture of experts that suits it."""
        pilots = self._pilots[corpus.name]
        constant = router.known_index(corpus.name, n_queries=len(pilots.measured))
        if constant is None:
            return corpus
        batch = QueryBatch(pilots.measured.texts, pilots.measured.vectors)
        written = [
            expert.encode_queries(batch, strengths=constant.strengths[:, column])
            for column, expert in enumerate(experts)
        ]
        mixed = mix_queries([batch.base, *written], weights=constant.weights)
        return replace(corpus, lexical_gains=pilots.with_unmeasured(self._lexical_gains(corpus.name, mixed)))

    def _lexical_gains(self, name: str, vectors: FloatArray) -> FloatArray:
        """nDCG@10 at every lexical weight minus without, float32, shape (n_queries, n_lexical_weights)."""
        queries = self._pilots[name].measured
        cosines = vectors @ self._sets[name].documents.T
        columns = [
            ndcg_of_scores(
                cosines + np.float32(weight) * self._bm25[name], relevant=queries.relevant, grades=queries.grades
            )
            for weight in LEXICAL_WEIGHTS
        ]
        return np.stack(columns, axis=1) - columns[0][:, None]

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
            "data": {name: dict(embedded.checksums) for name, embedded in self._sets.items()},
            "experts": self.scores,
            "seed": self.recipe.seed,
            "recipe": self.recipe.checksum,
        }


def _fulltext(corpus: Corpus) -> Fulltext:
    """BM25 over the documents of a corpus, numbered in their order."""
    texts = [f"{document.title} {document.text}" for document in corpus]
    return Fulltext.of(enumerate(texts), n_documents=len(texts))


def _scaled_bm25(fulltext: Fulltext, texts: Sequence[str]) -> FloatArray:
    """BM25 of every query on every document, divided by its best, shape (n_queries, n_documents)."""
    scores = np.stack([fulltext.scores(text) for text in texts])
    return weighted_lexical(scores, weights=np.ones(len(scores), dtype=np.float32), best=scores.max(axis=1))


def _scores(trained: Trained, expert: ExpertRecipe) -> dict[str, Any]:
    choice = trained.choice
    return {
        "kind": expert.kind,
        "steps": trained.steps,
        "strength": choice.strength,
        "gain": round(choice.gain, 6),
        "gain_by_set": {
            name: round(float(gains.mean()), 6) for name, gains in zip(expert.sets, choice.chosen, strict=True)
        },
    }
