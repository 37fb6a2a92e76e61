"""Exporting the graph that runs queries, and checking it against PyTorch before it is kept."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeret.artifact import new_folder, write_manifest
from routeret.encoders.graph.names import OUTPUT, SCALE, matrix_names
from routeret.encoders.graph.quantising import quantise
from routeret.encoders.graph.query_graph import QueryGraph
from routeret.encoders.graph.store import FORMAT, KIND, TOKENIZER, graph_file
from routeret.encoders.graph.text_passes import GraphFacts, base_inputs
from routeret.encoders.graph.tokens import Tokens
from routeret.encoders.model_folder import read_model_folder
from routeret.encoders.probes import LEAST_COSINE, PROBES, cosines_of
from routeret.encoders.torch import TorchEncoder
from routeret.errors import ArtifactError
from routeret.optional import require
from routeret.types import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_logger = logging.getLogger(__name__)

ARCHITECTURES = frozenset({"bert", "distilbert", "mpnet", "roberta", "xlm-roberta"})
"""``model_type`` of the transformers that a graph can hold."""

PRECISIONS = ("float32", "int8")
_MODULES = frozenset({"Transformer", "Pooling", "Dense", "Dropout", "Normalize"})
_EXAMPLE_RANK = 3
_ROUNDS = 30


def is_exportable(encoder: TorchEncoder, model: "SentenceTransformer") -> bool:
    """Whether a graph can hold all parts of a model, and reads texts as the model does.

    Args:
        encoder: of the model.
        model: that the encoder made.
    """
    modules = read_model_folder(encoder.folder).modules
    architecture = modules[0].config.get("architecture", {}).get("model_type")
    kinds = {module.kind for module in modules}
    if encoder.domain is not None or kinds - _MODULES or architecture not in ARCHITECTURES:
        return False
    if not all(module.config.get("include_prompt", True) for module in modules if module.kind == "Pooling"):
        # Its vectors depend on where the prompt ends, which a graph is not told.
        return False
    tokenizer: Any = model.tokenizer
    return bool(tokenizer.is_fast and tokenizer.padding_side == tokenizer.truncation_side == "right")


def export_query_graph(encoder: TorchEncoder, model: "SentenceTransformer", folder: Path) -> None:
    """Write a new folder, whole or not at all: the graph in two precisions, its tokenizer, and how they compare.

    Another process may write the same folder meanwhile; then its folder stays.

    Args:
        encoder: of a model for which :func:`is_exportable`.
        model: that the encoder made, with weights of its own; is changed.
        folder: need not exist.

    Raises:
        ArtifactError: the graph's vectors differ from PyTorch's.
        MissingExtraError: a library for exporting is not installed.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        require(library, extra="cpu")
    try:
        with new_folder(folder) as temporary:
            exact = encoder.encode_queries(PROBES, model=model)
            fields = _export(encoder, model, temporary)
            measured = _measured(encoder, temporary, fields, exact)
            good = [name for name, one in measured.items() if one["least_cosine"] >= LEAST_COSINE[name]]
            if "float32" not in good:
                raise ArtifactError(
                    f"the graph of {encoder.folder} writes queries of a cosine of "
                    f"{measured['float32']['least_cosine']:.5f} to PyTorch's, expected at least "
                    f"{LEAST_COSINE['float32']}; nothing was kept, queries are run by PyTorch as before"
                )
            fastest = min(good, key=lambda name: measured[name]["milliseconds"])
            fields |= {"measured": measured, "precision": fastest}
            write_manifest(temporary, kind=KIND, format_number=FORMAT, fields=fields)
    except ArtifactError:
        if not folder.is_dir():
            raise


def _export(encoder: TorchEncoder, model: "SentenceTransformer", folder: Path) -> dict[str, Any]:
    """Write tokenizer and graphs; changes the model.

    Returns:
        The fields of the manifest that tell what the graph reads.
    """
    import torch

    from routeret.encoders.graph.graph_module import GraphModule

    tokenizer: Any = model.tokenizer
    module = GraphModule(encoder, model, attention="eager").eval()
    (folder / TOKENIZER).write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    inputs = inputs_of(tokenizer)
    example, shapes = _example(module, inputs)
    names = [*inputs, SCALE, *matrix_names(len(module.layers))]
    with _quiet(), torch.inference_mode():
        program: Any = torch.onnx.export(
            module,
            example,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=names,
            output_names=[OUTPUT],
            verbose=False,
        )
        # Weights in a file of their own are mapped when a graph is opened, not read and copied.
        program.save(str(graph_file(folder, "float32")), external_data=True)
    fields = {"inputs": inputs, "padding": tokenizer.pad_token_id, "dim": encoder.dim, "layers": module.layers}
    _quantise(encoder, folder, fields)
    return fields


