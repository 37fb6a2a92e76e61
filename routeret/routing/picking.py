"""What routers that pick one expert a query share: which expert did best on a pilot, and a pick as a decision."""

from collections.abc import Sequence

import numpy as np

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.pilots import STRENGTHS, PilotCorpus, PilotLibrary
from routeret.types import FloatArray, IntArray


def names_of(experts: Sequence[PoolMember]) -> tuple[str, ...]:
    """The names of some experts, in order."""
    return tuple(expert.name for expert in experts)


def strengths_of(experts: Sequence[PoolMember]) -> FloatArray:
    """The strength of every expert that did best on its dev queries, float32, shape (n_experts,)."""
    return np.array([expert.strength for expert in experts], dtype=np.float32)


def best_on_pilots(corpus: PilotCorpus, experts: Sequence[PoolMember]) -> tuple[FloatArray, IntArray]:
    """The pilots measured with every expert, and the expert that did best on each (arXiv 2409.02685, Algorithm 1).

    An expert counts at its own strength. Ties, frequent with nDCG@10, go to the expert that was trained on the corpus,
    then to the first; the paper does not say.

    Args:
        corpus: the pilots of one training corpus.
        experts: the pool.

    Returns:
        Vectors, float32, shape (n_measured, dim), and columns of experts, int64, shape (n_measured,).
    """
    names = names_of(experts)
    if not names or not all(name in corpus.gains for name in names):
        return corpus.vectors[:0], np.zeros(0, dtype=np.int64)
    at = [int(np.argmin(np.abs(np.array(STRENGTHS) - expert.strength))) for expert in experts]
    gains = np.stack([corpus.gains[name][:, column] for name, column in zip(names, at, strict=True)], axis=1)
    measured = np.isfinite(gains).all(axis=1)
    # Argmax takes the first of equals, so the experts of this corpus come first.
    order = np.array(sorted(range(len(names)), key=lambda column: _rank(names[column], corpus)))
    return corpus.vectors[measured], order[gains[measured][:, order].argmax(axis=1)]


def best_by_corpus(library: PilotLibrary, experts: Sequence[PoolMember]) -> dict[str, tuple[FloatArray, IntArray]]:
    """What :func:`best_on_pilots` gives for every corpus that has such pilots, by its name.

    Raises:
        InputError: no pilot was measured with every expert.
    """
    found = {corpus.name: best_on_pilots(corpus, experts) for corpus in library.corpora}
    found = {name: (vectors, best) for name, (vectors, best) in found.items() if len(best)}
    if not found:
        names = ", ".join(names_of(experts))
        raise InputError(f"no pilot was measured with each of the experts {names or '(none)'}; build the pack again")
    return found


def picked(
    columns: IntArray, *, expert_names: tuple[str, ...], strengths: FloatArray, known: FloatArray
) -> RoutingBatch:
    """The decisions that give every query to one expert at its own strength, without base and lexical score.

    Args:
        columns: int64, shape (n_queries,); the expert of every query.
        expert_names: the pool.
        strengths: float32, shape (n_experts,).
        known: float32, shape (n_queries, n_experts); reported in the result.
    """
    n_queries, n_experts = len(columns), len(expert_names)
    weights = np.zeros((n_queries, 1 + n_experts), dtype=np.float32)
    weights[np.arange(n_queries), 1 + columns] = 1.0
    return RoutingBatch(
        experts=expert_names,
        weights=weights,
        strengths=np.tile(strengths, (n_queries, 1)),
        lexical=np.zeros(n_queries, dtype=np.float32),
        gains=np.zeros((n_queries, n_experts), dtype=np.float32),
        held_back=np.zeros(n_queries, dtype=np.bool_),
        corpora=(),
        corpus_probabilities=np.zeros((n_queries, 0), dtype=np.float32),
        known=known,
    )


def _rank(name: str, corpus: PilotCorpus) -> int:
    home = corpus.home_experts
    return home.index(name) if name in home else len(home)
