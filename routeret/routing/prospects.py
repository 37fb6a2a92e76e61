"""How far predicted gains are to be believed: worked out when somebody looks, as no decision needs it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from routeret.routing.calibration import Calibration
from routeret.routing.gain_table import GainTable
from routeret.routing.pilots import STRENGTHS
from routeret.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Prospects:
    """How far the gain of every expert, at its best strength, is to be believed.

    Attributes:
        gains: float32, shape (n_queries, n_experts, n_strengths); predicted.
        probabilities: float32, shape (n_queries, n_corpora); of every training corpus.
        trust: float32, shape (n_queries, n_experts); how far each expert knows the documents, 0 to 1.
        table: what every expert gains on every corpus.
        calibration: how gains that were predicted so far came true.
    """

    gains: FloatArray
    probabilities: FloatArray
    trust: FloatArray
    table: GainTable
    calibration: Calibration

    @cached_property
    def errors(self) -> FloatArray:
        """Standard errors of the gains, float32, shape (n_queries, n_experts)."""
        known = self._at_best(self.table.variances(self.probabilities))
        unknown = self.calibration.unknown_errors[self._best] ** 2
        return np.sqrt(self.trust * known + (1 - self.trust) * unknown).astype(np.float32)

    @cached_property
    def helps(self) -> FloatArray:
        """The chance that each expert raises nDCG@10 on each query, float32, shape (n_queries, n_experts)."""
        return self.calibration.helps(
            self._at_best(self.table.gaining(self.probabilities)),
            trust=self.trust,
            strengths=np.array(STRENGTHS, dtype=np.float32)[self._best],
        )

    @cached_property
    def _best(self) -> IntArray:
        """The place of every expert's best strength, int64, shape (n_queries, n_experts)."""
        places: IntArray = self.gains.argmax(axis=2)
        return places

    def _at_best(self, values: FloatArray) -> FloatArray:
        """What is told of every strength, of the best one alone, shape (n_queries, n_experts)."""
        best: FloatArray = np.take_along_axis(values, self._best[:, :, None], axis=2)[:, :, 0]
        return best
