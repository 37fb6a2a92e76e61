"""Fits an expert to one index from a few labelled queries, and decides whether it is worth having."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from routeret.errors import InputError
from routeret.experts.strength import applied
from routeret.progress import track
from routeret.significance import paired_test
from routeret.training.belief import Belief, TuningRule
from routeret.training.linear import LinearRecipe, fit_linear
from routeret.training.scoring import ndcg_of_scores
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray, IntArray

TUNING_RECIPE = LinearRecipe(
    checkpoints=(40,), learning_rate=1e-3, n_negatives=2500, n_positives=4, anchor_weight=0.0, averaging=0.1
)
"""Few and small steps: what a hundred queries can teach is learned early; later steps memorise them."""

N_FOLDS = 5

_SAME_DIRECTION = 0.98
_AVERAGED = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class TuningTask:
    """Labelled queries with what the index does with them now.

    Attributes:
        base: float32, shape (n_queries, dim); the base's query embeddings.
        present: float32, shape (n_queries, dim); the vectors that the index is searched with now, which are those of
            the base where no expert acts.
        documents: float32, shape (n_documents, dim).
        relevant: rows of the relevant documents of every query, at least one each.
        lexical: float32, shape (n_queries, n_documents); the weighted lexical score that is added to the cosines
            now. None adds nothing.
        unit_length: whether vectors of the space have length 1.
    """

    base: FloatArray
    present: FloatArray
    documents: FloatArray
    relevant: tuple[IntArray, ...]
    lexical: FloatArray | None = None
    unit_length: bool = True

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together.

        Raises:
            InputError: the shapes do not fit, or there are fewer than two queries.
        """
        n_queries, n_documents = len(self.base), len(self.documents)
        if n_queries < 2:
            raise InputError(f"found {n_queries} labelled queries, expected at least 2, better 100, to cross-validate")
        if self.present.shape != self.base.shape or len(self.relevant) != n_queries:
            raise InputError(
                f"base vectors have shape {self.base.shape}, present ones {self.present.shape}, and "
                f"{len(self.relevant)} queries have relevant rows; expected the same number of queries and dimensions"
            )
        if self.lexical is not None and self.lexical.shape != (n_queries, n_documents):
            raise InputError(f"lexical has shape {self.lexical.shape}, expected ({n_queries}, {n_documents})")

    @property
    def share(self) -> float:
        """What the expert's vector counts beside the present one: all, or half where other experts act already."""
        products = np.einsum("nd,nd->n", self.base, self.present)
        lengths = np.linalg.norm(self.base, axis=1) * np.linalg.norm(self.present, axis=1)
        cosines = products / np.maximum(lengths, np.finfo(np.float32).tiny)
        return 1.0 if cosines.mean() >= _SAME_DIRECTION else _AVERAGED

    def training_set(self, numbers: IntArray) -> TrainingSet:
        """What an expert is fitted to: some of the queries, by number."""
        return TrainingSet(
            name="labelled queries",
            queries=self.base[numbers],
            documents=self.documents,
            positives=tuple(self.relevant[number] for number in numbers),
            companions=None if self.share == 1.0 else self.present[numbers],
            added_scores=None if self.lexical is None else self.lexical[numbers],
        )

    def ndcg_now(self) -> FloatArray:
        """nDCG@10 of what the index does now, shape (n_queries,)."""
        return self._ndcg(self.present, np.arange(len(self.base)))

    def ndcg_with(self, weight: FloatArray, strengths: Sequence[float], *, numbers: IntArray) -> FloatArray:
        """nDCG@10 of some queries with a map, shape (n_numbers, n_strengths)."""
        base = self.base[numbers]
        shift = base @ weight.T
        columns = []
        for strength in strengths:
            at = np.full(len(base), strength, dtype=np.float32)
            vectors = applied(base, shift, strengths=at, unit_length=self.unit_length)
            columns.append(self._ndcg(self._beside_present(vectors, numbers), numbers))
        return np.stack(columns, axis=1)

    def _beside_present(self, vectors: FloatArray, numbers: IntArray) -> FloatArray:
        share = np.float32(self.share)
        if share == 1.0:
            return vectors
        mixed = share * vectors + (1 - share) * self.present[numbers]
        if self.unit_length:
            mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return mixed

    def _ndcg(self, vectors: FloatArray, numbers: IntArray) -> FloatArray:
        scores = vectors @ self.documents.T
        if self.lexical is not None:
            scores += self.lexical[numbers]
        relevant = [self.relevant[number] for number in numbers]
        return ndcg_of_scores(scores, relevant=relevant, grades=[np.ones(len(r), dtype=np.float32) for r in relevant])


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What tuning gave.

    Attributes:
        expert: name of the tuned expert.
        installed: whether it is now in the index's pool.
        reason: why, or why not, in words.
        before: cross-validated nDCG@10 of what the index does now.
        after: the same with the expert; no query is scored by an expert or at a strength that it helped to find.
        p_value: of the paired difference of the two; reported, not decisive.
        expected_gain: what to believe about the gain on new queries.
        harm_probability: of a loss of more than 0.01.
        strength: at which the expert is applied.
        n_queries: how many labelled queries there were.
        seconds: how long it took.
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

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, eq=False)
class TuneOutcome:
    """A tuned map with the decision about it.

    Attributes:
        report: the decision.
        weight: the map, float32, shape (dim, dim); the mean of the maps of the folds.
        strength: at which it is applied.
        share: what its vector counts beside the one that the index uses now: 1, or 0.5 where other experts act.
        gains: float32, shape (n_queries, n_strengths); cross-validated change of nDCG@10 at every strength of the
            rule, with the lexical score beside it.
    """

    report: TuneReport
    weight: FloatArray
    strength: float
    share: float
    gains: FloatArray


