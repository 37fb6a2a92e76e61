"""Where a router goes less far than its predicted gains say: worked out when somebody looks, as no search needs it."""

from dataclasses import dataclass
from functools import cached_property

from routeret.types import BoolArray, FloatArray, IntArray

_HELD_BACK_BELOW = 0.95


@dataclass(frozen=True, eq=False)
class Restraint:
    """What the caps on strengths took from the experts of a batch.

    Attributes:
        weights: float32, shape (n_queries, n_experts), at least one expert.
        wanted: float32, the same shape; the strengths that suit the predicted gains.
        strengths: float32, the same shape; those that the experts got, at most the wanted ones.
    """

    weights: FloatArray
    wanted: FloatArray
    strengths: FloatArray

    @cached_property
    def held_back(self) -> BoolArray:
        """Whether the experts together pull at a query by less than 95 % of what was wanted, shape (n_queries,)."""
        pull = (self.weights * self.wanted).sum(axis=1)
        held: BoolArray = (self.weights * self.strengths).sum(axis=1) < _HELD_BACK_BELOW * pull
        return held

    @cached_property
    def most(self) -> IntArray:
        """The column of the expert that lost most, int64, shape (n_queries,)."""
        columns: IntArray = (self.weights * (self.wanted - self.strengths)).argmax(axis=1)
        return columns
