"""How well scores tell pairs that belong together from others: the measures of 2401.15713."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from routeret.errors import InputError
from routeret.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class PairReport:
    """What scores of labelled pairs are worth.

    Attributes:
        f1_max: the highest F1 that a threshold reaches, 0 to 1.
        threshold: of the highest F1; a pair scored so or higher counts as positive. Of thresholds with equal F1 the
            highest, which has the best precision.
        precision: at the threshold, 0 to 1.
        recall: at the threshold, 0 to 1.
        ratio: mean score of the positives over mean score of the negatives, without its sign; infinite where the
            negatives' mean is 0.
        roc_auc: how often a positive scores above a negative, an equal score counting half, 0 to 1.
        n_positive: how many pairs are labelled positive.
        n_negative: how many are not.
    """

    f1_max: float
    threshold: float
    precision: float
    recall: float
    ratio: float
    roc_auc: float
    n_positive: int
    n_negative: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, but for an infinite ratio."""
        return asdict(self)


def pair_report(scores: FloatArray, is_positive: BoolArray) -> PairReport:
    """Measure scores of labelled pairs.

    The highest F1 is chosen on the pairs that it is reported on, so it flatters; pairs that are all called positive
    already have 2 s / (1 + s) for a share s of positives. Compare it between systems on one set of pairs only.

    Args:
        scores: float32, shape (n_pairs,); for example cosines; higher is more alike.
        is_positive: bool, same shape; at least one pair of each kind.

    Raises:
        InputError: the shapes differ, a score is not a finite number, or all pairs are of one kind.
    """
    from sklearn.metrics import precision_recall_curve, roc_auc_score

    n_positive = _checked_positives(scores, is_positive)
    precision, recall, thresholds = precision_recall_curve(is_positive, scores)
    # The curve ends in a point without a threshold, at which nothing is called positive.
    precision, recall = precision[:-1], recall[:-1]
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(len(both)), where=both > 0)
    # Rounded, because equal F1 of different precision and recall differ in the last bit.
    best = len(f1) - 1 - int(f1[::-1].round(12).argmax())
    positives, negatives = (scores[mask].mean(dtype=np.float64) for mask in (is_positive, ~is_positive))
    return PairReport(
        f1_max=float(f1[best]),
        threshold=float(thresholds[best]),
        precision=float(precision[best]),
        recall=float(recall[best]),
        ratio=float(abs(positives / negatives)) if negatives else math.inf,
        roc_auc=float(roc_auc_score(is_positive, scores)),
        n_positive=n_positive,
        n_negative=len(scores) - n_positive,
    )


def _checked_positives(scores: FloatArray, is_positive: BoolArray) -> int:
    """How many pairs are positive, if the arrays can be measured."""
    if scores.ndim != 1 or scores.shape != is_positive.shape or is_positive.dtype != np.bool_:
        raise InputError(
            f"scores have shape {scores.shape}, labels {is_positive.shape} of type {is_positive.dtype}; expected one "
            f"shape (n_pairs,), and bool"
        )
    broken = np.flatnonzero(~np.isfinite(scores))
    if len(broken):
        raise InputError(f"pair {broken[0]} has score {scores[broken[0]]}; expected finite numbers")
    n_positive = int(np.count_nonzero(is_positive))
    if n_positive in (0, len(scores)):
        raise InputError(
            f"{n_positive} of {len(scores)} pairs are positive; expected pairs of both kinds, positive and not"
        )
    return n_positive
