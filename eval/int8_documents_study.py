"""Are documents in 8 bits worth it? Graphs in bytes, run by OpenVINO, beside bfloat16 and plain sentence-transformers.

    python eval/int8_documents_study.py --data FOLDER... --documents 1024

Linear layers multiply bytes: weights have a scale for every column, and what a layer meets has one scale, found on
documents that are not measured. Strong channels are those of :mod:`routeret.encoders.graph.quantising`, which see. All
sides write the same blocks of documents in turns, in one process, with a pass on every core; the first time does not
count, since OpenVINO prepares its products for every new shape. nDCG@10 is that of dev queries which plain writes, over
the documents as ``routeret bench build`` chooses them; test queries are not read.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from routeret.artifact import read_manifest, write_json
from routeret.benchmarks.building.choosing import choose
from routeret.benchmarks.building.measuring import BLOCK, block_bounds, rates, times_faster
from routeret.benchmarks.building.quality import cosine_figures, dataset_quality, judged_queries, ndcg_figures
from routeret.benchmarks.building.sides.registry import PLAIN
from routeret.benchmarks.machine import machine_facts, thread_limits
from routeret.benchmarks.models.facts import ModelFacts
from routeret.benchmarks.models.sentence_transformers import encoded, loaded
from routeret.benchmarks.turns import turns
from routeret.datasets import load_dataset
from routeret.encoders import DEFAULT_BASE, OnnxEncoder
from routeret.encoders.graph.document_graph import DocumentGraph
from routeret.encoders.graph.openvino_runtime import OpenvinoRuntime
from routeret.encoders.graph.quantising import met_by_layers, strong_channels
from routeret.encoders.graph.setting_apart import layers_of
from routeret.encoders.graph.store import FORMAT, KIND, TOKENIZER, graph_file, graph_key, graphs_folder
from routeret.encoders.graph.text_passes import GraphFacts, base_inputs
from routeret.encoders.graph.tokens import Tokens
from routeret.encoders.probes import LEAST_COSINE, cosines_of
from routeret.types import FloatArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Write = Callable[[Sequence[str]], FloatArray]
"""Vectors of texts of documents."""

OUT = Path(__file__).parent / "results" / "building" / "int8_documents.json"
PACKAGES = ("routeret", "sentence-transformers", "transformers", "torch", "onnx", "onnxruntime", "openvino", "numpy")
BFLOAT16 = "bfloat16"
WAYS = {
    "int8, all linear layers": {"only_feed_forward": False, "strong_apart": False},
    "int8, feed-forward": {"only_feed_forward": True, "strong_apart": False},
    "int8, feed-forward, strong channels apart": {"only_feed_forward": True, "strong_apart": True},
}
WARMING = 4
"""Documents before a block, which do not count."""


def main() -> None:
    arguments = parsed_arguments()
    encoder = OnnxEncoder(arguments.base, runtime="openvino")
    graphs = graphs_folder()
    if not encoder.prepare() or graphs is None or encoder.document_graph is None:
        raise SystemExit(f"no graph can hold {arguments.base}")
    model = ModelFacts.of(encoder)
    reference = loaded(model)
    plain = partial(encoded, reference, prompt=model.document_prompt, unit_length=model.unit_length)
    queries = partial(encoded, reference, prompt=model.query_prompt, unit_length=model.unit_length)
    datasets = [load_dataset(one) for one in arguments.data]
    chosen = choose(datasets, arguments.documents + arguments.calibration, seed=arguments.seed).documents
    texts = [encoder.space.joined(title=one.title, text=one.text) for one in chosen]
    ids, measured = [one.id for one in chosen[: arguments.documents]], texts[: arguments.documents]
    known = set(measured)
    others = [one for one in texts[len(measured) :] if one not in known]
    if not others:
        raise SystemExit("found no document to find ranges on that is not measured; give fewer --documents")
    sides: dict[str, Write] = {PLAIN: plain, BFLOAT16: partial(written, encoder.document_graph)}
    for way, graph in graphs_in_8_bits(encoder, graphs / graph_key(encoder.space), others).items():
        sides[way] = partial(written, graph)
    bounds = block_bounds(len(ids), BLOCK)
    vectors, ms = measure(sides, measured, bounds * arguments.rounds, seed=arguments.seed)
    judged = [(dataset.name, *judged_queries(dataset, ids)) for dataset in datasets]
    quality = [
        dataset_quality(name, qrels, queries(list(asked.values())), ids, vectors)
        for name, asked, qrels in judged
        if asked
    ]
    figures = {
        "split": "dev",
        "base": str(arguments.base),
        "machine": machine_facts(PACKAGES),
        "settings": {
            "seed": arguments.seed,
            "block": BLOCK,
            "rounds": arguments.rounds,
            "least_cosine": LEAST_COSINE["int8"],
            "thread_limits": thread_limits(),
        },
        "datasets": [dataset.name for dataset in datasets],
        "documents": len(ids),
        "calibration_documents": len(others),
        "sides": {
            name: {
                **rates(ms[name], ms[PLAIN], bounds=bounds * arguments.rounds),
                **times_bfloat16(ms[name], ms[BFLOAT16]),
                **cosine_figures(vectors[name], vectors[PLAIN]),
                "share_below": float(np.mean(cosines_of(vectors[name], vectors[PLAIN]) < LEAST_COSINE["int8"])),
                **ndcg_figures(quality, name, PLAIN),
            }
            for name in sides
        },
        "quality": quality,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, figures)
    print(json.dumps(figures, indent=1))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Documents in 8 bits beside bfloat16: speed, cosine and nDCG@10, on dev."
    )
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="BEIR folders")
    parser.add_argument("--documents", type=int, default=1024, help="how many are measured, evenly of all folders")
    parser.add_argument("--calibration", type=int, default=128, help="how many others ranges are found on")
    parser.add_argument("--rounds", type=int, default=3, help="how often every block is measured")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of the model")
    parser.add_argument("--seed", type=int, default=0, help="decides which documents, and whose turn is first")
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON file to write")
    return parser.parse_args()


def written(graph: DocumentGraph, texts: Sequence[str]) -> FloatArray:
    """Vectors of documents, float32, shape (n_texts, dim)."""
    return graph.vectors(texts)[0]


def measure(
    sides: Mapping[str, Write], texts: Sequence[str], bounds: Sequence[tuple[int, int]], *, seed: int
) -> tuple[dict[str, FloatArray], dict[str, list[float]]]:
    """The vectors of all texts by every side, and the milliseconds of every block."""
    blocks = dict.fromkeys(bounds)
    vectors = {
        name: np.concatenate([write(texts[start:end]) for start, end in blocks]) for name, write in sides.items()
    }
    ms: dict[str, list[float]] = {name: [] for name in sides}
    for (start, end), name in turns(sides, bounds, seed=seed, description="Embedding", show_progress=True):
        sides[name](texts[start : min(end, start + WARMING)])
        before = time.perf_counter()
        sides[name](texts[start:end])
        ms[name].append(1000 * (time.perf_counter() - before))
    return vectors, ms


def times_bfloat16(ms: Sequence[float], of_bfloat16: Sequence[float]) -> dict[str, float]:
    """How many times faster than bfloat16 blocks are, beside how many times faster than plain."""
    times = times_faster(np.array(ms), np.array(of_bfloat16))
    return {name.replace("plain", BFLOAT16): value for name, value in times.items()}


def graphs_in_8_bits(encoder: OnnxEncoder, folder: Path, texts: Sequence[str]) -> dict[str, DocumentGraph]:
    """The exported graph in every way, opened; ranges are those met in some texts."""
    import onnx

    facts = GraphFacts.of(read_manifest(folder, kind=KIND, format_number=FORMAT, verify=False))
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    tokens = Tokens(tokenizer, max_tokens=encoder.max_tokens, prompt=encoder.document_prompt)
    with tempfile.TemporaryDirectory(prefix="routeret-float32-") as place:
        own = Path(shutil.copytree(folder, Path(place, "graph")))
        met = ranges(graph_file(own, "float32"), facts, tokens.read(texts))
    graphs = {}
    for way, choices in WAYS.items():
        model = onnx.load(str(graph_file(folder, "float32")))
        to_8_bits(model, met, **choices)
        with tempfile.TemporaryDirectory(prefix="routeret-int8-") as place:
            onnx.save(model, str(Path(place, "int8.onnx")))
            runtime = OpenvinoRuntime(Path(place, "int8.onnx"), facts, max_tokens=encoder.max_tokens)
        graphs[way] = DocumentGraph(runtime, tokens, facts)
    return graphs


def ranges(file: Path, facts: GraphFacts, token_lists: Sequence[list[int]]) -> dict[str, FloatArray]:
    """The least and the most of every channel of what linear layers meet, shape (2, n_channels), by its name."""
    found: dict[str, FloatArray] = {}
    for met in met_by_layers(file, (base_inputs(ids, facts) for ids in token_lists)):
        for name, rows in met.items():
            known = found.get(name, np.zeros((2, rows.shape[-1]), dtype=np.float32))
            channels = np.concatenate([known, rows])
            found[name] = np.stack([channels.min(axis=0), channels.max(axis=0)])
    return found


def to_8_bits(
    model: "ModelProto", met: Mapping[str, FloatArray], *, only_feed_forward: bool, strong_apart: bool
) -> None:
    """Let linear layers multiply bytes.

    Args:
        model: is changed.
        met: what :func:`ranges` gave.
        only_feed_forward: leave the layers of attention, whose matrices are square, as they are.
        strong_apart: leave strong channels out of the bytes, and add what they give.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    matrices = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    linear = {node.output[0] for node in layers_of(graph)}
    nodes: list[NodeProto] = []

    def number(name: str, array: NDArray[Any] | np.generic) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(kind: str, inputs: list[str], output: str, *, axis: int | None = None) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, axis=axis))
        return output

    seen: set[str] = set()
    for old in graph.node:
        output, value = old.output[0], old.input[0] if old.input else ""
        matrix = matrices[old.input[1]] if output in linear else None
        if matrix is None or (only_feed_forward and matrix.shape[0] == matrix.shape[1]):
            nodes.append(old)
            continue
        strong = strong_channels(np.abs(met[value]).max(axis=0)) if strong_apart else np.zeros(0, dtype=np.int64)
        if value not in seen:
            seen.add(value)
            weak = np.delete(met[value], strong, axis=1)
            step = (weak[1].max() - weak[0].min()) / np.float32(255)
            scale = [number(f"{value}_step", step), number(f"{value}_zero", np.uint8(round(-weak[0].min() / step)))]
            node("DequantizeLinear", [node("QuantizeLinear", [value, *scale], f"{value}_bytes"), *scale], f"{value}_8")
            if len(strong):
                node("Gather", [value, number(f"{value}_places", strong)], f"{value}_strong", axis=-1)
        # What is strong is cut off at the range of the rest, and its weights are zero.
        rest = matrix.copy()
        rest[strong] = 0
        steps = np.abs(rest).max(axis=0) / np.float32(127)
        stored = [number(f"{output}_bytes", np.round(rest / steps).astype(np.int8)), number(f"{output}_steps", steps)]
        factors = [f"{value}_8", node("DequantizeLinear", stored, f"{output}_weights", axis=1)]
        if not len(strong):
            node("MatMul", factors, output)
            continue
        kept = [f"{value}_strong", number(f"{output}_matrix", matrix[strong])]
        node("Add", [node("MatMul", factors, f"{output}_rest"), node("MatMul", kept, f"{output}_kept")], output)
    del graph.node[:]
    graph.node.extend(nodes)


if __name__ == "__main__":
    main()
