"""The sides by name."""

from functools import partial

from routeret.benchmarks.building.material import BuildMaterial
from routeret.benchmarks.building.sides.ours import OpenvinoSide, TorchSide
from routeret.benchmarks.building.sides.side import EncodingSide
from routeret.benchmarks.building.sides.texts import FastembedSide, OnnxBackendSide, PlainSide
from routeret.benchmarks.sides import Entry

PLAIN = "sentence-transformers"
"""What all others are compared with."""

AUTO, OPENVINO = "auto", "openvino"

_TORCH = ("sentence_transformers", "torch", "faiss")
_GRAPH = ("sentence_transformers", "optimum.onnxruntime", "onnxruntime")

SIDES: dict[str, Entry[BuildMaterial, EncodingSide]] = {
    PLAIN: Entry("SentenceTransformer.encode", PlainSide, _TORCH, elsewhere=_TORCH),
    "plain-bfloat16": Entry(
        "the same, loaded in bfloat16", partial(PlainSide, is_bfloat16=True), _TORCH, elsewhere=_TORCH
    ),
    "onnx-float32": Entry(
        "the same, its ONNX backend, float32", partial(OnnxBackendSide, is_quantised=False), _GRAPH, is_peer=True
    ),
    "onnx-int8": Entry(
        "the same, its ONNX backend, int8", partial(OnnxBackendSide, is_quantised=True), _GRAPH, is_peer=True
    ),
    "fastembed": Entry("fastembed", FastembedSide, ("fastembed", *_GRAPH), is_peer=True),
    "float32": Entry("routeret, PyTorch", partial(TorchSide, precision="float32"), _TORCH, elsewhere=_TORCH),
    AUTO: Entry("routeret, PyTorch", partial(TorchSide, precision="auto"), _TORCH, elsewhere=_TORCH),
    OPENVINO: Entry("routeret, OpenVINO", OpenvinoSide, ("openvino", "onnxruntime", "faiss"), is_optional=True),
}
"""What embeds documents; plain sentence-transformers first."""

TITLE_BY_BUILD = {
    PLAIN: "SentenceTransformer, faiss",
    AUTO: "routeret build, PyTorch",
    OPENVINO: "routeret build, OpenVINO",
}
"""The sides whose whole build is measured, and how it is called."""
