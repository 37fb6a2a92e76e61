"""Fits both towers of an encoder to texts that belong together."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from routeret.errors import InputError
from routeret.training.fitting import Batches, DevScore, FitState, Fitted, fit_tower
from routeret.training.losses import many_positives, soft_late_scores, symmetric
from routeret.training.tower import Tower
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.types import IntArray

if TYPE_CHECKING:
    import torch

_NAMED = 3


def fit_to_tasks(
    tower: Tower,
    tasks: Sequence[TowerTask],
    *,
    judge: Callable[[], DevScore],
    recipe: TowerRecipe,
    seed: int = 0,
    state: FitState | None = None,
    show_progress: bool = False,
) -> Fitted:
    """Train a tower on the pairs of one or several tasks at once; the loss is their weighted mean.

    Args:
        tower: what is trained, one for both sides; it holds the best weights afterwards.
        tasks: at least one; every step draws a batch from each.
        judge: scores the tower on dev as it is.
        recipe: how.
        seed: fixes the draws.
        state: where the fit is kept on the way.
        show_progress: draw a progress bar on stderr.

    Raises:
        InputError: there is no task.
        TrainingDivergedError: a loss is not finite; its batch is named.
    """
    if not tasks:
        raise InputError("no task was given; expected at least one with pairs that belong together")
    sources = [_Source(task, recipe, seed=seed + number) for number, task in enumerate(tasks)]
    parts = [(source, tower.in_domain(source.task.domain) if source.task.domain else tower) for source in sources]
    total = sum(task.weight for task in tasks)

    def loss(step: int) -> "torch.Tensor":
        losses = [source.loss(part, step) * (source.task.weight / total) for source, part in parts]
        return sum(losses[1:], losses[0])

    def batch_of(step: int) -> str:
        return "; ".join(source.described(step) for source in sources)

    tower.model.train()
    fitted = fit_tower(
        tower.parameters(),
        loss,
        batch_of=batch_of,
        judge=judge,
        schedule=recipe.schedule,
        seed=seed,
        state=state,
        show_progress=show_progress,
    )
    tower.take(fitted.weights)
    tower.model.eval()
    return fitted


class _Source:
    """One task during a fit: draws batches and gives their loss."""

    def __init__(self, task: TowerTask, recipe: TowerRecipe, *, seed: int) -> None:
        self.task = task
        self._recipe = recipe
        self._batches = Batches(len(task.graph.edges), recipe.batch, seed=seed)

    def loss(self, tower: Tower, step: int) -> "torch.Tensor":
        """The loss of a step's batch, a number."""
        import torch

        task, graph, objective = self.task, self.task.graph, self._recipe.objective
        edges = graph.edges[self._batches.rows(step)]
        lefts = np.unique(edges[:, 0])
        rights = np.unique(np.concatenate([edges[:, 1], self._hard(lefts)]))
        drawn = np.zeros((len(lefts), len(rights)), dtype=np.bool_)
        drawn[np.searchsorted(lefts, edges[:, 0]), np.searchsorted(rights, edges[:, 1])] = True
        belongs = graph.are_positive(lefts, rights) if objective == "many_to_many" else drawn
        right = tower.vectors([graph.right_texts[row] for row in rights], prompt=tower.document_prompt)
        left_texts = [graph.left_texts[row] for row in lefts]
        if self._recipe.interaction is None:
            scores = tower.vectors(left_texts, prompt=tower.query_prompt) @ right.T
        else:
            tokens, is_token = tower.tokens(left_texts, prompt=tower.query_prompt)
            scores = soft_late_scores(tokens, is_token, right, temperature=self._recipe.interaction)
        scores = scores / task.temperature
        positives = torch.from_numpy(belongs).to(scores.device)
        itself = torch.from_numpy(graph.itself_on_right[lefts][:, None] == rights).to(scores.device)
        loss = many_positives if objective == "one_way" else symmetric
        return loss(scores, positives, against="all", ignored=itself)

    def described(self, step: int) -> str:
        """Words for a step's batch: the first left texts of its pairs."""
        rows = self._batches.rows(step)
        graph = self.task.graph
        texts = [graph.left_texts[row] for row in graph.edges[rows[:_NAMED], 0]]
        return f"{len(rows)} pairs of task {graph.name!r} that begin with {', '.join(map(repr, texts))}"

    def _hard(self, lefts: IntArray) -> IntArray:
        """The hard negatives of some left texts."""
        negatives = self.task.hard_negatives
        if negatives is None or self._recipe.n_hard_negatives == 0:
            return np.zeros(0, dtype=np.int64)
        rows = negatives[lefts, : self._recipe.n_hard_negatives].ravel()
        return rows[rows >= 0]
