"""Experts over the tiny model, of numbers drawn by chance."""

import numpy as np

from routeret.encoders.adapted import adaptable_layers, transformer_of
from routeret.encoders.adapter import Adapter
from routeret.experts import LinearExpert, LoraExpert

KNOWN = np.array([7], dtype=np.uint64)


def lora(base, name, *, seed):
    """An adapter of all layers, attached to its base."""
    rng = np.random.default_rng(seed)
    transformer = transformer_of(base.fresh_model())
    targets = adaptable_layers(transformer)
    weights = {}
    for layer in targets:
        linear = transformer.get_submodule(layer)
        weights[f"{layer}.lora_A.weight"] = rng.normal(size=(2, linear.in_features)).astype(np.float32)
        weights[f"{layer}.lora_B.weight"] = (0.2 * rng.normal(size=(linear.out_features, 2))).astype(np.float32)
    adapter = Adapter(rank=2, alpha=4.0, targets=targets, weights=weights)
    return LoraExpert(name, adapter, 0.5, base.space, base.query_tower, KNOWN).attached(base)


def linear(base, name):
    weight = np.random.default_rng(9).normal(size=(32, 32)).astype(np.float32) / 20
    return LinearExpert(name, weight, 0.5, base.space, base.query_tower, KNOWN)
