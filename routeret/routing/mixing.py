"""From predicted gains to weights and strengths: a softmax in which the base takes part."""

import numpy as np

from routeret.routing.pilots import STRENGTHS
from routeret.types import FloatArray

_STRENGTHS = np.array(STRENGTHS, dtype=np.float32)
_TINY = np.finfo(np.float32).tiny


def mixed(gains: FloatArray, *, temperature: float) -> tuple[FloatArray, FloatArray]:
    """Softmax over the base, at gain 0, and all that gains, summed up to a weight and a mean strength an expert.

    What is not expected to gain gets no weight: many experts that promise nothing would together outweigh one that
    promises a little.

    Args:
        gains: float32, shape (n_queries, n_experts, n_strengths); predicted.
        temperature: in units of the gains; lower means closer to one expert.

    Returns:
        Weights, float32, shape (n_queries, 1 + n_experts), and strengths, float32, shape (n_queries, n_experts).
    """
    n_queries, n_experts, n_strengths = gains.shape
    logits = gains.reshape(n_queries, n_experts * n_strengths) / temperature
    top = logits.max(axis=1, initial=0.0, keepdims=True)
    shares = np.where(logits > 0, np.exp(logits - top), 0)
    base = np.exp(-top)
    total = shares.sum(axis=1, keepdims=True) + base
    by_strength = (shares / total).reshape(gains.shape)
    off_base = by_strength.sum(axis=2)
    strengths = by_strength @ _STRENGTHS / np.maximum(off_base, _TINY)
    weights = np.concatenate([base / total, off_base], axis=1)
    return weights.astype(np.float32), strengths.astype(np.float32)
