"""What a low-rank adapter (LoRA) is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Adapter:
    """A low-rank change of linear layers: W x becomes W x + alpha / rank * B A x (LoRA, 2106.09685, section 4.1).

    Attributes:
        rank: how many rows an A and how many columns a B has.
        alpha: the change is scaled by alpha / rank.
        targets: names of the layers inside the transformer, each whole.
        weights: by the names that peft gives them: for every target ``<target>.lora_A.weight``, shape (rank, n_inputs),
            and ``<target>.lora_B.weight``, shape (n_outputs, rank). Kept in float16, so that an adapter that is saved
            and loaded answers as the one that was measured.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    weights: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        """Refuse weights that do not fit together.

        Raises:
            InputError: a matrix is missing, is one too many, has another rank, or is not finite in float16.
        """
        if not self.targets or self.rank < 1 or not self.alpha > 0:
            raise InputError(
                f"an adapter has rank {self.rank}, alpha {self.alpha} and {len(self.targets)} layers; expected a rank "
                f"of at least 1, an alpha above 0, and a layer"
            )
        expected = {f"{target}.lora_{letter}.weight" for target in self.targets for letter in "AB"}
        if differing := sorted(expected ^ set(self.weights)):
            raise InputError(
                f"an adapter of {len(self.targets)} layers has {len(self.weights)} matrices, expected an A and a B for "
                f"each; {differing[0]!r} is {'missing' if differing[0] in expected else 'of no layer'}"
            )
        for name, matrix in self.weights.items():
            rank = matrix.shape[0] if name.endswith(".lora_A.weight") else matrix.shape[-1]
            if matrix.ndim != 2 or rank != self.rank:
                raise InputError(f"{name} has shape {matrix.shape}, expected a matrix of rank {self.rank}")
        with np.errstate(over="ignore"):
            rounded = {
                name: np.asarray(matrix).astype(np.float16, copy=False) for name, matrix in sorted(self.weights.items())
            }
        if unbounded := [name for name, matrix in rounded.items() if not np.isfinite(matrix).all()]:
            raise InputError(f"{unbounded[0]} is not finite in float16; train the adapter again, with a lower rate")
        object.__setattr__(self, "weights", rounded)
        object.__setattr__(self, "targets", tuple(sorted(self.targets)))
