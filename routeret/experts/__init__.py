"""What an expert is and how it is saved."""

from routeret.experts.linear import LinearExpert
from routeret.experts.loading import load_expert, load_experts
from routeret.experts.lora import LoraExpert
from routeret.experts.tower import TowerExpert

__all__ = ["LinearExpert", "LoraExpert", "TowerExpert", "load_expert", "load_experts"]
