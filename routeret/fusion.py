"""Several opinions about a query made one: query vectors mixed, scores added, ranks summed."""

from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError
from routeret.types import BoolArray, FloatArray, IntArray, TopK

RANK_CONSTANT = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

NEGLIGIBLE = 1e-4
"""Weights below this change no ranking that matters, so what they stand for is not computed."""

TEACHER_WEIGHT = 0.2
"""What the best BM25 score counts beside the cosine in the ranking that a map of an index is learned from."""

_NO_SPREAD = 1e-9
"""Scores that differ by less tell nothing apart."""

SpaceFusion = Literal["scores", "ranks"]
"""How the scores of several spaces become comparable; see :func:`fuse_spaces`."""


def mix_queries(vectors: Sequence[FloatArray], *, weights: FloatArray) -> FloatArray:
    """Give every query the weighted sum of its vectors, at length 1.

    Args:
        vectors: one array for the base and each expert, float32, shape (n_queries, dim).
        weights: float32, shape (n_queries, n_vectors); at least 0.

    Returns:
        float32, shape (n_queries, dim). A query whose weight lies on one vector (up to :data:`NEGLIGIBLE`) keeps that
        vector to the last bit, whatever its length; so does one whose vectors cancel out, with its heaviest.

    Raises:
        InputError: the shapes do not fit, or a query has no weight.
    """
    if not vectors or weights.shape != (len(vectors[0]), len(vectors)):
        raise InputError(
            f"{len(vectors)} arrays of query vectors came with weights of shape {weights.shape}; "
            f"expected ({len(vectors[0]) if vectors else 0}, {len(vectors)})"
        )
    total = weights.sum(axis=1)
    if len(weights) and (weights.min() < 0 or total.min() <= 0):
        raise InputError("a query has a weight below 0, or no weight at all; expected weights that sum to 1")
    lines = np.stack(vectors, axis=1).reshape(weights.size, vectors[0].shape[1])
    ends = range(len(vectors), weights.size + 1, len(vectors))
    return mix_lines(lines, weights=weights.ravel(), ends=ends)


def mix_lines(lines: FloatArray, *, weights: FloatArray, ends: Sequence[int]) -> FloatArray:
    """Give every query the weighted sum of its lines, at length 1, as :func:`mix_queries` does.

    Args:
        lines: vectors, float32, shape (n_lines, dim); those of a query stand together, in the order of the queries.
        weights: of every line, float32, shape (n_lines,); at least 0, and above 0 in sum for every query.
        ends: the line behind the last one of every query.

    Returns:
        float32, shape (n_queries, dim).
    """
    mixed: FloatArray = np.empty((len(ends), lines.shape[1]), dtype=np.float32)
    start = 0
    for query, end in enumerate(ends):
        own, shares = lines[start:end], weights[start:end]
        total, heaviest = shares.sum(), shares.argmax()
        vector = shares.astype(np.float64) @ own
        length = np.sqrt(vector @ vector)
        is_alone = shares[heaviest] >= (1 - NEGLIGIBLE) * total
        mixed[query] = own[heaviest] if is_alone or length <= 1e-6 * total else vector / length
        start = end
    return mixed


def score_fusion(dense: FloatArray, lexical: FloatArray, *, weights: FloatArray, best: FloatArray) -> FloatArray:
    """Add the lexical scores, brought to 0 to 1 for every query, to the dense ones.

    Args:
        dense: float32, shape (n_queries, n_documents); cosines.
        lexical: float32, same shape; BM25, at least 0.
        weights: float32, shape (n_queries,); what the best lexical score counts, in units of a cosine.
        best: float32, shape (n_queries,); the query's best lexical score over the whole index, 0 if nothing matches.

    Returns:
        float32, same shape: dense + weight * lexical / best; the dense scores where ``best`` is 0.

    Raises:
        InputError: the shapes do not fit.
    """
    if dense.shape != lexical.shape or weights.shape != best.shape or weights.shape != dense.shape[:1]:
        raise InputError(
            f"dense scores have shape {dense.shape}, lexical {lexical.shape}, weights {weights.shape}, best "
            f"{best.shape}; expected (n_queries, n_documents) twice and (n_queries,) twice"
        )
    fused: FloatArray = (dense + weighted_lexical(lexical, weights=weights, best=best)).astype(np.float32)
    return fused


def weighted_lexical(lexical: FloatArray, *, weights: FloatArray, best: FloatArray) -> FloatArray:
    """The lexical part of a fused score: weight * lexical / best, and 0 where ``best`` is 0.

    Args:
        lexical: float32, shape (n_queries, n_documents); BM25, at least 0.
        weights: float32, shape (n_queries,).
        best: float32, shape (n_queries,); the query's best lexical score over the whole index.

    Returns:
        float32, the shape of ``lexical``.
    """
    # Divided before it is weighted: a share of the best is at most 1, where weight / best can leave float32's range.
    share = np.divide(
        lexical, best[:, None], out=np.zeros(lexical.shape, dtype=np.float32), where=best[:, None] > 0, dtype=np.float32
    )
    share *= weights[:, None]
    return share


