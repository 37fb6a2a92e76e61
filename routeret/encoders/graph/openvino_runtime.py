"""Running an exported graph by OpenVINO, which computes many tokens in bfloat16 without PyTorch."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from routeret.encoders.devices import cores
from routeret.encoders.graph.kept_threads import KeptThreads
from routeret.encoders.graph.names import SCALE, matrix_names
from routeret.encoders.graph.text_passes import GraphFacts
from routeret.optional import require
from routeret.types import FloatArray, IntArray

_TOKENS_PER_STEP = 8
"""Rows are filled up to a multiple of so many tokens: of every new shape OpenVINO prepares its products anew."""

_LEAST_TOKENS_PER_PASS, _MOST_TOKENS_PER_PASS = 128, 512


class OpenvinoRuntime:
    """A graph without adapters, a pass on every core; see :class:`~routeret.encoders.graph.runtime.Runtime`."""

    def __init__(self, file: Path, facts: GraphFacts, *, max_tokens: int, threads: int | None = None) -> None:
        """Compile the graph without its adapters.

        Args:
            file: a graph in float32, with its weights beside it.
            facts: of the graph.
            max_tokens: of a row at most; the graph may have no positions for more.
            threads: how many passes run at once, each on a core; None takes as many as there are cores.

        Raises:
            MissingExtraError: OpenVINO is not installed.
        """
        openvino: Any = require("openvino", extra="openvino")
        core: Any = openvino.Core()
        # OpenVINO looks NumPy up when it first meets an array; two threads that do so at once wait for ever.
        openvino.Tensor(np.zeros(1, dtype=np.float32))
        self._padding = facts.padding
        self._max_tokens = max_tokens
        self._n_at_once = threads or cores()
        self._threads = KeptThreads(self._n_at_once)
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if _computes_in_bfloat16(core) else "f32",
            "INFERENCE_NUM_THREADS": self._n_at_once,
            "NUM_STREAMS": self._n_at_once,
        }
        self._compiled: Any = core.compile_model(_without_adapters(core.read_model(str(file)), facts), "CPU", settings)
        self._idle: list[Any] = []

    def tokens_per_pass(self, n_tokens: int) -> int:
        """Rows times the longest of them, at most; of few tokens, every core gets a part.

        Args:
            n_tokens: of all texts.
        """
        return min(max(_LEAST_TOKENS_PER_PASS, n_tokens // self._n_at_once), _MOST_TOKENS_PER_PASS)

    def vectors(self, inputs: dict[str, IntArray]) -> FloatArray:
        """Vectors of one pass of the base, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
        """
        given = {name: self._filled(name, array) for name, array in inputs.items()}
        # A call takes a request that is idle, or makes one.
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        vectors: FloatArray = request.infer(given, share_inputs=True)[0]
        self._idle.append(request)
        return vectors

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute a pass on every core, the longest first.

        Args:
            compute: one pass; several run at once.
            passes: which texts each holds, the shortest first.
        """
        self._threads.each(compute, passes)

    def _filled(self, name: str, array: IntArray) -> IntArray:
        n_tokens = array.shape[1]
        missing = min(-n_tokens % _TOKENS_PER_STEP, self._max_tokens - n_tokens)
        fill = self._padding if name == "input_ids" else 0
        return np.pad(array, ((0, 0), (0, missing)), constant_values=fill)


def _computes_in_bfloat16(core: Any) -> bool:  # noqa: ANN401 - openvino has no types
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _without_adapters(model: Any, facts: GraphFacts) -> Any:  # noqa: ANN401 - openvino has no types
    """The graph without what adapters add, which would cost a pass of the base as much again."""
    matrices = set(matrix_names(len(facts.layers)))
    given = [one for one in model.get_parameters() if one.get_friendly_name() in matrices | {SCALE}]
    for parameter in given:
        if parameter.get_friendly_name().startswith("B"):
            _bypass(parameter)
    for parameter in given:
        model.remove_parameter(parameter)
    model.validate_nodes_and_infer_types()
    return model


def _bypass(parameter: Any) -> None:  # noqa: ANN401 - openvino has no types
    """Let a layer go without what the matrix B of its adapters adds."""
    (product,) = {one.get_node() for one in parameter.output(0).get_target_inputs()}
    (addition,) = {one.get_node() for one in product.output(0).get_target_inputs()}
    (own,) = (one for one in addition.input_values() if one.get_node() != product)
    addition.output(0).replace(own)


def is_worthwhile() -> bool:
    """Whether OpenVINO is installed, can be loaded and computes in bfloat16 here; without it PyTorch is as fast."""
    try:
        openvino: Any = require("openvino", extra="openvino")
        return _computes_in_bfloat16(openvino.Core())
    except Exception:
        # What is installed for another machine, or in part, raises anything.
        return False
