"""Running what a graph computes by PyTorch in bfloat16, which is the fastest for many tokens."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from routeret.encoders.adapter import Adapter
from routeret.encoders.onnx.adapter_matrices import AdapterMatrices, acting_in, scales
from routeret.encoders.passes import side_by_side
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

    from routeret.encoders.torch import TorchEncoder

    Matrices = tuple[list[torch.Tensor], list[torch.Tensor]]


class TorchRuntime:
    """The model that writes documents, with room for adapters; see :class:`~routeret.encoders.onnx.runtime.Runtime`."""

    tokens_per_pass = 1024

    def __init__(self, encoder: "TorchEncoder") -> None:
        """Load the model, unless it writes documents already.

        Args:
            encoder: of a processor that computes in bfloat16.
        """
        from routeret.encoders.onnx.graph_module import GraphModule

        self._module = GraphModule(encoder, encoder.document_model_sharing_weights(), attention="sdpa").eval()
        self._dtype = next(self._module.parameters()).dtype
        self._matrices: AdapterMatrices[Matrices] = AdapterMatrices(self._module.layers, self._as_tensors)

    def vectors(self, inputs: dict[str, IntArray], adapters: Sequence[Adapter | None]) -> FloatArray:
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
        scale = torch.from_numpy(scales(adapters, acting)).to(self._dtype)
        with torch.inference_mode():
            tokens = {name: torch.from_numpy(array) for name, array in inputs.items()}
            vectors: FloatArray = self._module(tokens, scale, down, up).numpy()
        return vectors

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute as many passes at once as PyTorch may use threads.

        Args:
            compute: one pass; several run at once.
            passes: which texts each holds, the shortest first.
        """
        import torch

        side_by_side(compute, passes, threads=torch.get_num_threads())

    def _as_tensors(self, down: list[FloatArray], up: list[FloatArray]) -> "Matrices":
        import torch

        a, b = ([torch.from_numpy(one.copy()).to(self._dtype) for one in matrices] for matrices in (down, up))
        return a, b