def fuse_spaces(
    scores: Sequence[FloatArray],
    *,
    shares: Sequence[float],
    how: SpaceFusion = "scores",
    sample: BoolArray | None = None,
) -> FloatArray:
    """Make one score of what several spaces say about the same documents, for one query.

    Cosines of two models do not compare: one model keeps all texts within 0.6 to 0.9, another within 0 to 0.5. With
    ``"scores"`` those of every space are moved and stretched to the mean and the standard deviation of the first
    space's, over these documents, before they are averaged by the shares. With ``"ranks"`` every space gives
    (1 + c) / (c + rank) with the constant c of reciprocal rank fusion (:data:`RANK_CONSTANT`), 1 for its best.

    Args:
        scores: of every space, float32, shape (n_documents,); higher is better.
        shares: of every space, at least 0; they sum to 1.
        how: ``"scores"`` or ``"ranks"``.
        sample: shape (n_documents,); the documents whose scores give mean and standard deviation. None takes all.

    Returns:
        float32, shape (n_documents,). One space that has the whole share keeps its scores as they are.

    Raises:
        InputError: the shapes do not fit, the shares do not sum to 1, or ``how`` is neither of the two.
    """
    if len(scores) != len(shares) or len({len(one) for one in scores}) != 1:
        raise InputError(f"{len(shares)} shares came with scores of lengths {[len(one) for one in scores]}")
    if min(shares) < 0 or abs(sum(shares) - 1) > NEGLIGIBLE:
        raise InputError(f"the shares are {[round(float(share), 4) for share in shares]}, expected at least 0, sum 1")
    require_space_fusion(how)
    if max(shares) >= 1 - NEGLIGIBLE:
        return np.asarray(scores[int(np.argmax(shares))], dtype=np.float32)
    total = np.zeros(len(scores[0]), dtype=np.float64)
    for one, share in zip(scores, shares, strict=True):
        total += share * (_reciprocal_ranks(one) if how == "ranks" else _spread_alike(one, scores[0], sample))
    return total.astype(np.float32)


def require_space_fusion(how: str) -> SpaceFusion:
    """Give a way to fuse spaces as such.

    Raises:
        InputError: it is not; those that are are named.
    """
    if how not in get_args(SpaceFusion):
        raise InputError(f"found space fusion {how!r}, expected one of: {', '.join(get_args(SpaceFusion))}")
    return cast("SpaceFusion", how)


def _spread_alike(scores: FloatArray, pattern: FloatArray, sample: BoolArray | None) -> NDArray[np.float64]:
    """Scores with the mean and the standard deviation of a pattern in a sample, float64; equal scores stay equal."""
    values = scores.astype(np.float64)
    seen, like = (one if sample is None else one[sample] for one in (values, pattern.astype(np.float64)))
    if len(seen) == 0:
        return values
    spread, wanted = seen.std(), like.std()
    if spread <= _NO_SPREAD:
        return np.full(len(values), like.mean())
    # Where the pattern tells nothing apart, the scores keep their own spread.
    scale = wanted / spread if wanted > _NO_SPREAD else 1.0
    moved: NDArray[np.float64] = (values - seen.mean()) * scale + like.mean()
    return moved


def _reciprocal_ranks(scores: FloatArray) -> NDArray[np.float64]:
    """(1 + c) / (c + rank), float64; of equal scores the earlier one has the better rank."""
    ranks = np.empty(len(scores), dtype=np.float64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return (1 + RANK_CONSTANT) / (RANK_CONSTANT + ranks)


def reciprocal_rank_fusion(rankings: Sequence[IntArray], k: int, *, constant: int = RANK_CONSTANT) -> TopK:
    """Rank the documents of one query by the sum of 1 / (constant + rank) over several rankings.

    Args:
        rankings: document numbers, int64, shape (n,), best first; each may have its own length. A document that comes
            twice in one ranking counts at its better rank only.
        k: at least 1; more than there are documents gives all of them.
        constant: how little the first ranks stand out; at least 0.

    Returns:
        Documents and summed scores, shape (1, min(k, n_documents)), best first; equal scores keep the lower number
        first. The order of the rankings does not matter.

    Raises:
        InputError: ``k`` is below 1 or ``constant`` below 0.
    """
    if k < 1 or constant < 0:
        raise InputError(f"found k {k} and constant {constant}; expected k of at least 1 and a constant of at least 0")
    documents, ranks = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for ranking in rankings:
        _, first = np.unique(ranking, return_index=True)
        documents.append(ranking[np.sort(first)].astype(np.int64))
        ranks.append(np.arange(1, len(first) + 1))
    all_documents, all_ranks = np.concatenate(documents), np.concatenate(ranks)
    # Summed in the order of the ranks, so that the last bit does not depend on the order of the rankings.
    order = np.lexsort((all_ranks, all_documents))
    found, positions = np.unique(all_documents[order], return_inverse=True)
    sums = np.zeros(len(found), dtype=np.float64)
    np.add.at(sums, positions, 1.0 / (constant + all_ranks[order]))
    scores = sums.astype(np.float32)
    best = np.argsort(-scores, kind="stable")[:k]
    return TopK(rows=found[best][None, :], scores=scores[best][None, :])
