"""What routers that pick one expert a query share: which expert did best on a pilot, and a pick as a decision."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError
from routeret.protocols import PoolMember
from routeret.routing.decisions import RoutingBatch
from routeret.routing.gain_table import GainTable
from routeret.routing.pilots import STRENGTHS, PilotCorpus, PilotLibrary
from routeret.types import BASE, FloatArray, IntArray

THE_BASE = -1
"""Stands for the base where a column of an expert is expected."""

_DECIMALS = 6


def names_of(experts: Sequence[PoolMember]) -> tuple[str, ...]:
    """The names of some experts, in order."""
    return tuple(expert.name for expert in experts)


def strengths_of(experts: Sequence[PoolMember]) -> FloatArray:
    """The strength of every expert that did best on its dev queries, float32, shape (n_experts,)."""
    return np.array([expert.strength for expert in experts], dtype=np.float32)


def require_experts(experts: Sequence[PoolMember]) -> None:
    """Do nothing if there is an expert.

    Raises:
        InputError: there is none.
    """
    if not experts:
        raise InputError("found a pool of 0 experts, expected at least one; add an expert first")


def measured_on_pilots(corpus: PilotCorpus, experts: Sequence[PoolMember]) -> tuple[FloatArray, FloatArray]:
    """The pilots measured with every expert, and what each expert gains on them at its own strength.

    Args:
        corpus: the pilots of one training corpus.
        experts: the pool.

    Returns:
        Vectors, float32, shape (n_measured, dim), and gains, float32, shape (n_measured, n_experts).
    """
    names = names_of(experts)
    if not names or not all(name in corpus.gains for name in names):
        return corpus.vectors[:0], np.zeros((0, len(names)), dtype=np.float32)
    at = [int(np.argmin(np.abs(np.array(STRENGTHS) - expert.strength))) for expert in experts]
    gains = np.stack([corpus.gains[name][:, column] for name, column in zip(names, at, strict=True)], axis=1)
    measured = np.isfinite(gains).all(axis=1)
    return corpus.vectors[measured], gains[measured]


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
    vectors, gains = measured_on_pilots(corpus, experts)
    if not len(vectors):
        return vectors, np.zeros(0, dtype=np.int64)
    # Argmax takes the first of equals, so the experts of this corpus come first.
    names = names_of(experts)
    order = np.array(sorted(range(len(names)), key=lambda column: _rank(names[column], corpus)))
    return vectors, order[gains[:, order].argmax(axis=1)]


def best_by_corpus(library: PilotLibrary, experts: Sequence[PoolMember]) -> dict[str, tuple[FloatArray, IntArray]]:
    """What :func:`best_on_pilots` gives for every corpus that has such pilots, by its name.

    Raises:
        InputError: no pilot was measured with every expert.
    """
    found = {corpus.name: best_on_pilots(corpus, experts) for corpus in library.corpora}
    found = {name: (vectors, best) for name, (vectors, best) in found.items() if len(best)}
    if not found:
        raise nothing_measured(experts)
    return found


def gain_table(library: PilotLibrary, experts: Sequence[PoolMember]) -> FloatArray:
    """The mean gain of every expert at every strength on every corpus; 0 where it was not measured.

    Args:
        library: the pilots.
        experts: the pool.

    Returns:
        float32, shape (n_corpora, n_experts, n_strengths).

    Raises:
        InputError: no expert was measured on any pilot.
    """
    names = names_of(experts)
    if not any(corpus.mean_gain(name)[1] for corpus in library.corpora for name in names):
        raise nothing_measured(experts, how="any")
    return GainTable.fit(library, names, shrinkage=0.0).means


def best_action(gains: FloatArray) -> tuple[int, float]:
    """The expert and strength that gain most; of equals the first expert at its lowest strength.

    Args:
        gains: float32, shape (n_experts, n_strengths), at least one expert.

    Returns:
        The expert's column and the strength; :data:`THE_BASE` and 0 where nothing gains.
    """
    column, at = divmod(int(gains.argmax()), len(STRENGTHS))
    return (column, STRENGTHS[at]) if gains[column, at] > 0 else (THE_BASE, 0.0)


def nothing_measured(experts: Sequence[PoolMember], *, how: str = "each") -> InputError:
    """The error that says that there are no pilots to learn from."""
    names = ", ".join(names_of(experts)) or "(none)"
    return InputError(f"no pilot was measured with {how} of the experts {names}; build the pack again")


def picked(
    columns: IntArray, *, expert_names: tuple[str, ...], strengths: FloatArray, known: FloatArray
) -> RoutingBatch:
    """The decisions that give every query whole to one expert or to the base, without lexical score.

    Args:
        columns: int64, shape (n_queries,); the expert of every query, or :data:`THE_BASE`.
        expert_names: the pool.
        strengths: float32; of every expert, shape (n_experts,), or of every query's expert, shape (n_queries, 1).
        known: float32, shape (n_queries, n_experts); reported in the result.
    """
    n_queries, n_experts = len(columns), len(expert_names)
    weights = np.zeros((n_queries, 1 + n_experts), dtype=np.float32)
    weights[np.arange(n_queries), 1 + columns] = 1.0
    on_base = RoutingBatch.constant(expert_names, n_queries, weights={BASE: 1.0}, strengths={})
    at = np.broadcast_to(strengths, (n_queries, n_experts)).astype(np.float32)
    return replace(on_base, weights=weights, strengths=at, known=known)


def unit(vectors: FloatArray) -> FloatArray:
    """The vectors at length 1, float32; a zero vector, as an empty query may have, stays one: like nothing."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def cosines(queries: FloatArray, vectors: FloatArray) -> NDArray[np.float64]:
    """Cosines of queries and vectors to 6 decimals, shape (n_queries, n_vectors).

    Equal vectors are equally near, however a processor adds up, so a decision does not hang on the size of a block.

    Args:
        queries: float32, shape (n_queries, dim).
        vectors: float32, shape (n_vectors, dim), unit length or zero.
    """
    exact = queries.astype(np.float64)
    lengths = np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.asarray(np.round(exact @ vectors.T.astype(np.float64) / lengths, _DECIMALS), dtype=np.float64)


def _rank(name: str, corpus: PilotCorpus) -> int:
    home = corpus.home_experts
    return home.index(name) if name in home else len(home)
