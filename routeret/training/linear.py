"""Fits the map of a linear expert on embeddings that are computed once; seconds to a minute on a processor."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.errors import InputError, TrainingDivergedError
from routeret.progress import track
from routeret.training.losses import many_positives
from routeret.training.negatives import MARGIN
from routeret.training.recipe_numbers import require_above_zero, require_at_least_zero, require_finite
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

LEAST_BATCH = 16
"""Queries a step and set at least, however many sets share a batch."""

_LAST_RATE = 0.1
_NAMED = 3


@dataclass(frozen=True, slots=True)
class LinearRecipe:
    """How a linear expert is fitted; the defaults did best on dev splits.

    Attributes:
        checkpoints: after how many steps a map is kept; the learning rate falls linearly to a tenth at the last.
        batch: queries a step, over all sets together; every set gives the same number, at least 16.
        learning_rate: of AdamW, at the first step.
        weight_decay: of AdamW.
        temperature: what cosines are divided by.
        n_negatives: documents drawn at random a step, beside the positives of the batch.
        n_positives: positives drawn a query and step.
        anchor_weight: how much it costs to turn the queries of other domains; see :func:`fit_linear`.
        averaging: share of the newest map in the running average that is kept; 1 keeps the newest itself.
        n_hard_negatives: of every query, beside the negatives that are drawn, mined from the base and from BM25. A
            corpus of at most ``n_negatives`` documents is a candidate as a whole, so nothing is mined in it.
        margin: a document that scores above the mean of the query's answers, less this share of it, is likely to be an
            answer that nobody marked, so it is not mined. None mines whatever is not marked.
        rounds: how often hard negatives are mined; from the second on from the expert of the round before as well.
            Every round is fitted from the beginning, and the last one counts.
        ignores_likely_answers: whether documents that the base scores above the margin are no negatives of that query
            either when they were drawn or come with another query. A query whose answers the base does not find then
            teaches little.
    """

    checkpoints: tuple[int, ...] = (75, 150, 300, 600)
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    temperature: float = 0.03
    n_negatives: int = 2500
    n_positives: int = 4
    anchor_weight: float = 5.0
    averaging: float = 0.05
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
        if not self.checkpoints or list(self.checkpoints) != sorted(set(self.checkpoints)) or self.checkpoints[0] < 1:
            raise InputError(f"checkpoints are {self.checkpoints}, expected rising numbers of steps from 1 on")
        require_above_zero(self, "batch", "n_negatives", "n_positives", "learning_rate", "temperature", "averaging")
        require_at_least_zero(self, "weight_decay", "anchor_weight")
        if self.averaging > 1:
            raise InputError(f"averaging is {self.averaging}, expected at most 1, which keeps the newest map itself")
        require_mining(self.n_hard_negatives, self.margin, self.rounds, ignores_likely=self.ignores_likely_answers)

    @property
    def n_drawn(self) -> int:
        """Documents that are drawn a step; hard negatives matter in larger corpora alone."""
        return self.n_negatives

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "checkpoints": list(self.checkpoints)}


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The map after some steps.

    Attributes:
        steps: how many.
        weight: float32, shape (dim, dim); a query q becomes q + s W q.
    """

    steps: int
    weight: FloatArray


class LinearFitDivergedError(TrainingDivergedError):
    """A linear fit came to a loss or gradient that is not finite.

    Attributes:
        checkpoints: that were reached before, in order; may be none.
    """

    def __init__(self, message: str, checkpoints: Sequence[Checkpoint]) -> None:
        """Keep what was good."""
        super().__init__(message)
        self.checkpoints = tuple(checkpoints)


def require_mining(n_hard_negatives: int, margin: float | None, rounds: int, *, ignores_likely: bool) -> None:
    """Do nothing if these settings of a recipe have a meaning.

    Raises:
        InputError: one is out of its range, there are several rounds and nothing is mined, or likely answers are to
            be ignored and no margin says which.
    """
    if n_hard_negatives < 0 or rounds < 1 or (margin is not None and not 0 <= margin <= 1):
        raise InputError(
            f"n_hard_negatives is {n_hard_negatives}, margin {margin}, rounds {rounds}; expected at least 0, 0 to 1 or "
            f"none, and at least 1"
        )
    if rounds > 1 and n_hard_negatives == 0:
        raise InputError(f"rounds is {rounds} and n_hard_negatives 0; expected at least 1 of them, to mine in a round")
    if ignores_likely and margin is None:
        raise InputError("ignores_likely_answers is true and margin none; expected a margin of 0 to 1, such as 0.05")


