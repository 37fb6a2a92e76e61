"""Training a linear expert: a residual map on cached query vectors, against cached document vectors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.errors import InputError
from routeret.progress import track
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The training queries of one corpus as arrays.

    Attributes:
        name: of the corpus.
        queries: float32, shape (n_queries, dim); the base's query embeddings.
        documents: float32, shape (n_documents, dim); the base's document embeddings, which stay as they are.
        positives: for every query the sorted rows of its relevant documents, at least one.
    """

    name: str
    queries: FloatArray
    documents: FloatArray
    positives: tuple[IntArray, ...]


@dataclass(frozen=True, slots=True)
class LinearRecipe:
    """How a linear expert is trained.

    Attributes:
        steps: optimisation steps; the weights after each of these are candidates.
        batch_size: queries a step, shared evenly by the training sets.
        learning_rate: of AdamW, falling linearly to a tenth.
        weight_decay: of AdamW.
        temperature: of the softmax over candidate documents.
        n_negatives: random documents of the corpus that every query of a batch is compared with.
        n_positives: relevant documents of a query that are candidates in one step, at most.
        anchor_weight: weight of 1 - cos(q', q) on queries of other domains, which keeps the expert harmless there.
    """

    steps: tuple[int, ...] = (150, 300, 600)
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    temperature: float = 0.03
    n_negatives: int = 2500
    n_positives: int = 4
    anchor_weight: float = 5.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def fit_linear(
    sources: Sequence[TrainingSet],
    *,
    anchors: FloatArray | None = None,
    recipe: LinearRecipe | None = None,
    seed: int = 0,
    show_progress: bool = False,
) -> dict[int, FloatArray]:
    """Learn W of q' = normalise(q + W q) so that relevant documents come before all others.

    The loss of a query is the mean over its relevant candidates of the softmax cross-entropy of that one against all
    documents that are not relevant to it, so several relevant documents do not compete with each other.

    Args:
        sources: one training set, or several that share every batch evenly.
        anchors: float32, shape (n_anchors, dim); query embeddings of other domains, which should stay where they are.
        recipe: the defaults where None.
        seed: of the order of queries and the choice of negatives.
        show_progress: draw a progress bar on stderr.

    Returns:
        W after each number of steps of the recipe, float32, shape (dim, dim).

    Raises:
        InputError: there is no training set or one is without queries, or the loss is not finite.
    """
    import torch

    recipe = recipe or LinearRecipe()
    if not sources or not all(len(source.queries) for source in sources):
        raise InputError(f"{len(sources)} training sets were given, expected at least one, each with training queries")
    rng = np.random.default_rng(seed)
    dim = sources[0].queries.shape[1]
    weight = torch.zeros(dim, dim, requires_grad=True)
    optimiser = torch.optim.AdamW([weight], lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    n_steps = max(recipe.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - 0.9 * step / n_steps)
    batch_size = max(1, recipe.batch_size // len(sources))
    samplers = [_Sampler(source, recipe, rng=rng, batch_size=batch_size) for source in sources]
    anchored = None if anchors is None or not len(anchors) else torch.from_numpy(anchors)
    saved: dict[int, FloatArray] = {}
    for step in track(range(1, n_steps + 1), description="training", unit="steps", show=show_progress):
        loss = torch.stack([sampler.loss(weight) for sampler in samplers]).mean()
        if anchored is not None:
            chosen = anchored[torch.from_numpy(rng.integers(0, len(anchored), recipe.batch_size))]
            loss = loss + recipe.anchor_weight * (1 - (_moved(chosen, weight) * chosen).sum(dim=1)).mean()
        if not torch.isfinite(loss):
            raise InputError(f"the loss is {loss.item()} at step {step}; check the vectors, or lower the learning rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step in recipe.steps:
            saved[step] = weight.detach().numpy().copy()
    return saved


class _Sampler:
    """Draws batches of one training set and gives their loss."""

    def __init__(self, source: TrainingSet, recipe: LinearRecipe, *, rng: np.random.Generator, batch_size: int) -> None:
        import torch

        self._source = source
        self._recipe = recipe
        self._rng = rng
        self._size = min(batch_size, len(source.queries))
        self._queries = torch.from_numpy(source.queries)
        self._documents = torch.from_numpy(source.documents)
        self._waiting: list[int] = []

    def loss(self, weight: "torch.Tensor") -> "torch.Tensor":
        """The mean loss of the next batch."""
        import torch

        if len(self._waiting) < self._size:
            self._waiting = self._rng.permutation(len(self._source.queries)).tolist()
        batch = [self._waiting.pop() for _ in range(self._size)]
        candidates = self._candidates(batch)
        relevant = torch.from_numpy(self._relevance(batch, candidates))
        scores = _moved(self._queries[batch], weight) @ self._documents[candidates].T / self._recipe.temperature
        irrelevant = torch.logsumexp(scores.masked_fill(relevant, -torch.inf), dim=1, keepdim=True)
        # -log(exp(s) / (exp(s) + sum of irrelevant)) for every relevant candidate.
        losses = torch.nn.functional.softplus(irrelevant - scores).masked_fill(~relevant, 0.0)
        return (losses.sum(dim=1) / relevant.sum(dim=1)).mean()

    def _candidates(self, batch: list[int]) -> IntArray:
        n_documents = len(self._source.documents)
        n_negatives = min(self._recipe.n_negatives, n_documents)
        drawn = [self._rng.choice(n_documents, n_negatives, replace=False)]
        for query in batch:
            positives = self._source.positives[query]
            drawn.append(self._rng.choice(positives, min(self._recipe.n_positives, len(positives)), replace=False))
        return np.unique(np.concatenate(drawn))

    def _relevance(self, batch: list[int], candidates: IntArray) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
        relevant = np.zeros((len(batch), len(candidates)), dtype=np.bool_)
        for row, query in enumerate(batch):
            relevant[row] = np.isin(candidates, self._source.positives[query], assume_unique=True)
        return relevant


def _moved(queries: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.nn.functional.normalize(queries + queries @ weight.T, dim=1)
