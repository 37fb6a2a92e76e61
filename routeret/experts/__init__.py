"""What an expert is and how it is saved."""

from routeret.experts.linear import LinearExpert
from routeret.experts.loading import load_expert

__all__ = ["LinearExpert", "load_expert"]
