"""Running a graph by ONNX Runtime, which starts at once and is the fastest for few tokens."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeret.encoders.adapter import Adapter
from routeret.encoders.devices import cores
from routeret.encoders.graph.adapter_matrices import AdapterMatrices, Layer, acting_in, scales
from routeret.encoders.graph.joint_layers import JointLayer, joint_matrices
from routeret.encoders.graph.kept_threads import KeptThreads
from routeret.encoders.graph.names import OUTPUT, SCALE, named_matrices
from routeret.optional import require
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    from onnxruntime import OrtValue

_SLOW_FUSIONS = ("SkipLayerNormFusion",)
"""What ONNX Runtime joins into one operation that takes it longer than those that it was."""

_MOST_THREADS = 4
_TOKENS_PER_PASS = 128


class OnnxRuntime:
    """A session on the processor; see :class:`~routeret.encoders.graph.runtime.AdaptableRuntime`."""

    def __init__(
        self,
        file: Path,
        layers: Sequence[Layer],
        *,
        threads: int | None = None,
        joint: Sequence[JointLayer] | None = None,
    ) -> None:
        """Open the graph.

        Args:
            file: a graph, with its weights beside it.
            layers: that its adapters may change.
            threads: that one call may use; None takes as many as there are cores, up to 4.
            joint: the joint layers of a graph in 8-bit numbers, where every row is a pass of its own, on one core, at
                most as many at once for a caller as there are threads; so such a graph, which has one scale for all
                that a layer meets, writes the same vector whatever else is asked.

        Raises:
            MissingExtraError: ONNX Runtime is not installed.
        """
        n_threads = threads or _few_threads()
        self._joint = joint
        self._threads = KeptThreads(1 if joint is None else n_threads)
        self._tokens_per_pass = _TOKENS_PER_PASS if joint is None else 0
        self._session = _session(file, threads=n_threads if joint is None else 1)
        self._matrices = AdapterMatrices(layers, self._as_named_values, scaled=joint is not None)
        self._none = self._matrices.of(())
        self._bound = threading.local()

    def tokens_per_pass(self, n_tokens: int) -> int:  # noqa: ARG002 - whatever there is
        """Rows times the longest of them, at most: what such a pass computes on stays in the caches of a core.

        Args:
            n_tokens: of all texts.
        """
        return self._tokens_per_pass

    def vectors(self, inputs: dict[str, IntArray]) -> FloatArray:
        """Vectors of one pass of the base, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
        """
        n_rows = len(next(iter(inputs.values())))
        return self.adapted_vectors(inputs, [None] * n_rows)

    def adapted_vectors(self, inputs: dict[str, IntArray], adapters: Sequence[Adapter | None]) -> FloatArray:
        """Vectors of one pass, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
            adapters: what every row passes through, None for the base alone.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
        acting = acting_in(adapters)
        # What is bound must live until the pass has been run.
        given: dict[str, Any] = dict(inputs)
        if self._joint is None:
            given[SCALE] = scales(adapters, acting)
        binding = self._bound_to(self._matrices.of(acting)) if acting else self._bound_to_none()
        for name, array in given.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output(OUTPUT)
        self._session.run_with_iobinding(binding)
        vectors: FloatArray = binding.copy_outputs_to_cpu()[0]
        return vectors

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute passes one after the other, each with all threads; where they are rows, as many at once.

        Args:
            compute: one pass; several may run at once.
            passes: which texts each holds, the shortest first.
        """
        self._threads.each(compute, passes)

    def _as_named_values(self, down: list[FloatArray], up: list[FloatArray]) -> dict[str, "OrtValue"]:
        from onnxruntime import OrtValue

        a, b = (down, up) if self._joint is None else joint_matrices(down, up, self._joint)
        return {name: OrtValue.ortvalue_from_numpy(array) for name, array in named_matrices(a, b).items()}

    def _bound_to(self, matrices: dict[str, "OrtValue"]) -> Any:  # noqa: ANN401 - onnxruntime has no types
        binding = self._session.io_binding()
        for name, value in matrices.items():
            binding.bind_ortvalue_input(name, value)
        return binding

    def _bound_to_none(self) -> Any:  # noqa: ANN401 - onnxruntime has no types
        """What every thread makes once: the matrices of no adapter, bound."""
        binding = getattr(self._bound, "binding", None)
        if binding is None:
            binding = self._bound.binding = self._bound_to(self._none)
        return binding


def _few_threads() -> int:
    """As many as this process may use cores, up to 4: a query is too small for more."""
    return min(_MOST_THREADS, cores())


def _session(file: Path, *, threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A session whose threads sleep when there is nothing to do."""
    runtime: Any = require("onnxruntime", extra="cpu")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would take the cores from other sessions, from the search and from PyTorch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return session_of(file, options)


def session_of(file: Path, options: Any = None) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A graph opened on the processor.

    Args:
        file: the graph.
        options: ``onnxruntime.SessionOptions``; None for those by default.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
    """
    runtime: Any = require("onnxruntime", extra="cpu")
    return runtime.InferenceSession(
        str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(_SLOW_FUSIONS)
    )
