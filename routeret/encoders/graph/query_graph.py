"""The graph that runs the queries of a base and of all its adapters.

The low-rank matrices are inputs: every adapted layer computes W x + ((A x) * scale) B, where A and B hold the matrices
of several adapters side by side, and the scale of a row is alpha / rank in the columns of its own adapter and 0 in the
others. So rows of the base and of different adapters go through one call, an adapter is added without a new graph, and
a call without adapters has matrices of no columns. In 8-bit numbers every row of a call is a pass of its own, and the
scale stands in B.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from routeret.artifact import read_manifest
from routeret.encoders.adapter import Adapter
from routeret.encoders.graph.joint_layers import read_joint_layers
from routeret.encoders.graph.onnx_runtime import OnnxRuntime
from routeret.encoders.graph.runtime import AdaptableRuntime
from routeret.encoders.graph.store import FORMAT, KIND, TOKENIZER, graph_file, joint_file
from routeret.encoders.graph.text_passes import GraphFacts, adapted_vectors_of, vectors_of
from routeret.encoders.graph.tokens import Tokens
from routeret.encoders.kept_vectors import KeptVectors
from routeret.encoders.probes import LEAST_COSINE_ASKED_FOR
from routeret.errors import ArtifactError, InputError, MissingExtraError
from routeret.types import FloatArray

_logger = logging.getLogger(__name__)


class QueryGraph:
    """An opened graph; several threads may run it, and no lock is held while it computes."""

    def __init__(self, runtime: AdaptableRuntime, tokens: Tokens, facts: GraphFacts, *, kept_queries: int) -> None:
        """Keep what :meth:`open` has read.

        Args:
            runtime: computes.
            tokens: reads texts.
            facts: of the graph.
            kept_queries: of how many queries the base's vectors are kept.
        """
        self._runtime = runtime
        self._kept = KeptVectors(kept_queries)
        self._tokens = tokens
        self._facts = facts

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
            folder: :func:`~routeret.encoders.graph.exporting.export_query_graph` wrote it.
            max_tokens: longer texts are cut.
            prompt: put before every text.
            precision: of the arithmetic; ``"auto"`` takes what was found to be best on this machine.
            threads: that one call may use; None takes as many as there are cores, up to 4.
            kept_queries: of how many queries the base's vectors are kept.

        Raises:
            InputError: 8-bit numbers were asked for by name, and this machine cannot compute in them.
            ArtifactError: the folder is damaged.
            MissingExtraError: ONNX Runtime is not installed.
        """
        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT, verify=False)
        chosen = manifest["precision"] if precision == "auto" else precision
        if precision == "int8":
            _require_twin(folder, manifest["measured"].get("int8"))
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
        except (MissingExtraError, MemoryError):
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
        facts = GraphFacts.of(manifest)
        file = graph_file(folder, precision)
        joint = read_joint_layers(joint_file(file)) if precision == "int8" else None
        runtime = OnnxRuntime(file, facts.layers, threads=threads, joint=joint)
        tokens = Tokens((folder / TOKENIZER).read_text(encoding="utf-8"), max_tokens=max_tokens, prompt=prompt)
        return cls(runtime, tokens, facts, kept_queries=kept_queries)

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
        return adapted_vectors_of(self._tokens.read(texts), self._runtime, self._facts, adapters)

    def _computed(self, texts: Sequence[str]) -> FloatArray:
        return vectors_of(self._tokens.read(texts), self._runtime, self._facts)


def _require_twin(folder: Path, measured: dict[str, float] | None) -> None:
    """Refuse 8-bit numbers where they could not be computed in when the graph was made; warn where they are coarse."""
    if measured is None:
        raise InputError(
            f"found query_precision 'int8', but the graph in {folder} could not be run in 8-bit numbers on this "
            f"machine; use query_precision='auto'"
        )
    if not measured["least_cosine"] >= LEAST_COSINE_ASKED_FOR:
        _logger.warning(
            "in 8-bit numbers the graph in %s writes queries of a cosine of %.5f to PyTorch's, expected at least %s; "
            "query_precision='auto' takes float32",
            folder,
            measured["least_cosine"],
            LEAST_COSINE_ASKED_FOR,
        )
