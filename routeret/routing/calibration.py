"""How far a predicted gain is to be believed: the chance that an expert helps, and an interval for its gain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.routing.leave_corpus_out import Examples
from routeret.routing.pilots import STRENGTHS
from routeret.types import FloatArray

NORMAL_95 = 1.96
"""Half the width of a 95 % interval in standard deviations of a normal distribution."""

N_FEATURES = 3
"""Of how many features the chance that an expert helps is made."""

_LEAST_RATE = 0.01
_MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What leaving every training corpus out once says of predicted gains.

    Attributes:
        coefficients: float32, shape (3,); of a logistic regression to "this expert helps": of the log odds of gaining
            on corpora like this one and of 1, where the documents are known, and of the strength where they are not.
            There, how often experts gain elsewhere tells nothing.
        intercept: of the same.
        unknown_errors: float32, shape (n_strengths,); root mean square of measured minus predicted gain on the mean of
            a corpus, for experts that were not trained on it.
    """

    coefficients: FloatArray
    intercept: float
    unknown_errors: FloatArray

    @classmethod
    def fit(cls, found: Sequence[Examples]) -> "Calibration":
        """Learn from examples; every corpus counts the same.

        Without any, the chance is one half and the gain could be anything from -1 to 1.

        Args:
            found: as :func:`routeret.routing.leave_corpus_out.examples` gives them.
        """
        unknown = [one for one in found if not one.is_known]
        # Where nothing was left out, the gain on strange documents is as uncertain as gains are large.
        squares = [_mean_error(one) ** 2 for one in unknown] or [_mean_gain(one) ** 2 for one in found]
        errors = np.ones(len(STRENGTHS), dtype=np.float32)
        if squares:
            weights = _weights(unknown or found, each=True)
            errors = np.sqrt(np.average(np.stack(squares), axis=0, weights=weights)).astype(np.float32)
        if not found:
            return cls(np.zeros(N_FEATURES, dtype=np.float32), 0.0, errors)
        coefficients, intercept = _logistic(
            np.concatenate([_features_of(one) for one in found]),
            np.concatenate([helped(one) for one in found]),
            weights=np.repeat(_weights(found, each=False), [len(one) for one in found]),
        )
        return cls(coefficients, intercept, errors)

    def helps(self, rates: FloatArray, *, trust: FloatArray, strengths: FloatArray) -> FloatArray:
        """The chance that an expert raises nDCG@10 on a query; a query that it leaves as it is counts against it.

        Args:
            rates: float32, shape (n_queries, n_experts); how often it gains on corpora like this one.
            trust: float32, the same shape; how far the documents are known, 0 to 1.
            strengths: float32, the same shape; of the expert.

        Returns:
            float32, the same shape.
        """
        by_odds, for_known, by_strength = self.coefficients
        logits = trust * (by_odds * _log_odds(rates) + for_known) + (1 - trust) * by_strength * strengths
        logits += np.float32(self.intercept)
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)

    def helps_on(self, example: Examples) -> FloatArray:
        """The same for every pilot and strength of an example, float32, shape (n_pilots * n_strengths,)."""
        shape = example.rates.shape
        return self.helps(
            example.rates,
            trust=np.full(shape, example.is_known, dtype=np.float32),
            strengths=np.broadcast_to(np.array(STRENGTHS, dtype=np.float32), shape),
        ).ravel()


def helped(example: Examples) -> FloatArray:
    """1 where the expert raised nDCG@10, else 0; float32, shape (n_pilots * n_strengths,)."""
    return np.asarray(example.measured.ravel() > 0, dtype=np.float32)


def _mean_gain(example: Examples) -> FloatArray:
    return np.asarray(example.measured.mean(axis=0), dtype=np.float32)


def _mean_error(example: Examples) -> FloatArray:
    return np.asarray((example.measured - example.predicted).mean(axis=0), dtype=np.float32)


def _weights(found: Sequence[Examples], *, each: bool) -> FloatArray:
    """The weight of every example, or of each of its predictions, so that corpora count the same."""
    corpora = np.array([one.corpus for one in found])
    sizes = np.array([1 if each else len(one) for one in found])
    totals = np.bincount(corpora, weights=sizes)
    return np.asarray(1 / totals[corpora], dtype=np.float32)


def _log_odds(rates: FloatArray) -> FloatArray:
    clipped = np.clip(rates, _LEAST_RATE, 1 - _LEAST_RATE)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float32)


def _features_of(example: Examples) -> FloatArray:
    known = np.full(example.rates.size, example.is_known, dtype=np.float32)
    strengths = np.tile(np.array(STRENGTHS, dtype=np.float32), len(example.rates))
    columns = [known * _log_odds(example.rates).ravel(), known, (1 - known) * strengths]
    return np.stack(columns, axis=1).astype(np.float32)


def _logistic(features: FloatArray, labels: FloatArray, *, weights: FloatArray) -> tuple[FloatArray, float]:
    """Coefficients and intercept; the odds alone where all labels are equal."""
    if labels.min() == labels.max():
        n_helped = float(labels.sum())
        return np.zeros(N_FEATURES, dtype=np.float32), float(np.log((n_helped + 1) / (len(labels) - n_helped + 1)))
    from sklearn.linear_model import LogisticRegression

    scales = np.maximum(features.std(axis=0), 1e-6)
    model = LogisticRegression(max_iter=_MAX_ITERATIONS).fit(
        features / scales, labels, sample_weight=weights / weights.mean()
    )
    return (model.coef_[0] / scales).astype(np.float32), float(model.intercept_[0])
