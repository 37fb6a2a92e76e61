"""How much arithmetic a transformer's pass over texts is, and how much of it a side does in a second."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from routeret.encoders import TorchEncoder
from routeret.encoders.adapted import adaptable_layers, transformer_of
from routeret.errors import InputError
from routeret.types import IntArray

_TERA = 1e12


@dataclass(frozen=True, slots=True)
class Work:
    """What the number of operations of a transformer depends on, and what a device could do.

    Attributes:
        weights: of the linear layers inside its repeated blocks.
        layers: how many blocks.
        width: length of the vectors between them.
        peak_tflops: floating-point operations a second that the device does at most, in millions of millions; None
            where nobody has said.
    """

    weights: int
    layers: int
    width: int
    peak_tflops: float | None = None

    @classmethod
    def of(cls, encoder: TorchEncoder, *, peak_tflops: float | None) -> "Work":
        """Of an encoder's model, which is loaded for it.

        Args:
            encoder: of a transformer.
            peak_tflops: of its device.

        Raises:
            InputError: the peak is not positive, the model is no transformer, or this machine does not have the
                encoder's device.
        """
        if peak_tflops is not None and not 0 < peak_tflops < math.inf:
            raise InputError(f"the peak is {peak_tflops} TFLOP/s, expected a number above 0")
        transformer: Any = transformer_of(encoder.fresh_model())
        weights = sum(transformer.get_submodule(name).weight.numel() for name in adaptable_layers(transformer))
        return cls(weights, transformer.config.num_hidden_layers, transformer.config.hidden_size, peak_tflops)

    def operations(self, tokens: IntArray) -> float:
        """Floating-point operations of one pass over some texts, without padding.

        Two for every weight and token; and in every block two for every pair of tokens of a text and every number of a
        vector, once for the scores of attention and once for the sums that they weigh.

        Args:
            tokens: how many every text has, int64, shape (n_texts,).
        """
        pairs = np.square(tokens.astype(np.float64)).sum()
        return float(2.0 * self.weights * tokens.sum() + 4.0 * self.layers * self.width * pairs)

    def rates(self, ms: Sequence[float], tokens: Sequence[IntArray]) -> dict[str, float]:
        """What the median block is worth a second: tokens, operations, and the share of the device's peak.

        Args:
            ms: of every block.
            tokens: of every text, by block.
        """
        seconds = np.array(ms) / 1000
        n_tokens = np.array([one.sum() for one in tokens])
        tflops = float(np.median(np.array([self.operations(one) for one in tokens]) / seconds)) / _TERA
        found = {"tokens_per_s": float(np.median(n_tokens / seconds)), "tflops": tflops}
        return found if self.peak_tflops is None else {**found, "peak_share": tflops / self.peak_tflops}

    def as_dict(self, tokens: IntArray) -> dict[str, Any]:
        """Plain JSON values: what it depends on, and the mean operations of a token.

        Args:
            tokens: of every text that is measured.
        """
        return {**asdict(self), "operations_per_token": self.operations(tokens) / float(tokens.sum())}