def _quantise(encoder: TorchEncoder, folder: Path, fields: dict[str, Any]) -> None:
    """Write the 8-bit twin, or nothing: a graph in float32 is good without."""
    try:
        with _quiet():
            quantise(graph_file(folder, "float32"), graph_file(folder, "int8"), _probe_inputs(encoder, folder, fields))
    except Exception as error:
        # The quantiser and ONNX Runtime raise anything, on a full disk and where there is no such operation.
        _logger.warning("queries are run in float32; the graph of %s has no 8-bit twin: %s", encoder.folder, error)
        for file in folder.glob("int8.*"):
            file.unlink()


def inputs_of(tokenizer: Any) -> list[str]:  # noqa: ANN401 - tokenizers of many kinds
    """The names of what a transformer reads of a text."""
    return [name for name in tokenizer.model_input_names if name in tokenizer(["a text"], return_tensors="np")]


def _example(module: Any, inputs: list[str]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:  # noqa: ANN401 - imported late
    """Arguments of the module, and which of their sides may have any length."""
    import torch

    rows, tokens = torch.export.Dim("rows", min=1, max=4096), torch.export.Dim("tokens", min=2, max=512)
    ids = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
    whole = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    by_name = {"input_ids": ids, "attention_mask": whole, "token_type_ids": torch.zeros_like(ids)}
    read = {name: by_name[name] for name in inputs}
    sides: dict[str, Any] = {name: {0: rows, 1: tokens} for name in inputs}
    ranks = torch.export.Dim("ranks", min=0, max=65536)
    down = [torch.zeros(n_in, _EXAMPLE_RANK) for _, n_in, _ in module.layers]
    up = [torch.zeros(_EXAMPLE_RANK, n_out) for _, _, n_out in module.layers]
    example = (read, torch.zeros(len(ids), 1, _EXAMPLE_RANK), down, up)
    return example, (sides, {0: rows, 2: ranks}, [{1: ranks}] * len(down), [{0: ranks}] * len(up))


def _probe_inputs(encoder: TorchEncoder, folder: Path, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a graph is given for every probe, without adapters."""
    facts = GraphFacts.of(fields)
    tokens = Tokens((folder / TOKENIZER).read_text(encoding="utf-8"), max_tokens=encoder.max_tokens, prompt="")
    return (base_inputs(ids, facts) for ids in tokens.read(PROBES))


def _measured(
    encoder: TorchEncoder, folder: Path, fields: dict[str, Any], exact: FloatArray
) -> dict[str, dict[str, float]]:
    """The least cosine of the graphs' vectors to PyTorch's, and the least time of a short query, in milliseconds."""
    opened = {precision: _opened(encoder, folder, fields, precision) for precision in PRECISIONS}
    graphs = {precision: graph for precision, graph in opened.items() if graph is not None}
    cosines = {precision: cosines_of(graph.vectors(PROBES), exact) for precision, graph in graphs.items()}
    seconds: dict[str, list[float]] = {precision: [] for precision in graphs}
    # In turns, so that what else the machine does hits all alike.
    for _ in range(_ROUNDS):
        for precision, graph in graphs.items():
            start = time.perf_counter()
            graph.vectors([PROBES[1]])
            seconds[precision].append(time.perf_counter() - start)
    return {
        precision: {
            "least_cosine": float(cosines[precision].min()),
            "milliseconds": 1000 * min(seconds[precision]),
        }
        for precision in graphs
    }


def _opened(encoder: TorchEncoder, folder: Path, fields: dict[str, Any], precision: str) -> QueryGraph | None:
    """The graph in one precision; None where this machine cannot compute in 8-bit numbers."""
    try:
        return QueryGraph.of(
            folder, fields, max_tokens=encoder.max_tokens, prompt=encoder.query_prompt, precision=precision
        )
    except Exception:
        # ONNX Runtime raises Exception itself where it has no such operation.
        if precision == "float32":
            raise
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from telling what it does, and from advising its own authors."""
    root = logging.getLogger()
    loggers = [root, *(logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "onnxruntime", "torch.onnx"))]
    levels, handlers = [logger.level for logger in loggers], list(root.handlers)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        # Importing the quantizer gives the root logger a handler of its own.
        root.handlers[:] = handlers
