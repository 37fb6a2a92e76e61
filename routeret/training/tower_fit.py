"""Fits both towers of an encoder to texts that belong together."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from routeret.errors import InputError
from routeret.training.divergence import FitDivergedError
from routeret.training.fitting import Batches, DevScore, FitState, Fitted, fit_tower
from routeret.training.losses import many_positives, mnr_plus, soft_late_scores, symmetric
from routeret.training.tower import Tower
from routeret.training.tower_negatives import mined_again
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.tower_rounds import begun, files_of_rounds, joined, settled, state_of_round, stopped
from routeret.types import BoolArray, IntArray

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
    settle: bool = False,
    show_progress: bool = False,
) -> Fitted:
    """Train a tower on the pairs of one or several tasks at once; the loss is their weighted mean.

    Every round after the first begins with the best weights so far, with a warm-up of its own, and with hard negatives
    of which every other one is what these weights find. Batches go on where the round before ended.

    Args:
        tower: what is trained, one for both sides; it holds the best weights afterwards.
        tasks: at least one; every step draws a batch from each.
        judge: scores the tower on dev as it is.
        recipe: how; with further rounds, every task brings hard negatives.
        seed: fixes the draws.
        state: where the first round is kept on the way; further rounds are kept beside it. Where the first is not
            kept, what is left of further ones is removed.
        settle: take the best checkpoint before a loss that is not finite, where there is one.
        show_progress: draw a progress bar on stderr.

    Returns:
        The best checkpoint of all rounds; steps count through them. A round that diverges is the last one.

    Raises:
        InputError: there is no task, or one has no hard negatives to begin further rounds with.
        TrainingDivergedError: a loss is not finite, and ``settle`` does not ask for the best checkpoint before it, or
            there is none; its batch is named.
        ArtifactError: the state of a round is damaged, or of other settings.
    """
    if not tasks:
        raise InputError("no task was given; expected at least one with pairs that belong together")
    if recipe.rounds > 1 and (bare := [task.graph.name for task in tasks if task.hard_negatives is None]):
        raise InputError(
            f"task {bare[0]!r} has no hard negatives, from which {recipe.rounds} rounds go on; mine some by "
            f"with_hard_negatives"
        )
    state = None if state is None else begun(state)
    fitted = _fit_round(
        tower, tasks, judge=judge, recipe=recipe, seed=seed, state=state, settle=settle, show_progress=show_progress
    )
    for number in range(1, recipe.rounds):
        if fitted.diverged is not None:
            break
        tasks = [mined_again(task, tower, recipe) for task in tasks]
        kept = None if state is None else state_of_round(state, number, weights=fitted.weights, tasks=tasks)
        done = number * recipe.schedule.n_steps
        try:
            # What a later round comes to is judged with those before it, so it says itself only what happened.
            later = _fit_round(
                tower,
                tasks,
                judge=judge,
                recipe=recipe,
                seed=seed,
                state=kept,
                settle=True,
                number=number,
                show_progress=show_progress,
            )
        except FitDivergedError as error:
            fitted = stopped(fitted, error, number=number, done=done)
        else:
            fitted = joined(fitted, later, number=number, done=done)
        tower.take(fitted.weights)
    return settled(fitted, settle=settle, kept=[] if state is None else files_of_rounds(state, recipe))


def _fit_round(
    tower: Tower,
    tasks: Sequence[TowerTask],
    *,
    judge: Callable[[], DevScore],
    recipe: TowerRecipe,
    seed: int,
    state: FitState | None,
    settle: bool,
    show_progress: bool,
    number: int = 0,
) -> Fitted:
    """One round, counted from 0; the tower holds its best weights afterwards."""
    sources = [_Source(task, recipe, seed=seed + place) for place, task in enumerate(tasks)]
    parts = [(source, tower.in_domain(source.task.domain) if source.task.domain else tower) for source in sources]
    total = sum(task.weight for task in tasks)
    done = number * recipe.schedule.n_steps

    def loss(step: int) -> "torch.Tensor":
        losses = [source.loss(part, done + step) * (source.task.weight / total) for source, part in parts]
        return sum(losses[1:], losses[0])

    def batch_of(step: int) -> str:
        return "; ".join(source.described(done + step) for source in sources)

    tower.model.train()
    fitted = fit_tower(
        tower.parameters(),
        loss,
        batch_of=batch_of,
        judge=judge,
        schedule=recipe.schedule,
        seed=seed + number,
        state=state,
        settle=settle,
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
        if objective == "mnr_plus":
            return self._loss_of_pairs(tower, edges)
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
        scores = scores / task.temperature_for(objective)
        positives = torch.from_numpy(belongs).to(scores.device)
        itself = torch.from_numpy(graph.itself_on_right[lefts][:, None] == rights).to(scores.device)
        loss = many_positives if objective == "one_way" else symmetric
        return loss(scores, positives, against="all", ignored=itself)

    def _loss_of_pairs(self, tower: Tower, edges: IntArray) -> "torch.Tensor":
        """The loss of some pairs by inner products of vectors of free length."""
        import torch

        graph = self.task.graph
        left = _pooled(tower, [graph.left_texts[row] for row in edges[:, 0]], prompt=tower.query_prompt)
        right = _pooled(tower, [graph.right_texts[row] for row in edges[:, 1]], prompt=tower.document_prompt)
        ignored = torch.from_numpy(_no_negatives(graph.itself_on_right, edges)).to(left.device)
        return mnr_plus(left, right, scale=1 / self.task.temperature_for("mnr_plus"), ignored=ignored)

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


def _pooled(tower: Tower, texts: Sequence[str], *, prompt: str) -> "torch.Tensor":
    """Vectors of texts before they get length 1, float32, shape (n_texts, dim), with gradients."""
    tokens, is_token = tower.tokens(texts, prompt=prompt)
    kept = is_token[:, :, None].float()
    return (tokens * kept).sum(dim=1) / kept.sum(dim=1)


def _no_negatives(itself_on_right: IntArray, edges: IntArray) -> BoolArray:
    """Which places of a batch of pairs hold a text and itself, or a drawn pair once more; never the diagonal."""
    lefts, rights = edges.T
    n_rights = int(rights.max()) + 1
    is_drawn = np.isin(lefts[:, None] * n_rights + rights, lefts * n_rights + rights)
    found: BoolArray = (is_drawn | (itself_on_right[lefts][:, None] == rights)) & ~np.eye(len(edges), dtype=np.bool_)
    return found
