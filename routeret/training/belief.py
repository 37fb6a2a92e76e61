"""What to believe about the gain of a tuned expert, and when that is good enough.

With a hundred queries a true gain of two points of nDCG@10 is often not significant, and a test at p < 0.05 would
refuse most experts that help. So the decision is made as a bet: what tuning gained on other corpora (the prior) is
weighed against what cross-validation shows on this one, and an expert is worth having if it is expected to gain and
unlikely to harm. The numbers come from tuning on train queries of twelve corpora and measuring on their dev queries, as
``eval/tune_study.py`` does.
"""

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np

from routeret.types import FloatArray

_ADDED_SQUARES = 0.05
"""Added to the sum of squared differences: where hardly any query moved, their spread alone would say too little."""


def mean_error(differences: FloatArray) -> float:
    """How far the mean of some differences may be from that of all queries.

    Args:
        differences: float32, shape (n_queries,); of nDCG@10, at least one.

    Returns:
        The root of the sum of squares, with a little added, over the number.
    """
    return sqrt(float(np.square(differences.astype(np.float64)).sum()) + _ADDED_SQUARES) / len(differences)


@dataclass(frozen=True, slots=True)
class Belief:
    """A normal distribution over the gain at one strength, in nDCG@10.

    Attributes:
        strength: of the expert.
        mean: the expected gain.
        deviation: standard deviation.
    """

    strength: float
    mean: float
    deviation: float

    def probability_below(self, gain: float) -> float:
        """How likely the gain is to be below a value."""
        return 0.5 * (1 + erf((gain - self.mean) / (self.deviation * sqrt(2))))


@dataclass(frozen=True, slots=True)
class TuningRule:
    """When a tuned expert is worth having.

    Attributes:
        strengths: that may be chosen, rising.
        expected: gain of tuned experts over many corpora, in nDCG@10, at every strength; two thirds of the mean that
            was measured, since the corpora that were at hand may be kinder than others.
        spread: standard deviation of that over corpora.
        harm: a loss of more than this counts as harm.
        risk: the expert is worth having only if harm is no likelier than this,
        least_gain: and if at least this gain is expected.
    """

    strengths: tuple[float, ...] = (0.3, 0.5, 0.7, 1.0)
    expected: tuple[float, ...] = (0.011, 0.015, 0.018, 0.019)
    spread: tuple[float, ...] = (0.019, 0.025, 0.030, 0.032)
    harm: float = 0.01
    risk: float = 0.1
    least_gain: float = 0.003

    def beliefs(self, differences: FloatArray) -> tuple[Belief, ...]:
        """What to believe at every strength.

        Prior and evidence are both taken to be normal, so the posterior mean is their mean weighted by precision.

        Args:
            differences: float32, shape (n_queries, n_strengths); of nDCG@10, by cross-validation.
        """
        found = []
        for column, strength in enumerate(self.strengths):
            values = differences[:, column].astype(np.float64)
            error = mean_error(differences[:, column]) ** 2
            prior = self.spread[column] ** 2
            trust = prior / (prior + error)
            mean = trust * float(values.mean()) + (1 - trust) * self.expected[column]
            found.append(Belief(strength=strength, mean=mean, deviation=sqrt(trust * error)))
        return tuple(found)

    def choose(self, differences: FloatArray) -> Belief:
        """The strength with the highest expected gain; the weaker one of equals. For the arguments see `beliefs`."""
        return max(self.beliefs(differences), key=lambda belief: belief.mean)

    def accepts(self, belief: Belief) -> bool:
        """Whether an expert is worth having."""
        return belief.mean >= self.least_gain and belief.probability_below(-self.harm) <= self.risk
