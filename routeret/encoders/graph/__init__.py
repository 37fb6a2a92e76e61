"""One graph for a base and all adapters of it: exported once a model and machine, and run by what is fastest there."""

from routeret.encoders.graph.encoder import OnnxEncoder
from routeret.encoders.graph.stacked_encoder import StackedEncoder

__all__ = ["OnnxEncoder", "StackedEncoder"]
