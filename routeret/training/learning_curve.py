"""How the gain of tuning grows with the number of labelled queries, and what more of them may add."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError
from routeret.types import FloatArray

_Doubles = NDArray[np.float64]

COVERED = 0.9
"""The probability that an interval of a prediction is meant to hold."""

_EXPONENTS = (0.25, 0.5, 1.0, 2.0)
_SCALES = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0)
_SPREAD = 0.1
"""Standard deviation of the gain without end, before anything is seen: wide, so that it decides nothing."""

_SUBSET_NOISE = 0.003
"""Standard deviation of a mean gain by which queries happen to be in a subset."""

_DRAWN = 25


@dataclass(frozen=True, slots=True)
class Prediction:
    """A gain in nDCG@10 as the curve has it.

    Attributes:
        n_queries: labelled queries that it would be tuned on.
        gain: the expected gain over what the index does now,
        low: the lower end of the interval that holds it with the probability :data:`COVERED`,
        high: and the upper end.
    """

    n_queries: int
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Cross-validated gains at several numbers of labelled queries, and where they lead.

    Attributes:
        n_queries: how many queries the maps were fitted to, rising.
        gains: the mean gain in nDCG@10 over what the index does now, at each of them.
        errors: their standard errors.
        more: the prediction is what so many queries more may add,
        added: the expected gain from them,
        added_low: the lower end of the interval that holds it with the probability :data:`COVERED`,
        added_high: and the upper end.
        line: the curve, from no query on.
    """

    n_queries: tuple[int, ...]
    gains: tuple[float, ...]
    errors: tuple[float, ...]
    more: int
    added: float
    added_low: float
    added_high: float
    line: tuple[Prediction, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """The curve in words."""
        points = ", ".join(f"{n} -> {gain:+.3f}" for n, gain in zip(self.n_queries, self.gains, strict=True))
        return (
            f"{points}; another {self.more} may add about {self.added:+.3f} "
            f"({self.added_low:+.3f} to {self.added_high:+.3f})"
        )


def learning_curve(gains: FloatArray, sizes: Sequence[int], *, n_queries: int, more: int) -> LearningCurve:
    """Fit a saturating curve to the gains at several sizes.

    The gain of n queries is ``a (1 - (1 + n / h) ** -c)``: what is lacking falls as a power law, as learning curves of
    many kinds do (Hestness et al., arXiv 1712.00409, section 2), and no query gives no gain. A handful of noisy means
    cannot tell c and h, so no single curve is taken: a grid of them is weighed by how likely each makes the means, by
    Bayes' rule with equal priors, the limit a being normal given the curve. The noise of the means is their covariance
    over queries, which are the same at every size, and a little for the choice of the subsets. Intervals hold both
    kinds of doubt: which curve, and how high.

    Args:
        gains: float32, shape (n_judged, n_sizes); cross-validated change of nDCG@10 of every query.
        sizes: how many queries the maps were fitted to, rising, one a column.
        n_queries: how many there are now.
        more: how many more are asked about.

    Raises:
        InputError: there are fewer than two judged queries, columns and sizes differ, or a size or ``more`` is below 1.
    """
    if gains.ndim != 2 or len(gains) < 2 or gains.shape[1] != len(sizes) or not sizes:
        raise InputError(
            f"gains have shape {gains.shape} for {len(sizes)} sizes; expected at least 2 queries and a column a size"
        )
    if min(*sizes, more) < 1 or list(sizes) != sorted(set(sizes)):
        raise InputError(f"sizes are {list(sizes)}, more is {more}; expected rising numbers from 1 on, and at least 1")
    values = gains.astype(np.float64)
    noise = np.atleast_2d(np.cov(values, rowvar=False)) / len(values) + _SUBSET_NOISE**2 * np.eye(len(sizes))
    means = values.mean(axis=0)
    curves = _Curves.fitted(means, np.array(sizes, dtype=np.float64), noise=noise)
    added, low, high = curves.between(n_queries, n_queries + more)
    line = [int(n) for n in np.unique(np.linspace(0, n_queries + more, _DRAWN).round())]
    return LearningCurve(
        n_queries=tuple(int(size) for size in sizes),
        gains=tuple(means.tolist()),
        errors=tuple(np.sqrt(np.diag(noise)).tolist()),
        more=more,
        added=added,
        added_low=low,
        added_high=high,
        line=tuple(Prediction(n, *curves.between(0, n)) for n in line),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Curves:
    """Curves with their probabilities, each with a normal distribution of its limit; arrays of shape (n_curves,)."""

    exponents: _Doubles
    scales: _Doubles
    probabilities: _Doubles
    limits: _Doubles
    deviations: _Doubles

    @classmethod
    def fitted(cls, means: _Doubles, sizes: _Doubles, *, noise: _Doubles) -> "_Curves":
        """Weigh all curves of the grid by mean gains with normal noise of a covariance."""
        from scipy.stats import multivariate_normal

        exponents, scales = np.array(list(product(_EXPONENTS, _SCALES))).T
        reached = _reached(sizes, exponents[:, None], scales[:, None])
        inverse = np.linalg.inv(noise)
        precisions = 1 / _SPREAD**2 + np.einsum("cs,st,ct->c", reached, inverse, reached)
        limits = (reached @ inverse @ means) / precisions
        evidence = np.array(
            [multivariate_normal.logpdf(means, cov=noise + _SPREAD**2 * np.outer(shares, shares)) for shares in reached]
        )
        probabilities = np.exp(evidence - evidence.max())
        return cls(exponents, scales, probabilities / probabilities.sum(), limits, 1 / np.sqrt(precisions))

    def between(self, start: int, end: int) -> tuple[float, float, float]:
        """What the gain grows by from one number of queries to another: the mean and the ends of the interval."""
        from scipy.optimize import brentq
        from scipy.special import ndtr, ndtri

        ends = _reached(np.array([[start], [end]], dtype=np.float64), self.exponents, self.scales)
        shares = ends[1] - ends[0]
        if not shares.any():
            return 0.0, 0.0, 0.0
        centres, widths = shares * self.limits, shares * self.deviations

        def quantile(probability: float) -> float:
            at = ndtri(probability) * widths + centres
            lowest, highest = float(at.min()), float(at.max())
            if lowest == highest:
                return lowest
            return float(
                brentq(
                    lambda gain: float(self.probabilities @ ndtr((gain - centres) / widths)) - probability,
                    lowest - 1e-9,
                    highest + 1e-9,
                )
            )

        tail = (1 - COVERED) / 2
        return float(self.probabilities @ centres), quantile(tail), quantile(1 - tail)


def _reached(sizes: _Doubles, exponents: _Doubles, scales: _Doubles) -> _Doubles:
    """The share of its limit that a curve has reached at some sizes, 0 to 1."""
    return np.asarray(1 - (1 + sizes / scales) ** -exponents, dtype=np.float64)
