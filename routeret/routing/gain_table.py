"""What every expert gains on every training corpus, how surely, and how often."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from routeret.routing.pilots import STRENGTHS, PilotLibrary, measured_rows
from routeret.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class GainTable:
    """Dev gains by corpus, expert and strength.

    Attributes:
        means: float32, shape (n_corpora, n_experts, n_strengths); mean gains, shrunk towards 0, and 0 where nothing was
            measured.
        errors: float32, the same shape; standard errors of the means.
        rates: float32, the same shape; share of the pilots on which the expert gained, shrunk towards that of all
            corpora and experts.
    """

    means: FloatArray
    errors: FloatArray
    rates: FloatArray

    @classmethod
    def fit(cls, library: PilotLibrary, experts: Sequence[str], *, shrinkage: float) -> "GainTable":
        """The means over the pilots.

        Args:
            library: the pilots.
            experts: the pool.
            shrinkage: a mean over n pilots counts n / (n + shrinkage) of itself.
        """
        shape = (len(library.corpora), len(experts), len(STRENGTHS))
        means, errors, rates = (np.zeros(shape, dtype=np.float32) for _ in range(3))
        counts = np.zeros(shape[:2], dtype=np.int64)
        for row, corpus in enumerate(library.corpora):
            for column, expert in enumerate(experts):
                gains = measured_rows(corpus.gains.get(expert))
                counts[row, column] = n_pilots = len(gains)
                if n_pilots:
                    means[row, column] = gains.mean(axis=0, dtype=np.float64)
                    rates[row, column] = (gains > 0).mean(axis=0)
                if n_pilots > 1:
                    errors[row, column] = gains.std(axis=0, ddof=1, dtype=np.float64) / np.sqrt(n_pilots)
        is_measured = counts > 0
        of_all = rates[is_measured].mean(axis=0) if is_measured.any() else np.zeros(len(STRENGTHS), dtype=np.float32)
        shares = (counts / np.maximum(counts + shrinkage, 1e-9)).astype(np.float32)[:, :, None]
        rates = shares * rates + (1 - shares) * of_all
        return cls(shares * means, shares * errors, rates)

    def expected(self, probabilities: FloatArray) -> FloatArray:
        """Mean gain where the corpus is known by its probability only.

        Args:
            probabilities: float32, shape (n_queries, n_corpora); rows may sum to less than 1, the rest gains nothing.

        Returns:
            float32, shape (n_queries, n_experts, n_strengths).
        """
        return _weighted(probabilities, self.means)

    def variances(self, probabilities: FloatArray) -> FloatArray:
        """Variance of the mean gain: which corpus it is, and how well its mean is known.

        Args:
            probabilities: float32, shape (n_queries, n_corpora); rows sum to 1.

        Returns:
            float32, shape (n_queries, n_experts, n_strengths).
        """
        second = _weighted(probabilities, self._second_moments)
        return np.asarray(np.maximum(second - self.expected(probabilities) ** 2, 0), dtype=np.float32)

    def gaining(self, probabilities: FloatArray) -> FloatArray:
        """How often an expert gains, shape (n_queries, n_experts, n_strengths).

        Args:
            probabilities: float32, shape (n_queries, n_corpora); rows sum to 1.
        """
        return _weighted(probabilities, self.rates)

    def of_experts(self, columns: Sequence[int] | IntArray) -> "GainTable":
        """The table of some experts, by their columns."""
        return replace(self, means=self.means[:, columns], errors=self.errors[:, columns], rates=self.rates[:, columns])

    @cached_property
    def _second_moments(self) -> FloatArray:
        return self.means**2 + self.errors**2


def _weighted(probabilities: FloatArray, table: FloatArray) -> FloatArray:
    n_corpora, n_experts, n_strengths = table.shape
    product = probabilities @ table.reshape(n_corpora, n_experts * n_strengths)
    return np.asarray(product.reshape(len(probabilities), *table.shape[1:]), dtype=np.float32)
