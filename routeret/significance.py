"""Whether a difference between two systems is more than chance: paired per query, by resampling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError

DoubleArray = NDArray[np.float64]

RESAMPLES = 10_000
"""How many resamples intervals and p-values come from."""

MARGIN = 0.01
"""How much worse a system may be that still counts as not inferior, in a measure from 0 to 1."""

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


def paired_test(
    differences: Sequence[float] | NDArray[np.floating], *, clusters: NDArray[Any] | None = None, seed: int = 0
) -> PairedTest:
    """Test whether the mean of paired differences is 0.

    The interval is that of :func:`bootstrap_intervals`, the p-value that of :func:`sign_flip_p_values`.

    Args:
        differences: shape (n,); the value of one system minus that of the other, query by query. No difference
            gives mean 0 and p 1; one gives its own value as the interval, which then says nothing, and p 1.
        clusters: shape (n,); a label for every difference. Those with one label depend on each other, so that they
            are drawn and turned together; None: each stands alone.
        seed: fixes the draws.

    Raises:
        InputError: a shape is not (n,), or a difference is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"differences have shape {values.shape}; expected (n,)")
    if len(values) == 0:
        return PairedTest(mean=0.0, low=0.0, high=0.0, p_value=1.0, n=0)
    column = values[:, None]
    mean, low, high = (float(found[0]) for found in bootstrap_intervals(column, clusters=clusters, seed=seed))
    p_value = float(sign_flip_p_values(column, clusters=clusters, seed=seed)[0])
    return PairedTest(mean=mean, low=low, high=high, p_value=p_value, n=len(values))


def bootstrap_intervals(
    differences: NDArray[np.floating], *, clusters: NDArray[Any] | None = None, seed: int = 0
) -> Intervals:
    """Give the mean of every column with its 95 % percentile bootstrap interval.

    All columns share the resamples of the rows (10,000), so many systems cost little more than one. Clusters are
    drawn whole (Davison and Hinkley, Bootstrap Methods and their Application, section 3.8); clusters of one row each
    give the plain bootstrap.

    Args:
        differences: shape (n, n_columns), n at least 1; rows are queries, columns are systems.
        clusters: shape (n,); a label for every row; None: each row is a cluster. One cluster gives its own mean as the
            interval, which then says nothing.
        seed: fixes the resamples.

    Raises:
        InputError: a shape does not fit, there is no row, or a difference is not finite.
    """
    return hierarchical_intervals([differences], clusters=None if clusters is None else [clusters], seed=seed)


def hierarchical_intervals(
    corpora: Sequence[NDArray[np.floating]], *, clusters: Sequence[NDArray[Any]] | None = None, seed: int = 0
) -> Intervals:
    """Give the mean over corpora of every column's mean with its 95 % interval, by a bootstrap of two stages.

    A resample draws as many corpora as there are, with replacement, and inside every drawn one as many clusters as it
    has, with replacement; its value is the mean of the means of the drawn corpora (Davison and Hinkley, Bootstrap
    Methods and their Application, section 3.8). So the interval speaks of other corpora of this kind, and not only of
    other queries of these. One corpus gives :func:`bootstrap_intervals`.

    Every corpus is resampled 10,000 times once. The first corpus of resample number i takes the i-th mean of the one
    that was drawn, and the others means further on, so that no two share their draws.

    Args:
        corpora: one array a corpus, shape (n_queries, n_columns), n_queries at least 1.
        clusters: a label for every row, shape (n_queries,), for every corpus; None: each row is a cluster.
        seed: fixes the resamples.

    Raises:
        InputError: there is no corpus, a shape does not fit, a corpus has no row, or a difference is not finite.
    """
    mean, values = _hierarchical(corpora, clusters, seed=seed)
    low, high = np.percentile(values, [2.5, 97.5], axis=0)
    return Intervals(mean=mean, low=low, high=high)


