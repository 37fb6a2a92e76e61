"""Queries run by ONNX Runtime: one graph for a base and all adapters of it, exported once a model and machine."""

from routeret.encoders.onnx.encoder import OnnxEncoder

__all__ = ["OnnxEncoder"]
