"""What a graph is run by."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from routeret.encoders.adapter import Adapter
from routeret.types import FloatArray, IntArray


class Runtime(Protocol):
    """Runs passes of a base. Several threads may use one; no lock is held while it computes."""

    def tokens_per_pass(self, n_tokens: int) -> int:
        """Rows times the longest of them, at most, that are computed best at once.

        Args:
            n_tokens: of all texts.
        """

    def vectors(self, inputs: dict[str, IntArray]) -> FloatArray:
        """Vectors of one pass, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
        """

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute all passes, as many at once as the runtime does best.

        Args:
            compute: one pass; several run at once.
            passes: which texts each holds, the shortest first.
        """


class AdaptableRuntime(Runtime, Protocol):
    """Runs passes of adapters, too."""

    def adapted_vectors(self, inputs: dict[str, IntArray], adapters: Sequence[Adapter | None]) -> FloatArray:
        """Vectors of one pass, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
            adapters: what every row passes through, None for the base alone.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
