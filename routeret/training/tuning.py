"""Fits an expert to one index from a few labelled queries, and decides whether it is worth having."""

from dataclasses import dataclass, fields
from time import perf_counter
from typing import Any

import numpy as np

from routeret.progress import track
from routeret.significance import paired_test
from routeret.training.belief import Belief, TuningRule
from routeret.training.folds import folds_of
from routeret.training.learning_curve import LearningCurve, learning_curve
from routeret.training.lexical_choice import LexicalChoice
from routeret.training.ridge import RidgeRecipe, fit_ridge
from routeret.training.tuning_task import TuningTask
from routeret.types import FloatArray, IntArray

CURVE_SHARES = (0.25, 0.5, 0.75)
"""Shares of the queries that maps are fitted to for the learning curve, beside all of them."""

LEAST_FOR_CURVE = 20
"""Fewer labelled queries say nothing of a curve."""

_FITTED_BESIDE = 0.5
"""Share of the lexical weight that maps are fitted beside: so they gain where it is switched off as well."""


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What tuning gave.

    Attributes:
        expert: name of the tuned expert.
        installed: whether it is now in the index's pool.
        reason: why, or why not, in words.
        before: cross-validated nDCG@10 of what the index does now.
        after: the same with the expert and the lexical weight; no query is scored by an expert, at a strength or with
            a weight that it helped to find.
        p_value: of the paired difference of the two; reported, not decisive.
        expected_gain: what to believe about the gain on new queries.
        harm_probability: of a loss of more than 0.01.
        strength: at which the expert is applied.
        n_queries: how many labelled queries there were.
        seconds: how long it took.
        lexical_weight: of BM25 beside the expert.
        lexical_weight_before: the mean weight of BM25 now.
        curve: what more labelled queries may add; None where there are too few to tell.
    """

    expert: str
    installed: bool
    reason: str
    before: float
    after: float
    p_value: float
    expected_gain: float
    harm_probability: float
    strength: float
    n_queries: int
    seconds: float
    lexical_weight: float = 0.0
    lexical_weight_before: float = 0.0
    curve: LearningCurve | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"curve": None if self.curve is None else self.curve.as_dict()}


@dataclass(frozen=True, slots=True, eq=False)
class TuneOutcome:
    """A tuned map with the decision about it.

    Attributes:
        report: the decision.
        weight: the map, float32, shape (dim, dim); fitted to all queries.
        strength: at which it is applied.
        share: what its vector counts beside the one that the index uses now: 1, or 0.5 where other experts act.
        gains: float32, shape (n_queries, n_strengths); cross-validated change of nDCG@10 over what the index does now,
            at every strength of the rule.
        gains_over_base: float32, the same shape; over the base alone, the same lexical weight beside both.
        lexical_gains: float32, shape (n_queries, n_lexical_weights); what every lexical weight surely gains over none.
            None where there is no lexical score.
    """

    report: TuneReport
    weight: FloatArray
    strength: float
    share: float
    gains: FloatArray
    gains_over_base: FloatArray
    lexical_gains: FloatArray | None


def tune(
    task: TuningTask,
    *,
    name: str = "tuned",
    rule: TuningRule | None = None,
    recipe: RidgeRecipe | None = None,
    seed: int = 0,
    force: bool = False,
    show_progress: bool = False,
) -> TuneOutcome:
    """Fit an expert to labelled queries and decide about it; seconds for a hundred queries.

    The queries are split into five folds; queries that are equal but for rounding share one. Every fold is scored with
    a map that was fitted to the others, with the lexical weight that the others speak for. The expert's map is fitted
    to all queries, which are a quarter more, so what cross-validation shows is a little too low.

    Args:
        task: the queries and what the index does now.
        name: of the expert.
        rule: decides; the calibrated one where None.
        recipe: how the maps are fitted; the defaults where None.
        seed: fixes the folds and the draws of the fits.
        force: report the expert as installed even if the rule is against it.
        show_progress: draw a progress bar on stderr.

    Raises:
        InputError: all queries are equal, so there is nothing to validate on.
    """
    start = perf_counter()
    rule = rule or TuningRule()
    study = _Study(task, rule, recipe or RidgeRecipe(), seed=seed, show_progress=show_progress)
    whole = study.fitted(1.0)
    chosen = rule.choose(whole.gains)
    honest = _gains_at_strengths_of_others(whole.gains, study.folds, rule)
    # However much the prior promises, what cross-validation shows must not be a loss.
    worth = rule.accepts(chosen) and float(honest.mean()) > 0
    weight = study.map_of(np.arange(len(task)), seed=seed)
    now = task.mean_lexical_weight
    lexical_weight = study.lexical_weight(np.arange(len(task)))
    report = TuneReport(
        expert=name,
        installed=worth or force,
        reason=_reason(chosen, rule, worth=worth, force=force),
        before=float(study.now.mean()),
        after=float((study.now + honest).mean()),
        p_value=paired_test(honest, seed=seed).p_value,
        expected_gain=chosen.mean,
        harm_probability=chosen.probability_below(-rule.harm),
        strength=chosen.strength,
        n_queries=len(task),
        lexical_weight=now if lexical_weight is None else lexical_weight,
        lexical_weight_before=now,
        curve=study.curve(whole, honest),
        seconds=perf_counter() - start,
    )
    return TuneOutcome(
        report=report,
        weight=weight,
        strength=chosen.strength,
        share=task.share,
        gains=whole.gains,
        gains_over_base=whole.gains_over_base,
        lexical_gains=None if study.lexical is None else study.lexical.sure_gains(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """What the maps of all folds gain, each fitted to so many queries."""

    n_queries: int
    gains: FloatArray
    gains_over_base: FloatArray


class _Study:
    """The folds of a task, and fits to all or some of the queries outside them."""

    def __init__(
        self, task: TuningTask, rule: TuningRule, recipe: RidgeRecipe, *, seed: int, show_progress: bool
    ) -> None:
        self._task = task
        self._rule = rule
        self._recipe = recipe
        self._seed = seed
        self._show_progress = show_progress
        self.folds = folds_of(task.base, seed=seed)
        self.now = task.ndcg_now()
        self.lexical = LexicalChoice.of(task)

    def fitted(self, share: float) -> _Fitted:
        """Fit every fold's map to a share of the queries outside it; a smaller share is part of a larger one."""
        task, strengths = self._task, self._rule.strengths
        gains = np.zeros((len(task), len(strengths)), dtype=np.float32)
        over_base = np.zeros_like(gains)
        numbers = []
        folds = range(int(self.folds.max()) + 1)
        for fold in track(folds, description="tuning", unit="folds", show=self._show_progress):
            inside, outside = np.flatnonzero(self.folds == fold), np.flatnonzero(self.folds != fold)
            order = np.random.default_rng([self._seed, fold]).permutation(outside)
            used = np.sort(order[: max(1, round(share * len(order)))])
            weight = self.map_of(used, seed=self._seed + fold)
            lexical = self.lexical_weight(used)
            values = task.ndcg_with(weight, strengths, numbers=inside, lexical=lexical)
            gains[inside] = values - self.now[inside][:, None]
            over_base[inside] = values - task.ndcg_of(task.base[inside], inside, lexical=lexical)[:, None]
            numbers.append(len(used))
        return _Fitted(round(float(np.mean(numbers))), gains, over_base)

    def lexical_weight(self, used: IntArray) -> float | None:
        """The lexical weight that some of the queries speak for; None keeps that of now."""
        return None if self.lexical is None else self.lexical.weight(used)

    def map_of(self, used: IntArray, *, seed: int) -> FloatArray:
        """A map that is fitted to some of the queries, shape (dim, dim)."""
        lexical = self.lexical_weight(used)
        return fit_ridge(
            self._task.training_set(used, lexical=None if lexical is None else _FITTED_BESIDE * lexical),
            recipe=self._recipe,
            unit_length=self._task.unit_length,
            seed=seed,
        )

    def curve(self, whole: _Fitted, honest: FloatArray) -> LearningCurve | None:
        """The learning curve; None where there are too few queries for one.

        Args:
            whole: fitted to all queries outside a fold.
            honest: float32, shape (n_queries,); what every query gains with it.
        """
        n_queries = len(self._task)
        if n_queries < LEAST_FOR_CURVE:
            return None
        parts = [self.fitted(share) for share in CURVE_SHARES]
        columns = [_gains_at_strengths_of_others(part.gains, self.folds, self._rule) for part in parts]
        sizes = [part.n_queries for part in (*parts, whole)]
        return learning_curve(np.stack([*columns, honest], axis=1), sizes, n_queries=n_queries, more=n_queries)


def _gains_at_strengths_of_others(gains: FloatArray, folds: IntArray, rule: TuningRule) -> FloatArray:
    """The gain of every query at the strength that is chosen without its fold, shape (n_queries,)."""
    honest = np.zeros(len(gains), dtype=np.float32)
    for fold in np.unique(folds):
        strength = rule.choose(gains[folds != fold]).strength
        honest[folds == fold] = gains[folds == fold, rule.strengths.index(strength)]
    return honest


def _reason(belief: Belief, rule: TuningRule, *, worth: bool, force: bool) -> str:
    odds = (
        f"expected gain {belief.mean:+.3f} nDCG@10, probability of losing more than {rule.harm}: "
        f"{belief.probability_below(-rule.harm):.0%}"
    )
    if worth:
        return f"the expected benefit outweighs the risk: {odds}"
    limits = (
        f"needed: a gain of at least {rule.least_gain:+.3f}, a probability of at most {rule.risk:.0%}, and more than "
        f"nothing in cross-validation"
    )
    return f"installed by force against the odds: {odds}; {limits}" if force else f"too risky: {odds}; {limits}"
