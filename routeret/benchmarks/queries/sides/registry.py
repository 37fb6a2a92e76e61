"""The sides by name."""

from collections.abc import Callable
from functools import partial

from routeret.benchmarks.queries.material import Material
from routeret.benchmarks.queries.sides.fastembed import FastembedSide
from routeret.benchmarks.queries.sides.ours import RetrieverSide
from routeret.benchmarks.queries.sides.sentence_transformers import OnnxBackendSide, PeftSide, PlainSide
from routeret.benchmarks.queries.sides.side import QuerySide
from routeret.benchmarks.sides import Entry
from routeret.types import BASE, LEXICAL

PLAIN = "sentence-transformers"
"""What all others are compared with."""

ROUTED, HYBRID, LORA, ALONE = "routed", "hybrid", "lora", "base"

_TORCH = ("sentence_transformers", "torch", "faiss")
_PEFT = (*_TORCH, "peft")
_GRAPH = ("sentence_transformers", "optimum.onnxruntime", "onnxruntime", "faiss")
_OURS = ("onnxruntime", "faiss")
QueryEntry = Entry[Material, QuerySide]

_routed = partial(RetrieverSide, index=ROUTED)


def _ours(title: str, make: Callable[[Material], QuerySide]) -> QueryEntry:
    """A side of this library that runs wherever its encoders do."""
    return Entry(title, make, _OURS, elsewhere=_TORCH)


SIDES: dict[str, QueryEntry] = {
    PLAIN: Entry("SentenceTransformer.encode, IndexFlatIP", PlainSide, _TORCH, elsewhere=_TORCH),
    "plain-bfloat16": Entry(
        "the same, loaded in bfloat16", partial(PlainSide, is_bfloat16=True), _TORCH, elsewhere=_TORCH
    ),
    "onnx-float32": Entry(
        "the same, its ONNX backend, float32", partial(OnnxBackendSide, is_quantised=False), _GRAPH, is_peer=True
    ),
    "onnx-int8": Entry(
        "the same, its ONNX backend, int8", partial(OnnxBackendSide, is_quantised=True), _GRAPH, is_peer=True
    ),
    "peft": Entry("the same, PEFT adapters switched", PeftSide, _PEFT, elsewhere=_PEFT),
    "fastembed": Entry("fastembed, IndexFlatIP", FastembedSide, ("fastembed", *_GRAPH), is_peer=True),
    "torch": Entry("routeret, base alone, PyTorch", partial(_routed, expert=BASE, by_pytorch=True), _TORCH),
    "float32": Entry("routeret, base alone, float32", partial(_routed, expert=BASE, precision="float32"), _OURS),
    "int8": Entry("routeret, base alone, int8", partial(_routed, expert=BASE, precision="int8"), _OURS),
    ALONE: _ours("routeret, base alone", partial(_routed, expert=BASE)),
    ROUTED: _ours("routeret, routed, linear experts", partial(_routed, disable=(LEXICAL,))),
    HYBRID: _ours("routeret, routed, linear experts and BM25", _routed),
    LORA: _ours("routeret, routed, LoRA experts", partial(RetrieverSide, index=LORA, disable=(LEXICAL,))),
}
"""What is timed; plain sentence-transformers first."""

WITHOUT, MANY = "without", "many"

HOLDERS: dict[str, QueryEntry] = {
    WITHOUT: Entry("routeret without experts", partial(RetrieverSide, index=WITHOUT), _OURS),
    MANY: Entry("routeret with many experts", partial(RetrieverSide, index=MANY), _OURS),
}
"""Whose memory is compared."""
