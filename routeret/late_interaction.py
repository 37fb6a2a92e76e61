"""Soft late interaction (Unified Work Embeddings, 2511.07969): a query's token vectors against targets.

Tokens weigh by the softmax of raw inner products over a temperature, and a score is the weighted mean of cosines, so
it lies in -1 to 1. Temperature 0 is MaxSim, an infinite one the plain mean of the cosines.

- A target that is one pooled vector: the softmax runs over the tokens of the query, and says which of them speak of
  the target. This is the scorer of ConTeXT-Match.
- A target that is token vectors: the softmax runs over the tokens of the target, for every token of the query, and
  the score is the mean over the tokens of the query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError
from routeret.half_precision import in_single_precision
from routeret.ranges import expanded
from routeret.types import BoolArray, FloatArray, IntArray

VectorArray = NDArray[np.floating[Any]]
"""float32, or float16 that is brought to float32 block by block."""

# A block of scores stays in the second-level cache; a block of vectors bounds the memory.
_SCORES_AT_ONCE = 1 << 16
_VECTORS_AT_ONCE = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class PooledTargets:
    """Targets of one vector each; made once by :meth:`of`, and used for any number of queries.

    Attributes:
        vectors: shape (n_targets, dim), of any length.
        lengths: float32, shape (n_targets,).
    """

    vectors: VectorArray
    lengths: FloatArray

    @classmethod
    def of(cls, vectors: VectorArray) -> "PooledTargets":
        """Measure the vectors, which are kept and not copied.

        Args:
            vectors: float32 or float16, shape (n_targets, dim).

        Raises:
            InputError: there are not two dimensions.
        """
        _require_matrix(vectors, "target vectors")
        return cls(vectors, _lengths(vectors))

    def __len__(self) -> int:
        """How many targets."""
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.vectors.shape[1])

    def take(self, rows: IntArray) -> "PooledTargets":
        """The targets of some rows, int64, shape (n,), in their order."""
        return PooledTargets(self.vectors[rows], self.lengths[rows])

    def scores(self, tokens: FloatArray, temperature: np.float32) -> FloatArray:
        """Score one query, by weights of its tokens; see :func:`soft_late_interaction`.

        Args:
            tokens: float32, shape (n_tokens, dim), at least one.
            temperature: at least 0.

        Returns:
            float32, shape (n_targets,).
        """
        scores: FloatArray = np.zeros(len(self), dtype=np.float32)
        per_length = _inverse(_lengths(tokens))
        step = min(_VECTORS_AT_ONCE, max(1, _SCORES_AT_ONCE // len(tokens)))
        for start in range(0, len(self), step):
            part = slice(start, start + step)
            # Many rows times few columns is the faster product, many columns the faster layout for the rest.
            products = np.ascontiguousarray((_float32(self.vectors[part]) @ tokens.T).T)
            weights = _weights(products - products.max(axis=0), temperature)
            products *= weights
            scores[part] = per_length @ products / weights.sum(axis=0)
        scores *= _inverse(self.lengths)
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class TokenTargets:
    """Targets of several token vectors each, one target after the other; made once by :meth:`of`.

    Attributes:
        tokens: shape (n_tokens, dim), of any length.
        starts: int64, shape (n_targets + 1,); where the tokens of every target start, and the end.
        lengths: float32, shape (n_tokens,).
    """

    tokens: VectorArray
    starts: IntArray
    lengths: FloatArray

    @classmethod
    def of(cls, tokens: VectorArray, counts: IntArray) -> "TokenTargets":
        """Measure the vectors, which are kept and not copied.

        Args:
            tokens: float32 or float16, shape (n_tokens, dim); the tokens of the first target, then of the second.
            counts: int64, shape (n_targets,); how many each has, at least 1; they sum to n_tokens.

        Raises:
            InputError: the shapes do not fit, or a target has no token.
        """
        _require_matrix(tokens, "target tokens")
        if counts.ndim != 1 or counts.min(initial=1) < 1 or counts.sum() != len(tokens):
            raise InputError(
                f"{len(counts)} targets have {int(counts.sum())} tokens together and {int(counts.min(initial=1))} at "
                f"least; expected {len(tokens)} together, and at least 1 each"
            )
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])
        return cls(tokens, starts, _lengths(tokens))

    def __len__(self) -> int:
        """How many targets."""
        return len(self.starts) - 1

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.tokens.shape[1])

    def take(self, rows: IntArray) -> "TokenTargets":
        """The targets of some rows, int64, shape (n,), in their order."""
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        places = expanded(self.starts[rows], counts)
        return TokenTargets(self.tokens[places], starts, self.lengths[places])

    def scores(self, tokens: FloatArray, temperature: np.float32) -> FloatArray:
        """Score one query, by weights of the targets' tokens; see :func:`soft_late_interaction`.

        Args:
            tokens: float32, shape (n_tokens, dim), at least one.
            temperature: at least 0.

        Returns:
            float32, shape (n_targets,).
        """
        scores: FloatArray = np.zeros(len(self), dtype=np.float32)
        per_length = _inverse(_lengths(tokens)) / np.float32(len(tokens))
        for first, end in self._blocks(max(1, _SCORES_AT_ONCE // len(tokens))):
            bounds = self.starts[first : end + 1]
            inside = slice(bounds[0], bounds[-1])
            starts, counts = bounds[:-1] - bounds[0], np.diff(bounds)
            products = _float32(self.tokens[inside]) @ tokens.T
            highest = np.repeat(np.maximum.reduceat(products, starts, axis=0), counts, axis=0)
            weights = _weights(products - highest, temperature)
            products *= weights
            products *= _inverse(self.lengths[inside])[:, None]
            means = np.add.reduceat(products, starts, axis=0) / np.add.reduceat(weights, starts, axis=0)
            scores[first:end] = means @ per_length
        return scores

    def _blocks(self, n_tokens: int) -> Iterator[tuple[int, int]]:
        """First and end of consecutive targets that have about so many tokens together, at least one target each."""
        first = 0
        while first < len(self):
            reached = np.searchsorted(self.starts, self.starts[first] + min(n_tokens, _VECTORS_AT_ONCE), side="right")
            end = max(first + 1, int(reached) - 1)
            yield first, end
            first = end


def soft_late_interaction(
    query_tokens: Sequence[FloatArray],
    targets: PooledTargets | TokenTargets,
    *,
    temperature: float,
    candidates: IntArray | None = None,
) -> FloatArray:
    """Score the token vectors of queries against targets.

    Args:
        query_tokens: the token vectors of every query, float32, shape (n_tokens, dim), at least one; of any length:
            a longer token weighs by larger inner products, while its cosines stay what they are.
        targets: of one vector or of several each.
        temperature: of the softmax over raw inner products, at least 0. At 0 tokens of equal inner products share.
        candidates: rows of the targets to score, int64, shape (n_queries, n_candidates); -1 stands for none. None
            scores all targets.

    Returns:
        float32, shape (n_queries, n_targets) or that of the candidates; -1 to 1 up to rounding, higher is better.
        A cosine with a vector of length 0 is 0; what stands for no candidate scores minus infinity.

    Raises:
        InputError: the temperature is below 0 or no number, a query has no token, shapes do not fit, or a candidate
            is no row.
    """
    if not temperature >= 0:
        raise InputError(f"temperature is {temperature}; expected at least 0")
    for number, tokens in enumerate(query_tokens):
        if tokens.ndim != 2 or len(tokens) == 0 or tokens.shape[1] != targets.dim:
            raise InputError(
                f"query {number} has token vectors of shape {tokens.shape}; expected (n_tokens, {targets.dim}) with "
                f"at least one token"
            )
    with np.errstate(over="ignore"):
        single = np.float32(temperature)
    if candidates is None:
        found = [targets.scores(tokens, single) for tokens in query_tokens]
        return np.stack(found) if found else np.zeros((0, len(targets)), dtype=np.float32)
    _require_rows(candidates, n_queries=len(query_tokens), n_targets=len(targets))
    scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
    for tokens, rows, line in zip(query_tokens, candidates, scores, strict=True):
        line[rows >= 0] = targets.take(rows[rows >= 0]).scores(tokens, single)
    return scores


def _weights(below: FloatArray, temperature: np.float32) -> FloatArray:
    """Weights before they are brought to the sum 1, from how far products lie below the highest; the highest has 1."""
    if temperature == 0:
        is_highest: BoolArray = below == 0
        return is_highest.astype(np.float32)
    with np.errstate(over="ignore"):
        below /= temperature
    weights: FloatArray = np.exp(below, out=below)
    return weights


def _lengths(vectors: VectorArray) -> FloatArray:
    lengths: FloatArray = np.zeros(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _VECTORS_AT_ONCE):
        part = slice(start, start + _VECTORS_AT_ONCE)
        lengths[part] = np.linalg.norm(_float32(vectors[part]), axis=1)
    return lengths


def _inverse(lengths: FloatArray) -> FloatArray:
    inverse: FloatArray = np.divide(1, lengths, out=np.zeros(lengths.shape, dtype=np.float32), where=lengths > 0)
    return inverse


def _float32(vectors: VectorArray) -> FloatArray:
    return in_single_precision(vectors) if vectors.dtype == np.float16 else vectors.astype(np.float32, copy=False)


def _require_matrix(vectors: VectorArray, what: str) -> None:
    if vectors.ndim != 2:
        raise InputError(f"{what} have shape {vectors.shape}; expected two dimensions, (n, dim)")


def _require_rows(candidates: IntArray, *, n_queries: int, n_targets: int) -> None:
    if candidates.ndim != 2 or len(candidates) != n_queries:
        raise InputError(
            f"candidates have shape {candidates.shape}; expected ({n_queries}, n_candidates), a line for every query"
        )
    if candidates.min(initial=0) < -1 or candidates.max(initial=-1) >= n_targets:
        raise InputError(
            f"candidates hold rows {int(candidates.min())} to {int(candidates.max())}; expected 0 to {n_targets - 1}, "
            f"or -1 for none"
        )
