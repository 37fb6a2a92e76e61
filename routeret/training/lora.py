"""Fits low-rank adapters in the base's query tower; the documents' vectors stay as they are, and are computed once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.encoders.adapted import adaptable_layers, adapter_weights, add_adapter
from routeret.encoders.adapter import Adapter
from routeret.encoders.torch import TorchEncoder
from routeret.errors import InputError, TrainingDivergedError
from routeret.routing.pilots import STRENGTHS
from routeret.training.choosing import DevScores, mean_gain
from routeret.training.fitting import Batches, DevScore, FitState, Fitted, Schedule, fit_tower
from routeret.training.linear import LEAST_BATCH, require_mining
from routeret.training.losses import many_positives
from routeret.training.material import Anchors
from routeret.training.negatives import MARGIN
from routeret.training.recipe_numbers import require_above_zero, require_at_least_zero, require_finite
from routeret.training.scoring import JudgedQueries
from routeret.training.tower import Tower
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

_NAMED = 3
_WEIGHTS = "weights/"
"""What stands before the names of matrices among the arrays of a dev score."""


@dataclass(frozen=True, slots=True)
class LoraRecipe:
    """How a LoRA expert is fitted; ``eval/lora_study.py`` compares other settings on dev splits.

    Attributes:
        learning_rates: of AdamW; every rate is fitted by itself, and dev decides.
        checkpoints: after how many steps an adapter is scored on dev and kept; the learning rate rises over the first
            tenth of the steps and falls linearly to a tenth at the last.
        rank: of the adapter.
        alpha: the adapter is scaled by alpha / rank.
        dropout: of what the adapter reads; the base's own layers have none.
        batch: queries a step, over all sets together; every set gives the same number, at least 16.
        weight_decay: of AdamW.
        temperature: what cosines are divided by.
        n_candidates: documents a step at most; a larger corpus is drawn from at random, positives always included.
        anchor_weight: how much it costs to turn the queries of other domains; see :func:`fit_lora`.
        n_anchors: queries of other domains a step.
        max_tokens: longer queries are cut while training; None takes the base's limit.
        n_hard_negatives: of every query, beside the candidates that are drawn, mined from the base and from BM25. A
            corpus of at most ``n_candidates`` documents is a candidate as a whole, so nothing is mined in it.
        margin: a document that scores above the mean of the query's answers, less this share of it, is likely to be an
            answer that nobody marked, so it is not mined. None mines whatever is not marked.
        rounds: how often hard negatives are mined; from the second on from the expert of the round before as well.
            Every round is fitted from the beginning, and the last one counts.
        ignores_likely_answers: whether documents that the base scores above the margin are no negatives of that query
            either when they were drawn or come with another query. A query whose answers the base does not find then
            teaches little.
    """

    learning_rates: tuple[float, ...] = (1e-3, 2e-3)
    checkpoints: tuple[int, ...] = (60, 120, 240)
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    batch: int = 64
    weight_decay: float = 0.01
    temperature: float = 0.05
    n_candidates: int = 20_000
    anchor_weight: float = 5.0
    n_anchors: int = 16
    max_tokens: int | None = 128
    n_hard_negatives: int = 0
    margin: float | None = MARGIN
    rounds: int = 1
    ignores_likely_answers: bool = False

    def __post_init__(self) -> None:
        """Refuse settings without a meaning.

        Raises:
            InputError: a setting is outside its range, or no finite number.
        """
        require_finite(self)
        if not self.learning_rates:
            raise InputError("no learning rate was given; expected at least one")
        for rate in self.learning_rates:
            self.schedule(rate)
        require_above_zero(self, "rank", "alpha", "batch", "temperature", "n_candidates", "n_anchors")
        require_at_least_zero(self, "weight_decay", "anchor_weight")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is {self.dropout}, expected 0 to below 1")
        require_mining(self.n_hard_negatives, self.margin, self.rounds, ignores_likely=self.ignores_likely_answers)

    @property
    def n_drawn(self) -> int:
        """Documents that are drawn a step; hard negatives matter in larger corpora alone."""
        return self.n_candidates

    def schedule(self, learning_rate: float) -> Schedule:
        """How long and how fast the fit of one rate is."""
        return Schedule(self.checkpoints, learning_rate, weight_decay=self.weight_decay)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, eq=False)
class AskedSet:
    """A training set with the texts of its queries.

    Attributes:
        texts: of the queries, in their order.
        training: what answers them, with the base's vectors.
    """

    texts: tuple[str, ...]
    training: TrainingSet

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        if len(self.texts) != len(self.training.queries):
            raise InputError(f"{len(self.texts)} texts came with {len(self.training.queries)} query vectors")


@dataclass(frozen=True, slots=True, eq=False)
class LoraFit:
    """An adapter after some steps of one fit.

    Attributes:
        learning_rate: of the fit.
        steps: how many.
        adapter: as it was then.
    """

    learning_rate: float
    steps: int
    adapter: Adapter


@dataclass(frozen=True, slots=True, eq=False)
class LoraFits:
    """What came of all learning rates of a recipe.

    Attributes:
        fits: the adapters of every rate at every checkpoint that was reached, in this order; at least one.
        scores: what each is worth on dev, by set.
        diverged: by learning rate, why its fit ended before its last step; none where all went well.
    """

    fits: list[LoraFit]
    scores: list[DevScores]
    diverged: Mapping[float, str]


def fit_lora(
    base: TorchEncoder,
    sources: Sequence[AskedSet],
    *,
    dev: Sequence[tuple[Sequence[str], JudgedQueries]],
    anchors: Anchors | None = None,
    recipe: LoraRecipe | None = None,
    seed: int = 0,
    states: Mapping[float, FitState] | None = None,
    show_progress: bool = False,
) -> LoraFits:
    """Fit an adapter at every learning rate of a recipe, on the queries of one or several sets at once.

    The loss of a query is that of :func:`~routeret.training.losses.many_positives`, against the negatives alone, over
    the whole corpus or a large part of it. To it comes ``anchor_weight * (1 - cos(adapted q, q))`` on queries of other
    domains, as for linear experts. The transformer computes in the base's precision, by default bfloat16 where
    the hardware has it; dev queries are encoded in float32, as an index encodes them. A rate whose loss or gradient is
    not finite ends there, and counts with the checkpoints that it reached.

    Args:
        base: the encoder; it is not changed.
        sources: at least one; every step draws the same number of queries from each.
        dev: the dev queries of every set, as texts and as what they are judged by; at least one set.
        anchors: queries of other domains. None leaves them out.
        recipe: the defaults where None.
        seed: fixes the draws; the same seed gives the same adapters on one machine with one number of threads.
        states: where the fit of every learning rate is kept on the way. None keeps nothing.
        show_progress: draw progress bars on stderr.

    Raises:
        InputError: there is no source or dev set, or the base has no layers to adapt.
        TrainingDivergedError: a loss is not finite, and no rate reached a checkpoint; the batch is named.
        ArtifactError: a state is damaged, or of other settings.
    """
    recipe = recipe or LoraRecipe()
    if not sources or not dev:
        raise InputError(f"found {len(sources)} training and {len(dev)} dev sets, expected at least one of each")
    fitting = _Fitting(base, sources, dev, anchors, recipe, seed=seed)
    fits: list[LoraFit] = []
    options: list[list[FloatArray]] = [[] for _ in dev]
    diverged: dict[float, str] = {}
    for rate in recipe.learning_rates:
        state = None if states is None else states[rate]
        try:
            fitted = fitting.run(rate, state=state, show_progress=show_progress)
        except TrainingDivergedError as error:
            diverged[rate] = str(error)
            continue
        if fitted.diverged is not None:
            diverged[rate] = fitted.diverged
        for steps, score in fitted.scores.items():
            fits.append(LoraFit(rate, steps, fitting.adapter(score)))
            for number, found in enumerate(options):
                found.append(score.arrays[_options(number)])
    if not fits:
        raise TrainingDivergedError("; ".join(f"learning rate {rate:g}: {why}" for rate, why in diverged.items()))
    scores = [
        DevScores(judged.name, judged.ndcg_of(judged.queries), np.stack(found, axis=1))
        for (_, judged), found in zip(dev, options, strict=True)
    ]
    return LoraFits(fits, scores, diverged)


class _Fitting:
    """A tower with an adapter, the data, and the fits that begin from the same adapter."""

    def __init__(
        self,
        base: TorchEncoder,
        sources: Sequence[AskedSet],
        dev: Sequence[tuple[Sequence[str], JudgedQueries]],
        anchors: Anchors | None,
        recipe: LoraRecipe,
        *,
        seed: int,
    ) -> None:
        self._base = base
        self._recipe = recipe
        self._seed = seed
        self._tower = Tower(base, max_tokens=recipe.max_tokens)
        self._targets = adaptable_layers(self._tower.transformer)
        add_adapter(
            self._tower.transformer,
            rank=recipe.rank,
            alpha=recipe.alpha,
            targets=self._targets,
            dropout=recipe.dropout,
            seed=seed,
        )
        self._start = {
            name: parameter.detach().cpu().numpy().copy() for name, parameter in self._tower.parameters().items()
        }
        self._dev = dev
        self._base_scores = [judged.ndcg_of(judged.queries) for _, judged in dev]
        n_batch = max(LEAST_BATCH, recipe.batch // len(sources))
        self._sources = [
            _Source(source, self._tower, base, recipe, n_batch=n_batch, seed=seed + number)
            for number, source in enumerate(sources)
        ]
        self._pull: _Pull | None = None
        if anchors and recipe.anchor_weight > 0:
            self._pull = _Pull(anchors, self._tower, base, recipe, seed=seed)

    def run(self, rate: float, *, state: FitState | None, show_progress: bool) -> Fitted:
        """Fit from the beginning, or from the state; the score of every checkpoint holds its weights."""
        self._tower.take(self._start)
        modules: Any = self._tower.transformer.modules()
        for module in modules:
            # The base computes as it does at query time; only the adapter drops what it reads.
            if hasattr(module, "lora_dropout"):
                module.lora_dropout.train()
        return fit_tower(
            self._tower.parameters(),
            self._loss,
            batch_of=lambda step: "; ".join(source.described(step) for source in self._sources),
            judge=self._judged,
            schedule=self._recipe.schedule(rate),
            seed=self._seed,
            state=state,
            settle=True,
            show_progress=show_progress,
        )

    def adapter(self, score: DevScore) -> Adapter:
        """The adapter that got a score."""
        weights = {
            name.removeprefix(_WEIGHTS): array for name, array in score.arrays.items() if name.startswith(_WEIGHTS)
        }
        return Adapter(rank=self._recipe.rank, alpha=self._recipe.alpha, targets=self._targets, weights=weights)

    def _loss(self, step: int) -> "torch.Tensor":
        import torch

        loss = torch.stack([source.loss(step) for source in self._sources]).mean()
        return loss if self._pull is None else loss + self._recipe.anchor_weight * self._pull.loss(step)

    def _judged(self) -> DevScore:
        scores = []
        for (texts, judged), base in zip(self._dev, self._base_scores, strict=True):
            written = self._tower.encode(texts, prompt=self._base.query_prompt, precision="float32")
            unit_length = self._base.space.unit_length
            options = judged.ndcg_of_shift(written - judged.queries, STRENGTHS, unit_length=unit_length)
            scores.append(DevScores(judged.name, base, options[:, None, :]))
        arrays = {_options(number): score.options[:, 0] for number, score in enumerate(scores)}
        arrays |= {f"{_WEIGHTS}{name}": array for name, array in adapter_weights(self._tower.transformer).items()}
        return DevScore(float(mean_gain(scores).max()), arrays)


def _options(number: int) -> str:
    return f"options/{number}"


class _Source:
    """One training set during a fit: draws batches and gives their loss."""

    def __init__(
        self, source: AskedSet, tower: Tower, base: TorchEncoder, recipe: LoraRecipe, *, n_batch: int, seed: int
    ) -> None:
        import torch

        self._source = source
        self._tower = tower
        self._prompt = base.query_prompt
        self._n_candidates = recipe.n_candidates
        self._seed = seed
        self._batches = Batches(len(source.texts), n_batch, seed=seed)
        self._scale = source.training.scale(recipe.temperature, unit_length=base.space.unit_length)
        documents = np.ascontiguousarray(source.training.documents, dtype=np.float32)
        self._documents = torch.from_numpy(documents).to(tower.model.device)

    def loss(self, step: int) -> "torch.Tensor":
        """The loss of a step's batch, a number."""
        import torch

        batch = self._batches.rows(step)
        positives = [self._source.training.positives[query] for query in batch]
        candidates = self._candidates(step, [*positives, self._source.training.hard_rows(batch)])
        is_positive = torch.from_numpy(np.stack([np.isin(candidates, rows) for rows in positives]))
        queries = self._tower.vectors([self._source.texts[query] for query in batch], prompt=self._prompt)
        documents = self._documents
        if len(candidates) < len(documents):
            documents = documents[torch.from_numpy(candidates).to(documents.device)]
        scores = queries @ documents.T / self._scale
        ignored = self._likely(batch, documents)
        return many_positives(scores, is_positive.to(scores.device), against="negatives", ignored=ignored)

    def described(self, step: int) -> str:
        """Words for a step's batch."""
        batch = self._batches.rows(step)
        texts = ", ".join(repr(self._source.texts[query][:80]) for query in batch[:_NAMED])
        return f"{len(batch)} queries of set {self._source.training.name!r} that begin with {texts}"

    def _likely(self, batch: IntArray, documents: "torch.Tensor") -> "torch.Tensor | None":
        """Which candidates are likely to answer a query of the batch, shape (n_in_batch, n_candidates)."""
        import torch

        training = self._source.training
        if training.ignored_above is None:
            return None
        limits = torch.from_numpy(training.ignored_above[batch]).to(documents.device)
        return torch.from_numpy(training.queries[batch]).to(documents.device) @ documents.T > limits[:, None]

    def _candidates(self, step: int, wanted: Sequence[IntArray]) -> IntArray:
        """Rows of the documents of a step, rising, with those that are wanted; all where there are few."""
        n_documents = len(self._documents)
        if n_documents <= self._n_candidates:
            return np.arange(n_documents)
        drawn = np.random.default_rng([self._seed, step]).choice(n_documents, self._n_candidates, replace=False)
        rows: IntArray = np.unique(np.concatenate([drawn, *wanted]))
        return rows


class _Pull:
    """What keeps the queries of other domains where the base puts them."""

    def __init__(self, anchors: Anchors, tower: Tower, base: TorchEncoder, recipe: LoraRecipe, *, seed: int) -> None:
        import torch

        self._anchors = anchors
        self._tower = tower
        self._prompt = base.query_prompt
        self._batches = Batches(len(anchors), recipe.n_anchors, seed=seed)
        self._vectors = torch.from_numpy(np.ascontiguousarray(anchors.vectors)).to(tower.model.device)

    def loss(self, step: int) -> "torch.Tensor":
        """1 - cosine to the base's vector, the mean over a step's anchors."""
        import torch

        rows = self._batches.rows(step)
        written = self._tower.vectors([self._anchors.texts[row] for row in rows], prompt=self._prompt)
        wanted = self._vectors[torch.from_numpy(rows).to(written.device)]
        return (1 - torch.cosine_similarity(written, wanted)).mean()