def fit_linear(
    sources: Sequence[TrainingSet],
    *,
    anchors: FloatArray | None = None,
    recipe: LinearRecipe | None = None,
    unit_length: bool = True,
    seed: int = 0,
    show_progress: bool = False,
) -> list[Checkpoint]:
    """Fit one map to the queries of one or several sets, in one run.

    The loss of a query is the mean over its positives p of -log(exp(p) / (exp(p) + sum over negatives of exp)), with
    scores over a temperature; documents that answer the query never count as its negatives, nor do those that the set
    takes for likely answers. To it comes ``anchor_weight * (1 - cos(W-mapped q, q))`` on queries of other domains,
    which keeps the expert from turning what it was not trained for.

    Args:
        sources: at least one; every step draws the same number of queries from each.
        anchors: float32, shape (n_anchors, dim); base embeddings of queries of other domains. None leaves them out.
        recipe: the defaults where None.
        unit_length: whether vectors of the space have length 1.
        seed: fixes the draws; the same seed gives the same map on one machine with one number of threads.
        show_progress: draw a progress bar on stderr.

    Returns:
        A map for every number of steps of ``recipe.checkpoints``, in order.

    Raises:
        InputError: there is no source, or dimensions differ.
        LinearFitDivergedError: a loss or gradient is not finite; the batch is named, and the error holds the
            checkpoints before it.
    """
    import torch

    recipe = recipe or LinearRecipe()
    dim = _common_dim(sources, anchors)
    rng = np.random.default_rng(seed)
    fits = [_Source(source, recipe, rng, n_sources=len(sources), unit_length=unit_length) for source in sources]
    pull = None if anchors is None or len(anchors) == 0 else torch.from_numpy(np.ascontiguousarray(anchors))
    weight = torch.zeros(dim, dim, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    n_steps = recipe.checkpoints[-1]
    kept: list[Checkpoint] = []
    average = torch.zeros(dim, dim)
    for step in track(range(n_steps), description="fitting", unit="steps", show=show_progress):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * (1 - (1 - _LAST_RATE) * step / n_steps)
        losses = [fit.loss(weight) for fit in fits]
        loss = torch.stack(losses).mean()
        if pull is not None and recipe.anchor_weight > 0:
            drawn = pull[torch.from_numpy(rng.integers(0, len(pull), recipe.batch))]
            turned = drawn + drawn @ weight.T
            loss = loss + recipe.anchor_weight * (1 - torch.cosine_similarity(turned, drawn)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _require_finite_loss(step, loss, weight, fits, kept)
        optimizer.step()
        # An average over the last steps is as good as a run whose learning rate ends here.
        average.lerp_(weight.detach(), max(1 / (step + 1), recipe.averaging))
        if step + 1 in recipe.checkpoints:
            _require_finite_map(step + 1, average, fits, kept)
            kept.append(Checkpoint(steps=step + 1, weight=average.numpy().copy()))
    return kept


class _Source:
    """One training set during a fit: draws batches and gives their loss."""

    def __init__(
        self, source: TrainingSet, recipe: LinearRecipe, rng: np.random.Generator, *, n_sources: int, unit_length: bool
    ) -> None:
        import torch

        self._source = source
        self._recipe = recipe
        self._rng = rng
        self._unit_length = unit_length
        self._n_batch = min(max(LEAST_BATCH, recipe.batch // n_sources), len(source.queries))
        self._waiting = np.zeros(0, dtype=np.int64)
        self._batch = self._waiting
        self._column = np.full(len(source.documents), -1, dtype=np.int64)
        self._queries = torch.from_numpy(np.ascontiguousarray(source.queries))
        self._documents = torch.from_numpy(np.ascontiguousarray(source.documents))
        self._companions = None if source.companions is None else torch.from_numpy(source.companions)
        self._scale = source.scale(recipe.temperature, unit_length=unit_length)

    def loss(self, weight: "torch.Tensor") -> "torch.Tensor":
        """The loss of the next batch, a number."""
        import torch

        batch = self._batch = self._next_batch()
        positives = [self._drawn(self._source.positives[query]) for query in batch]
        n_negatives = min(self._recipe.n_negatives, len(self._documents))
        negatives = self._rng.choice(len(self._documents), n_negatives, replace=False)
        candidates = np.unique(np.concatenate([negatives, *positives, self._source.hard_rows(batch)]))
        lines, columns = self._known_positives(batch, candidates)
        documents = self._documents[torch.from_numpy(candidates)]
        scores = self._mapped(batch, weight) @ documents.T
        if self._source.added_scores is not None:
            added = self._source.added_scores[np.ix_(batch, candidates)].astype(np.float32)
            scores = scores + torch.from_numpy(added)
        scores = scores / self._scale
        is_positive = torch.zeros(scores.shape, dtype=torch.bool)
        is_positive[lines, columns] = True
        return many_positives(scores, is_positive, against="negatives", ignored=self._likely(batch, documents))

    def described(self) -> str:
        """Words for the batch of the last loss."""
        ids = self._source.query_ids
        named = ", ".join(repr(int(query) if ids is None else ids[query]) for query in self._batch[:_NAMED])
        return f"{len(self._batch)} queries of set {self._source.name!r} that begin with {named}"

    def can_be_mapped(self, weight: "torch.Tensor") -> bool:
        """Whether a map leaves all queries finite and of a finite length."""
        mapped = self._queries + self._queries @ weight.T
        return bool(mapped.norm(dim=1).isfinite().all())

    def _likely(self, batch: IntArray, documents: "torch.Tensor") -> "torch.Tensor | None":
        """Which candidates are likely to answer a query of the batch, shape (n_in_batch, n_candidates)."""
        import torch

        if self._source.ignored_above is None:
            return None
        limits = torch.from_numpy(self._source.ignored_above[batch])
        return self._queries[torch.from_numpy(batch)] @ documents.T > limits[:, None]

    def _next_batch(self) -> IntArray:
        """Every query comes once before one comes twice."""
        if len(self._waiting) < self._n_batch:
            self._waiting = self._rng.permutation(len(self._queries))
        batch, self._waiting = self._waiting[: self._n_batch], self._waiting[self._n_batch :]
        return batch

    def _drawn(self, rows: IntArray) -> IntArray:
        n_positives = self._recipe.n_positives
        return rows if len(rows) <= n_positives else self._rng.choice(rows, n_positives, replace=False)

    def _known_positives(self, batch: IntArray, candidates: IntArray) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Lines and columns of all candidates that answer a query of the batch."""
        import torch

        self._column[candidates] = np.arange(len(candidates))
        known = [self._source.positives[query] for query in batch]
        columns = self._column[np.concatenate(known)]
        lines = np.repeat(np.arange(len(batch)), [len(rows) for rows in known])
        self._column[candidates] = -1
        there = columns >= 0
        return torch.from_numpy(lines[there]), torch.from_numpy(columns[there])

    def _mapped(self, batch: IntArray, weight: "torch.Tensor") -> "torch.Tensor":
        import torch

        queries = self._queries[torch.from_numpy(batch)]
        mapped = queries + queries @ weight.T
        if self._unit_length:
            mapped = torch.nn.functional.normalize(mapped, dim=1)
        if self._companions is not None:
            mapped = (mapped + self._companions[torch.from_numpy(batch)]) / 2
            if self._unit_length:
                mapped = torch.nn.functional.normalize(mapped, dim=1)
        return mapped


def _require_finite_loss(
    step: int, loss: "torch.Tensor", weight: "torch.Tensor", fits: Sequence[_Source], kept: Sequence[Checkpoint]
) -> None:
    length = float("nan") if weight.grad is None else float(weight.grad.norm())
    if not (np.isfinite(loss.item()) and np.isfinite(length)):
        raise _diverged(f"the loss of step {step} is {loss.item()}, its gradient has length {length}", fits, kept)


def _require_finite_map(
    step: int, average: "torch.Tensor", fits: Sequence[_Source], kept: Sequence[Checkpoint]
) -> None:
    if not all(fit.can_be_mapped(average) for fit in fits):
        raise _diverged(f"the map after step {step} gives query vectors without a length", fits, kept)


def _diverged(found: str, fits: Sequence[_Source], kept: Sequence[Checkpoint]) -> LinearFitDivergedError:
    """The error of a fit that stops, with the batch and with what was good before it."""
    good = "No checkpoint was reached before it: look at these queries, or train with a lower learning rate"
    if kept:
        steps = ", ".join(str(point.steps) for point in kept)
        good = (
            f"What was fitted before it is good, after {steps} steps: train expert makes an expert of it with --force "
            f"(force=True), or train with a lower learning rate"
        )
    batch = "; ".join(fit.described() for fit in fits)
    return LinearFitDivergedError(f"{found}, expected finite numbers; the batch is {batch}. {good}", kept)


def _common_dim(sources: Sequence[TrainingSet], anchors: FloatArray | None) -> int:
    if not sources:
        raise InputError("no training set was given; expected at least one")
    dims = {array.shape[1] for source in sources for array in (source.queries, source.documents)}
    if anchors is not None and len(anchors):
        dims.add(anchors.shape[1])
    if len(dims) > 1:
        raise InputError(f"vectors have dimensions {sorted(dims)}; expected one, that of the base encoder")
    return int(dims.pop())
