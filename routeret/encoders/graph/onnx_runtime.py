"""Running a graph by ONNX Runtime, which starts at once and is the fastest for few tokens."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.encoders.adapter import Adapter
from routeret.encoders.devices import cores
from routeret.encoders.graph.adapter_matrices import AdapterMatrices, Layer, acting_in, scales
from routeret.encoders.graph.names import OUTPUT, SCALE, named_matrices
from routeret.optional import require
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    from onnxruntime import OrtValue

_MOST_THREADS = 4
_TOKENS_PER_PASS = 128


class OnnxRuntime:
    """A session on the processor; see :class:`~routeret.encoders.graph.runtime.Runtime`."""

    def __init__(self, file: Path, layers: Sequence[Layer], *, threads: int | None = None) -> None:
        """Open the graph.

        Args:
            file: a graph, with its weights beside it.
            layers: that its adapters may change.
            threads: that one call may use; None takes as many as there are cores, up to 4.

        Raises:
            MissingExtraError: ONNX Runtime is not installed.
        """
        self._session = _session(file, threads=threads or _few_threads())
        self._matrices = AdapterMatrices(layers, _as_named_values)
        self._none = self._matrices.of(())
        self._bound = threading.local()

    def tokens_per_pass(self, n_tokens: int) -> int:  # noqa: ARG002 - whatever there is
        """Rows times the longest of them, at most: what such a pass computes on stays in the caches of a core.

        Args:
            n_tokens: of all texts.
        """
        return _TOKENS_PER_PASS

    def vectors(self, inputs: dict[str, IntArray], adapters: Sequence[Adapter | None]) -> FloatArray:
        """Vectors of one pass, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
            adapters: what every row passes through, None for the base alone.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
        acting = acting_in(adapters)
        if not acting:
            return self._of_base(inputs)
        feed = _as_values({**inputs, SCALE: scales(adapters, acting)}) | self._matrices.of(acting)
        vectors: FloatArray = self._session.run_with_ort_values([OUTPUT], feed)[0].numpy()
        return vectors

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute the passes one after the other, each with all threads.

        Args:
            compute: one pass.
            passes: which texts each holds.
        """
        for rows in passes:
            compute(rows)

    def _of_base(self, inputs: dict[str, IntArray]) -> FloatArray:
        """Vectors of a pass without adapters, whose empty matrices every thread hands over once."""
        binding = getattr(self._bound, "binding", None)
        if binding is None:
            binding = self._bound.binding = self._session.io_binding()
            for name, value in self._none.items():
                binding.bind_ortvalue_input(name, value)
        n_rows = len(next(iter(inputs.values())))
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        binding.bind_cpu_input(SCALE, np.zeros((n_rows, 1, 0), dtype=np.float32))
        binding.bind_output(OUTPUT)
        self._session.run_with_iobinding(binding)
        vectors: FloatArray = binding.copy_outputs_to_cpu()[0]
        return vectors


def _few_threads() -> int:
    """As many as this process may use cores, up to 4: a query is too small for more."""
    return min(_MOST_THREADS, cores())


def _as_named_values(down: list[FloatArray], up: list[FloatArray]) -> dict[str, "OrtValue"]:
    return _as_values(named_matrices(down, up))


def _as_values(arrays: dict[str, Any]) -> dict[str, "OrtValue"]:
    from onnxruntime import OrtValue

    return {name: OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _session(file: Path, *, threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A session whose threads sleep when there is nothing to do."""
    runtime: Any = require("onnxruntime", extra="cpu")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would take the cores from other sessions, from the search and from PyTorch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