def intervals_over_seeds(
    corpora: Sequence[NDArray[np.floating]], *, clusters: Sequence[NDArray[Any]] | None = None, seed: int = 0
) -> Intervals:
    """Give what :func:`hierarchical_intervals` does for systems that were trained several times.

    A resample draws as many trainings as there are, with replacement, beside the corpora and clusters. Every training
    was measured on every corpus, so those drawn count on all corpora that were: training and corpus are crossed (Owen,
    The pigeonhole bootstrap, Annals of Applied Statistics, 2007). Few trainings give an interval that is too narrow.
    One training gives :func:`hierarchical_intervals`.

    Args:
        corpora: one array a corpus, shape (n_queries, n_columns, n_trainings), n_queries and n_trainings at least 1.
        clusters: a label for every query, shape (n_queries,), for every corpus; None: each query is a cluster.
        seed: fixes the resamples.

    Raises:
        InputError: there is no corpus, a shape does not fit, a corpus has no query, or a difference is not finite.
    """
    shapes = {one.shape[1:] for one in corpora}
    if len(shapes) != 1 or any(one.ndim != 3 or one.shape[2] == 0 for one in corpora):
        raise InputError(
            f"the corpora have shapes {[one.shape for one in corpora]}; expected (n_queries, n_columns, n_trainings) "
            "with as many columns and trainings in every one, at least one corpus and one training"
        )
    (n_columns, n_trainings) = corpora[0].shape[1:]
    mean, values = _hierarchical([one.reshape(len(one), -1) for one in corpora], clusters, seed=seed)
    drawn = np.random.default_rng([seed, 1]).multinomial(n_trainings, [1 / n_trainings] * n_trainings, RESAMPLES)
    over = np.einsum("rct,rt->rc", values.reshape(RESAMPLES, n_columns, n_trainings), drawn / n_trainings)
    low, high = np.percentile(over, [2.5, 97.5], axis=0)
    return Intervals(mean=mean.reshape(n_columns, n_trainings).mean(axis=1), low=low, high=high)


def sign_flip_p_values(
    differences: NDArray[np.floating], *, clusters: NDArray[Any] | None = None, seed: int = 0
) -> DoubleArray:
    """Give the p-value of every column's mean by the two-sided paired randomisation test.

    The test of Smucker, Allan and Carterette (CIKM 2007): exact over all sign patterns where these are no more than
    10,000, otherwise (1 + hits) / (1 + 10,000) over random ones, which all columns share. The signs of a cluster are
    turned together.

    Args:
        differences: shape (n, n_columns), n at least 1; rows are queries, columns are systems.
        clusters: shape (n,); a label for every row; None: each row is a cluster.
        seed: fixes the draws.

    Returns:
        float64, shape (n_columns,).

    Raises:
        InputError: a shape does not fit, there is no row, or a difference is not finite.
    """
    sums = _sums(differences, clusters)[:, :-1]
    # A difference of 0 is the same under both signs.
    n_moved = (sums != 0).sum(axis=0)
    is_exact = n_moved <= np.log2(RESAMPLES)
    p_values = np.empty(sums.shape[1])
    for column in np.flatnonzero(is_exact):
        p_values[column] = _exact_p_value(sums[sums[:, column] != 0, column])
    if not is_exact.all():
        p_values[~is_exact] = _random_p_values(sums[:, ~is_exact], seed=seed)
    return p_values


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of a family of comparisons, in their order.

    The step-down procedure of Holm (Scandinavian Journal of Statistics, 1979): the smallest of m p-values is
    multiplied by m, the next by m - 1 and so on; none may be below one of a smaller p-value, or above 1. Calling those
    at most 0.05 significant makes one false claim or more in at most 5 % of the families, however the comparisons
    depend on each other.

    Args:
        p_values: each in 0 to 1; may be empty.

    Raises:
        InputError: a value is not in 0 to 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    wrong = values[~((values >= 0) & (values <= 1))]
    if len(wrong):
        raise InputError(f"a p-value is {wrong[0]}; expected a number from 0 to 1")
    order = np.argsort(values, kind="stable")
    scaled = np.minimum(values[order] * np.arange(len(values), 0, -1), 1.0)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(scaled)
    return [float(value) for value in adjusted]