def tune(
    task: TuningTask,
    *,
    name: str = "tuned",
    rule: TuningRule | None = None,
    recipe: LinearRecipe | None = None,
    seed: int = 0,
    force: bool = False,
    show_progress: bool = False,
) -> TuneOutcome:
    """Fit an expert to labelled queries and decide about it; seconds for a hundred queries.

    The queries are split into five folds; queries that are equal share one. Every fold is scored with a map that was
    fitted to the others. The expert is the mean of these maps, which does a little better than each of them, so what
    cross-validation shows is a little too low.

    Args:
        task: the queries and what the index does now.
        name: of the expert.
        rule: decides; the calibrated one where None.
        recipe: how the maps are fitted; :data:`TUNING_RECIPE` where None.
        seed: fixes the folds and the draws of the fits.
        force: report the expert as installed even if the rule is against it.
        show_progress: draw a progress bar on stderr.

    Raises:
        InputError: all queries are equal, so there is nothing to validate on.
    """
    start = perf_counter()
    rule = rule or TuningRule()
    folds = _folds(task.base, seed=seed)
    now = task.ndcg_now()
    gains = np.zeros((len(now), len(rule.strengths)), dtype=np.float32)
    weights = []
    for fold in track(range(int(folds.max()) + 1), description="tuning", unit="folds", show=show_progress):
        inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        weight = fit_linear(
            [task.training_set(outside)],
            recipe=recipe or TUNING_RECIPE,
            unit_length=task.unit_length,
            seed=seed + fold,
        )[-1].weight
        gains[inside] = task.ndcg_with(weight, rule.strengths, numbers=inside) - now[inside][:, None]
        weights.append(weight)
    chosen = rule.choose(gains)
    honest = _gains_at_strengths_of_others(gains, folds, rule)
    # However much the prior promises, what cross-validation shows must not be a loss.
    worth = rule.accepts(chosen) and float(honest.mean()) > 0
    report = TuneReport(
        expert=name,
        installed=worth or force,
        reason=_reason(chosen, rule, worth=worth, force=force),
        before=float(now.mean()),
        after=float((now + honest).mean()),
        p_value=paired_test(honest, seed=seed).p_value,
        expected_gain=chosen.mean,
        harm_probability=chosen.probability_below(-rule.harm),
        strength=chosen.strength,
        n_queries=len(now),
        seconds=perf_counter() - start,
    )
    mean_weight: FloatArray = np.stack(weights).mean(axis=0, dtype=np.float64).astype(np.float32)
    return TuneOutcome(report=report, weight=mean_weight, strength=chosen.strength, share=task.share, gains=gains)


def _folds(queries: FloatArray, *, seed: int) -> IntArray:
    """The fold of every query, shape (n_queries,); equal queries share one."""
    _, group = np.unique(queries, axis=0, return_inverse=True)
    n_groups = int(group.max()) + 1
    if n_groups < 2:
        raise InputError(f"all {len(queries)} labelled queries are the same; expected at least 2 that differ")
    fold_by_group = np.random.default_rng(seed).permutation(n_groups) % min(N_FOLDS, n_groups)
    folds: IntArray = fold_by_group[group].astype(np.int64)
    return folds


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
