"""LoRA experts that are asked the same queries again and again, as where systems are compared."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast

from routeret.encoders.adapted import AdaptedQueries
from routeret.encoders.adapter import Adapter
from routeret.encoders.kept_vectors import KeptVectors
from routeret.encoders.torch import TorchEncoder
from routeret.experts.lora import LoraExpert
from routeret.experts.tower import TowerExpert
from routeret.protocols import Expert
from routeret.types import FloatArray

_MOST_KEPT = 4096

_One = TypeVar("_One", bound=Expert | TowerExpert)


class RememberingQueries(AdaptedQueries):
    """An adapted query tower that keeps the vectors of its latest queries, so that asking again costs no pass."""

    def __init__(self, base: TorchEncoder, adapter: Adapter, *, most_kept: int = _MOST_KEPT) -> None:
        """Keep base and adapter.

        Args:
            base: the encoder that the adapter was trained in.
            adapter: what is added to its layers.
            most_kept: how many vectors are kept; the oldest go first.
        """
        super().__init__(base, adapter)
        self._kept = KeptVectors(most_kept)

    @property
    def graph(self) -> None:
        """None: it is asked by itself, so that what it keeps is used."""
        return None

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of the queries, float32, shape (n_queries, dim), in their order.

        Raises:
            InputError: something other than a list of strings came, or the adapter does not fit the base's layers.
        """
        if isinstance(texts, str) or not texts:
            return super().encode_queries(texts)
        return self._kept.vectors(texts, super().encode_queries)


def remembering(expert: _One) -> _One:
    """The same expert; if it is an attached LoRA expert, one that keeps the vectors of its latest queries."""
    if not isinstance(expert, LoraExpert) or expert.tower is None:
        return expert
    return cast("_One", replace(expert, tower=RememberingQueries(expert.tower.base, expert.adapter)))
