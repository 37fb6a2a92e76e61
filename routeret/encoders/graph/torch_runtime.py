"""Running by PyTorch what a graph computes, without an export: the queries of a GPU, in bfloat16."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from routeret.encoders.adapter import Adapter
from routeret.encoders.graph.adapter_matrices import AdapterMatrices, Layer, acting_in, scales
from routeret.encoders.passes import passes_at_once, side_by_side, tokens_per_pass
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

    from routeret.encoders.torch import TorchEncoder

    Matrices = tuple[list[torch.Tensor], list[torch.Tensor]]


class TorchRuntime:
    """The document tower with room for adapters; see :class:`~routeret.encoders.graph.runtime.AdaptableRuntime`."""

    def __init__(self, encoder: "TorchEncoder") -> None:
        """Load the model, unless it writes documents already.

        Args:
            encoder: of a device that computes in bfloat16; it decides the arithmetic.
        """
        from routeret.encoders.graph.graph_module import GraphModule

        self._module = GraphModule(encoder, encoder.document_model_sharing_weights(), attention="sdpa").eval()
        first = next(self._module.parameters())
        self._dtype, self._device = first.dtype, first.device
        self._matrices: AdapterMatrices[Matrices] = AdapterMatrices(self._module.layers, self._as_tensors)

    @property
    def layers(self) -> list[Layer]:
        """That adapters may change."""
        return self._module.layers

    def tokens_per_pass(self, n_tokens: int) -> int:  # noqa: ARG002 - whatever there is
        """Rows times the longest of them, at most, as for documents.

        Args:
            n_tokens: of all texts.
        """
        return tokens_per_pass(self._device.type)

    def vectors(self, inputs: dict[str, IntArray]) -> FloatArray:
        """Vectors of one pass of the base, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
        """
        return self.adapted_vectors(inputs, [None] * len(next(iter(inputs.values()))))

    def adapted_vectors(self, inputs: dict[str, IntArray], adapters: Sequence[Adapter | None]) -> FloatArray:
        """Vectors of one pass, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
            adapters: what every row passes through, None for the base alone.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
        import torch

        acting = acting_in(adapters)
        down, up = self._matrices.of(acting)
        scale = torch.from_numpy(scales(adapters, acting)).to(self._device, self._dtype)
        with torch.inference_mode():
            tokens = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
            vectors: FloatArray = self._module(tokens, scale, down, up).cpu().numpy()
        return vectors

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute as many passes at once as PyTorch may use threads on a processor, elsewhere one after the other.

        Args:
            compute: one pass; several run at once.
            passes: which texts each holds, the shortest first.
        """
        side_by_side(compute, passes, threads=passes_at_once(self._device.type))

    def _as_tensors(self, down: list[FloatArray], up: list[FloatArray]) -> "Matrices":
        import torch

        a, b = (
            [torch.from_numpy(one.copy()).to(self._device, self._dtype) for one in matrices] for matrices in (down, up)
        )
        return a, b