def _hierarchical(
    corpora: Sequence[NDArray[np.floating]], clusters: Sequence[NDArray[Any]] | None, *, seed: int
) -> tuple[DoubleArray, DoubleArray]:
    """The mean over corpora of every column, and that of 10,000 resamples, shape (10,000, n_columns)."""
    if not corpora or (clusters is not None and len(clusters) != len(corpora)):
        raise InputError(
            f"{len(corpora)} corpora with clusters for {len(corpora) if clusters is None else len(clusters)} were "
            "given; expected at least one corpus, and clusters for each or for none"
        )
    sums = [_sums(one, None if clusters is None else clusters[number]) for number, one in enumerate(corpora)]
    widths = [one.shape[1] - 1 for one in sums]
    if len(set(widths)) > 1:
        raise InputError(f"the corpora have {widths} columns; expected as many in every one")
    rng = np.random.default_rng(seed)
    means = np.stack([_resampled_means(one, rng) for one in sums])
    n_corpora = len(sums)
    total = np.zeros(means.shape[1:])
    for place in range(n_corpora):
        drawn = rng.integers(0, n_corpora, size=RESAMPLES)
        total += means[drawn, (np.arange(RESAMPLES) + place * RESAMPLES // n_corpora) % RESAMPLES]
    mean = np.mean([one[:, :-1].sum(axis=0) / one[:, -1].sum() for one in sums], axis=0)
    return mean, total / n_corpora


def _sums(differences: NDArray[np.floating], clusters: NDArray[Any] | None) -> DoubleArray:
    """The sum of every column within every cluster, and in the last column how many rows the cluster has."""
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise InputError(f"differences have shape {values.shape}; expected (n, n_columns) with at least one row")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"difference {row} of column {column} is {values[row, column]}; expected a finite number")
    counted = np.column_stack([values, np.ones(len(values))])
    if clusters is None:
        return counted
    labels = np.asarray(clusters)
    if labels.shape != values.shape[:1]:
        raise InputError(f"clusters have shape {labels.shape}; expected one label a difference, ({len(values)},)")
    _, cluster_by_row = np.unique(labels, return_inverse=True)
    sums = np.zeros((cluster_by_row.max() + 1, counted.shape[1]))
    np.add.at(sums, cluster_by_row, counted)
    return sums


def _resampled_means(sums: DoubleArray, rng: np.random.Generator) -> DoubleArray:
    """The means of 10,000 draws of clusters, shape (10,000, n_columns)."""
    n_clusters, width = sums.shape
    means = np.empty((RESAMPLES, width - 1))
    for start, stop in _blocks(n_clusters):
        drawn = rng.integers(0, n_clusters, size=(stop - start, n_clusters))
        drawn += (np.arange(stop - start) * n_clusters)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        totals = counts @ sums
        means[start:stop] = totals[:, :-1] / totals[:, -1:]
    return means


def _exact_p_value(moved: DoubleArray) -> float:
    patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
    return float((np.abs((2.0 * patterns - 1.0) @ moved) >= _threshold(moved)).mean())


def _random_p_values(columns: DoubleArray, *, seed: int) -> DoubleArray:
    moved = columns[(columns != 0).any(axis=1)]
    thresholds = _threshold(moved)
    rng = np.random.default_rng(seed)
    n_as_far = np.zeros(moved.shape[1], dtype=np.int64)
    for start, stop in _blocks(len(moved)):
        positive = rng.integers(0, 2, size=(stop - start, len(moved)), dtype=np.int8)
        n_as_far += (np.abs((2.0 * positive - 1.0) @ moved) >= thresholds).sum(axis=0)
    return (1 + n_as_far) / (1 + RESAMPLES)


def _threshold(moved: DoubleArray) -> DoubleArray:
    """How far out the sum is that was found; sums that are equal on paper may differ in the last bits."""
    found: DoubleArray = np.abs(moved.sum(axis=0)) - 1e-9 * np.abs(moved).sum(axis=0)
    return found


def _blocks(n_values: int) -> list[tuple[int, int]]:
    size = max(1, _BLOCK_VALUES // n_values)
    return [(start, min(start + size, RESAMPLES)) for start in range(0, RESAMPLES, size)]
