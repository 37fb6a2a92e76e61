"""The graph that runs the queries of a base and of all its adapters.

The low-rank matrices are inputs: every adapted layer computes W x + ((A x) * scale) B, where A and B hold the matrices
of several adapters side by side, and the scale of a row is alpha / rank in the columns of its own adapter and 0 in the
others. So rows of the base and of different adapters go through one call, an adapter is added without a new graph, and
a call without adapters has matrices of no columns.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from routeret.artifact import read_manifest
from routeret.encoders.adapter import Adapter
from routeret.encoders.kept_vectors import KeptVectors
from routeret.encoders.onnx.store import FORMAT, KIND
from routeret.encoders.onnx.tokens import Tokens
from routeret.encoders.passes import passes_of
from routeret.errors import ArtifactError, InputError, MissingExtraError
from routeret.optional import require
from routeret.types import FloatArray, IntArray

if TYPE_CHECKING:
    from onnxruntime import OrtValue

TOKENIZER = "tokenizer.json"
OUTPUT = "vectors"
SCALE = "scale"
_MOST_THREADS = 4
_TOKENS_PER_PASS = 128
"""Rows times the longest of them, at most: what such a pass computes on stays in the caches of a core."""


class QueryGraph:
    """An opened graph; several threads may run it, and no lock is held while it computes."""

    def __init__(self, session: Any, tokens: Tokens, manifest: dict[str, Any], *, kept_queries: int) -> None:  # noqa: ANN401 - onnxruntime has no types
        """Keep what :meth:`open` has read.

        Args:
            session: of ONNX Runtime.
            tokens: reads texts.
            manifest: of the graph's folder.
            kept_queries: of how many queries the base's vectors are kept.
        """
        self._session = session
        self._kept = KeptVectors(kept_queries)
        self._tokens = tokens
        self._inputs: list[str] = manifest["inputs"]
        self._padding = int(manifest["padding"])
        self._dim = int(manifest["dim"])
        self._layers: list[tuple[str, int, int]] = [(name, n_in, n_out) for name, n_in, n_out in manifest["layers"]]
        self._values: WeakKeyDictionary[Adapter, dict[str, OrtValue]] = WeakKeyDictionary()
        self._keeping = threading.Lock()
        self._none = self._as_values(self._matrices(()))
        self._bound = threading.local()

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        max_tokens: int,
        prompt: str,
        precision: Literal["auto", "float32", "int8"],
        threads: int | None,
        kept_queries: int,
    ) -> "QueryGraph":
        """The graph of a folder.

        Args:
            folder: :func:`~routeret.encoders.onnx.exporting.export_query_graph` wrote it.
            max_tokens: longer texts are cut.
            prompt: put before every text.
            precision: of the arithmetic; ``"auto"`` takes what was found to be best on this machine.
            threads: that one call may use; None takes as many as there are cores, up to 4.
            kept_queries: of how many queries the base's vectors are kept.

        Raises:
            ArtifactError: the folder is damaged.
            MissingExtraError: ONNX Runtime is not installed.
        """
        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT, verify=False)
        chosen = manifest["precision"] if precision == "auto" else precision
        try:
            return cls.of(
                folder,
                manifest,
                max_tokens=max_tokens,
                prompt=prompt,
                precision=chosen,
                threads=threads,
                kept_queries=kept_queries,
            )
        except MissingExtraError:
            raise
        except Exception as error:
            # Tokenizers and ONNX Runtime raise Exception itself for a file that they cannot read.
            raise ArtifactError(
                f"{folder} is damaged: {error}; remove the folder, preparing writes it again"
            ) from error

    @classmethod
    def of(
        cls,
        folder: Path,
        manifest: dict[str, Any],
        *,
        max_tokens: int,
        prompt: str,
        precision: str,
        threads: int | None = None,
        kept_queries: int = 0,
    ) -> "QueryGraph":
        """The graph of a folder whose manifest is known; :meth:`open` is the way in."""
        session = open_session(folder / f"{precision}.onnx", threads=threads or default_threads())
        tokens = Tokens(folder / TOKENIZER, max_tokens=max_tokens, prompt=prompt)
        return cls(session, tokens, manifest, kept_queries=kept_queries)

    def vectors(self, texts: Sequence[str], *, adapters: Sequence[Adapter | None] | None = None) -> FloatArray:
        """Vectors of queries, float32, shape (n_texts, dim), in their order.

        Args:
            texts: the queries, without the prompt.
            adapters: what every query passes through, None for the base alone; by default all pass the base.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
        if adapters is None:
            return self._kept.vectors(texts, self._computed)
        return self._computed(texts, adapters)

    def _computed(self, texts: Sequence[str], adapters: Sequence[Adapter | None] | None = None) -> FloatArray:
        vectors: FloatArray = np.zeros((len(texts), self._dim), dtype=np.float32)
        token_lists = self._tokens.read(texts)
        lengths = np.array([len(one) for one in token_lists], dtype=np.int64)
        for rows in passes_of(lengths, most_tokens=_TOKENS_PER_PASS):
            chosen = [None] * len(rows) if adapters is None else [adapters[row] for row in rows]
            inputs = self._text_inputs([token_lists[row] for row in rows])
            acting = tuple(dict.fromkeys(one for one in chosen if one is not None))
            vectors[rows] = self._adapted(inputs, chosen, acting) if acting else self._of_base(inputs)
        return vectors

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

    def _adapted(
        self, inputs: dict[str, IntArray], adapters: Sequence[Adapter | None], acting: tuple[Adapter, ...]
    ) -> FloatArray:
        """Vectors of a pass in which some rows have an adapter."""
        arrays = {**inputs, SCALE: _scale(adapters, acting)}
        feed = self._as_values(arrays) | self._matrix_values(acting)
        vectors: FloatArray = self._session.run_with_ort_values([OUTPUT], feed)[0].numpy()
        return vectors

    def _text_inputs(self, token_lists: Sequence[list[int]]) -> dict[str, IntArray]:
        shape = (len(token_lists), max(len(one) for one in token_lists))
        arrays = {
            "input_ids": np.full(shape, self._padding, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for row, ids in enumerate(token_lists):
            arrays["input_ids"][row, : len(ids)] = ids
            arrays["attention_mask"][row, : len(ids)] = 1
        return {name: arrays[name] for name in self._inputs}

    def _matrix_values(self, acting: tuple[Adapter, ...]) -> dict[str, "OrtValue"]:
        if len(acting) > 1:
            return self._as_values(self._matrices(acting))
        with self._keeping:
            kept = self._values.get(acting[0])
        if kept is None:
            kept = self._as_values(self._matrices(acting))
            with self._keeping:
                self._values[acting[0]] = kept
        return kept

    def _matrices(self, acting: tuple[Adapter, ...]) -> dict[str, FloatArray]:
        """A, shape (n_inputs, n_ranks), and B, shape (n_ranks, n_outputs), of every layer; 0 where it is not adapted.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
        for adapter in acting:
            self._require_fit(adapter)
        matrices: dict[str, FloatArray] = {}
        for place, (name, n_in, n_out) in enumerate(self._layers):
            parts_a, parts_b = [np.zeros((n_in, 0), np.float32)], [np.zeros((0, n_out), np.float32)]
            for adapter in acting:
                is_adapted = name in adapter.targets
                a = (
                    adapter.weights[f"{name}.lora_A.weight"].T
                    if is_adapted
                    else np.zeros((n_in, adapter.rank), np.float32)
                )
                b = (
                    adapter.weights[f"{name}.lora_B.weight"].T
                    if is_adapted
                    else np.zeros((adapter.rank, n_out), np.float32)
                )
                parts_a.append(a)
                parts_b.append(b)
            matrices[f"A{place}"] = np.concatenate(parts_a, axis=1)
            matrices[f"B{place}"] = np.concatenate(parts_b, axis=0)
        return matrices

    def _require_fit(self, adapter: Adapter) -> None:
        size_by_layer = {name: (n_in, n_out) for name, n_in, n_out in self._layers}
        for target in adapter.targets:
            expected = size_by_layer.get(target)
            found = (
                adapter.weights[f"{target}.lora_A.weight"].shape[1],
                adapter.weights[f"{target}.lora_B.weight"].shape[0],
            )
            if found != expected:
                raise InputError(
                    f"the adapter changes layer {target!r} from {found[0]} to {found[1]} numbers, the base has "
                    f"{'no such layer' if expected is None else f'{expected[0]} to {expected[1]} there'}; use the base "
                    f"model that it was trained in"
                )

    def _as_values(self, arrays: dict[str, Any]) -> dict[str, "OrtValue"]:
        from onnxruntime import OrtValue

        return {name: OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _scale(adapters: Sequence[Adapter | None], acting: tuple[Adapter, ...]) -> FloatArray:
    """What every rank of the acting adapters counts in every row, shape (n_rows, 1, n_ranks)."""
    ends = np.cumsum([0, *(one.rank for one in acting)])
    scale: FloatArray = np.zeros((len(adapters), 1, int(ends[-1])), dtype=np.float32)
    for adapter, start, end in zip(acting, ends, ends[1:], strict=False):
        rows = [row for row, one in enumerate(adapters) if one is adapter]
        scale[rows, :, start:end] = adapter.alpha / adapter.rank
    return scale


def open_session(file: Path, *, threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    """A session of ONNX Runtime on the processor, whose threads sleep when there is nothing to do.

    Args:
        file: a graph.
        threads: that one call may use; calls of several threads share them.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
    """
    runtime: Any = require("onnxruntime", extra="cpu")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would take the cores from other sessions, from the search and from PyTorch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def default_threads() -> int:
    """As many as this process may use cores, up to 4: a query is too small for more."""
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
