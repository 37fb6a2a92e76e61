"""Running an exported graph by OpenVINO, which computes many tokens in bfloat16 without PyTorch."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from routeret.encoders.adapter import Adapter
from routeret.encoders.devices import cores
from routeret.encoders.graph.adapter_matrices import AdapterMatrices, acting_in, scales
from routeret.encoders.graph.names import SCALE, matrix_names, named_matrices
from routeret.encoders.graph.text_passes import GraphFacts
from routeret.encoders.passes import longest_first
from routeret.optional import require
from routeret.types import FloatArray, IntArray

_TOKENS_PER_STEP = 8
"""Rows are filled up to a multiple of so many tokens: of every new shape OpenVINO prepares its products anew."""

_LEAST_TOKENS_PER_PASS, _MOST_TOKENS_PER_PASS = 128, 512
_KEPT_SHAPES = 64
"""Of so many shapes the products with adapters stay prepared; each takes some megabytes."""


class OpenvinoRuntime:
    """A graph on the processor, a pass on every core; see :class:`~routeret.encoders.graph.runtime.Runtime`."""

    def __init__(self, file: Path, facts: GraphFacts, *, max_tokens: int, threads: int | None = None) -> None:
        """Compile the graph without its adapters; with them it is compiled when one first acts.

        Args:
            file: a graph in float32, with its weights beside it.
            facts: of the graph.
            max_tokens: of a row at most; the graph may have no positions for more.
            threads: how many passes run at once, each on a core; None takes as many as there are cores.

        Raises:
            MissingExtraError: OpenVINO is not installed.
        """
        openvino: Any = require("openvino", extra="openvino")
        self._core: Any = openvino.Core()
        self._file = file
        self._facts = facts
        self._max_tokens = max_tokens
        self._n_at_once = threads or cores()
        self._base = _Requests(self._compiled(self._without_adapters()))
        self._adapted: _Requests | None = None
        self._compiling = threading.Lock()
        self._matrices = AdapterMatrices(facts.layers, named_matrices)

    def tokens_per_pass(self, n_tokens: int) -> int:
        """Rows times the longest of them, at most; of few tokens, every core gets a part.

        Args:
            n_tokens: of all texts.
        """
        return min(max(_LEAST_TOKENS_PER_PASS, n_tokens // self._n_at_once), _MOST_TOKENS_PER_PASS)

    def vectors(self, inputs: dict[str, IntArray], adapters: Sequence[Adapter | None]) -> FloatArray:
        """Vectors of one pass, float32, shape (n_rows, dim).

        Args:
            inputs: what the transformer reads, each of shape (n_rows, n_tokens), by its name.
            adapters: what every row passes through, None for the base alone.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
        acting = acting_in(adapters)
        given: dict[str, Any] = {name: self._filled(name, array) for name, array in inputs.items()}
        if not acting:
            return self._base.run(given)
        given |= {SCALE: scales(adapters, acting)} | self._matrices.of(acting)
        return self._with_adapters().run(given)

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute a pass on every core, the longest first.

        Args:
            compute: one pass; several run at once.
            passes: which texts each holds, the shortest first.
        """
        longest_first(compute, passes, at_once=self._n_at_once)

    def _with_adapters(self) -> "_Requests":
        with self._compiling:
            if self._adapted is None:
                whole = self._core.read_model(str(self._file))
                self._adapted = _Requests(self._compiled(whole, kept_shapes=_KEPT_SHAPES))
            return self._adapted

    def _without_adapters(self) -> Any:  # noqa: ANN401 - openvino has no types
        """The graph without what adapters add, which would cost a pass of the base as much again."""
        model = self._core.read_model(str(self._file))
        matrices = set(matrix_names(len(self._facts.layers)))
        given = [one for one in model.get_parameters() if one.get_friendly_name() in matrices | {SCALE}]
        for parameter in given:
            if parameter.get_friendly_name().startswith("B"):
                _bypass(parameter)
        for parameter in given:
            model.remove_parameter(parameter)
        model.validate_nodes_and_infer_types()
        return model

    def _compiled(self, model: Any, *, kept_shapes: int | None = None) -> Any:  # noqa: ANN401 - openvino has no types
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if _computes_in_bfloat16(self._core) else "f32",
            "INFERENCE_NUM_THREADS": self._n_at_once,
            "NUM_STREAMS": self._n_at_once,
            **({} if kept_shapes is None else {"CPU_RUNTIME_CACHE_CAPACITY": kept_shapes}),
        }
        return self._core.compile_model(model, "CPU", settings)

    def _filled(self, name: str, array: IntArray) -> IntArray:
        n_tokens = array.shape[1]
        missing = min(-n_tokens % _TOKENS_PER_STEP, self._max_tokens - n_tokens)
        fill = self._facts.padding if name == "input_ids" else 0
        return np.pad(array, ((0, 0), (0, missing)), constant_values=fill)


class _Requests:
    """Runs a compiled graph; a call takes a request that is idle, or makes one."""

    def __init__(self, compiled: Any) -> None:  # noqa: ANN401 - openvino has no types
        self._compiled = compiled
        self._idle: list[Any] = []

    def run(self, given: dict[str, Any]) -> FloatArray:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        vectors: FloatArray = request.infer(given, share_inputs=True)[0]
        self._idle.append(request)
        return vectors


def _computes_in_bfloat16(core: Any) -> bool:  # noqa: ANN401 - openvino has no types
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


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
