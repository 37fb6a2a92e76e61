"""Which weight of BM25 suits an index, by a few labelled queries."""

from dataclasses import dataclass

import numpy as np

from routeret.routing.pilots import LEXICAL_WEIGHTS
from routeret.training.belief import mean_error
from routeret.training.tuning_task import TuningTask
from routeret.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class LexicalChoice:
    """What the index does with every weight of the lexical score, and how one of them is chosen.

    The weight is taken whose gain over the present one is highest after one standard error of it is taken off: of two
    that are about as good, the one that changes less. Without the standard error, a hundred queries move the weight
    for nothing, and sometimes to a worse one.

    Attributes:
        values: float32, shape (n_queries, n_weights); nDCG@10 with each of
            :data:`~routeret.routing.pilots.LEXICAL_WEIGHTS`.
        present: the column of the weight that is nearest to the mean weight now.
    """

    values: FloatArray
    present: int

    @classmethod
    def of(cls, task: TuningTask) -> "LexicalChoice | None":
        """Measure every weight; None for an index that uses no lexical score now, which it keeps to."""
        now = task.mean_lexical_weight
        if now == 0:
            return None
        nearest = int(np.argmin(np.abs(np.array(LEXICAL_WEIGHTS) - now)))
        return cls(task.ndcg_by_lexical_weight(), nearest)

    def weight(self, numbers: IntArray) -> float:
        """The weight that some of the queries speak for."""
        differences = self.values[numbers] - self.values[numbers, self.present][:, None]
        sure = differences.mean(axis=0, dtype=np.float64) - self._errors(differences)
        # Equal ones keep what is there.
        best = self.present if sure[self.present] >= sure.max() else int(np.argmax(sure))
        return LEXICAL_WEIGHTS[best]

    def sure_gains(self) -> FloatArray:
        """The gain of every query over no lexical score, less the standard errors; the best mean is the choice.

        Returns:
            float32, shape (n_queries, n_weights).
        """
        differences = self.values - self.values[:, [self.present]]
        gains: FloatArray = self.values - self.values[:, :1] - self._errors(differences).astype(np.float32)
        return gains

    def _errors(self, differences: FloatArray) -> FloatArray:
        errors = np.array([mean_error(column) for column in differences.T])
        errors[self.present] = 0
        return errors
