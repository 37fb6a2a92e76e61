"""Whether a difference between two systems is more than chance: paired per query, by resampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError

DoubleArray = NDArray[np.float64]

RESAMPLES = 10_000
"""How many resamples intervals and p-values come from."""

_BLOCK_VALUES = 2_000_000  # drawn at once; bounds the memory to some 50 MB


class Intervals(NamedTuple):
    """Means with 95 % intervals of several columns, each float64 of shape (n_columns,)."""

    mean: DoubleArray
    low: DoubleArray
    high: DoubleArray


@dataclass(frozen=True, slots=True)
class PairedTest:
    """How sure a mean difference is.

    Attributes:
        mean: mean of the differences.
        low: lower end of the 95 % interval of the mean.
        high: upper end of the 95 % interval of the mean.
        p_value: probability of a mean at least this far from 0, on either side, if the sign of every difference
            were chance.
        n: how many differences.
    """

    mean: float
    low: float
    high: float
    p_value: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """Plain JSON values."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "p_value": self.p_value, "n": self.n}


def paired_test(differences: Sequence[float] | NDArray[np.floating], *, seed: int = 0) -> PairedTest:
    """Test whether the mean of paired differences is 0.

    The interval is that of :func:`bootstrap_intervals`. The p-value is that of the two-sided paired randomisation
    test (Smucker, Allan and Carterette, CIKM 2007): exact over all sign patterns where these are no more than
    10,000, otherwise (1 + hits) / (1 + 10,000) over random ones.

    Args:
        differences: shape (n,); the value of one system minus that of the other, query by query. No difference
            gives mean 0 and p 1; one gives its own value as the interval, which then says nothing, and p 1.
        seed: fixes the draws.

    Raises:
        InputError: the shape is not (n,), or a difference is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"differences have shape {values.shape}; expected (n,)")
    if len(values) == 0:
        return PairedTest(mean=0.0, low=0.0, high=0.0, p_value=1.0, n=0)
    mean, low, high = (float(column[0]) for column in bootstrap_intervals(values[:, None], seed=seed))
    return PairedTest(mean=mean, low=low, high=high, p_value=_sign_flip_p_value(values, seed=seed), n=len(values))


def bootstrap_intervals(differences: NDArray[np.floating], *, seed: int = 0) -> Intervals:
    """Give the mean of every column with its 95 % percentile bootstrap interval.

    All columns share the resamples of the rows (10,000), so many systems cost little more than one.

    Args:
        differences: shape (n, n_columns), n at least 1; rows are queries, columns are systems.
        seed: fixes the resamples.

    Raises:
        InputError: the shape is not (n, n_columns), there is no row, or a difference is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise InputError(f"differences have shape {values.shape}; expected (n, n_columns) with at least one row")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"difference {row} of column {column} is {values[row, column]}; expected a finite number")
    n_rows, n_columns = values.shape
    rng = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, n_columns))
    for start, stop in _blocks(n_rows):
        drawn = rng.integers(0, n_rows, size=(stop - start, n_rows))
        drawn += (np.arange(stop - start) * n_rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        means[start:stop] = counts @ values / n_rows
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return Intervals(mean=values.mean(axis=0), low=low, high=high)


def _sign_flip_p_value(differences: DoubleArray, *, seed: int) -> float:
    # A difference of 0 is the same under both signs.
    moved = differences[differences != 0]
    if len(moved) == 0:
        return 1.0
    # Sums that are equal on paper may differ in the last bits.
    threshold = abs(moved.sum()) - 1e-9 * np.abs(moved).sum()
    if 2 ** len(moved) <= RESAMPLES:
        patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float((np.abs((2.0 * patterns - 1.0) @ moved) >= threshold).mean())
    rng = np.random.default_rng(seed)
    n_as_far = 0
    for start, stop in _blocks(len(moved)):
        positive = rng.integers(0, 2, size=(stop - start, len(moved)), dtype=np.int8)
        n_as_far += int((np.abs((2.0 * positive - 1.0) @ moved) >= threshold).sum())
    return (1 + n_as_far) / (1 + RESAMPLES)


def _blocks(n_values: int) -> list[tuple[int, int]]:
    size = max(1, _BLOCK_VALUES // n_values)
    return [(start, min(start + size, RESAMPLES)) for start in range(0, RESAMPLES, size)]
