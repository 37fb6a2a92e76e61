"""Folds for cross-validation, where the same query twice is never on both sides."""

import numpy as np

from routeret.errors import InputError
from routeret.types import FloatArray, IntArray

N_FOLDS = 5

SAME_QUERY = 1 - 1e-5
"""From this cosine on, two vectors are one query: the same text in another batch differs by about 1e-7."""

_BLOCK = 512


def folds_of(queries: FloatArray, *, seed: int) -> IntArray:
    """The fold of every query, int64, shape (n_queries,); queries that are the same share one.

    Args:
        queries: float32, shape (n_queries, dim).
        seed: of the draw of folds, at least 0.

    Raises:
        InputError: all queries are the same, so there is nothing to validate on.
    """
    group = _groups(queries)
    n_groups = int(group.max()) + 1
    if n_groups < 2:  # noqa: PLR2004 - one side is judged by what the other one taught
        raise InputError(f"all {len(queries)} labelled queries are the same; expected at least 2 that differ")
    fold_by_group = np.random.default_rng(seed).permutation(n_groups) % min(N_FOLDS, n_groups)
    folds: IntArray = fold_by_group[group].astype(np.int64)
    return folds


def _groups(queries: FloatArray) -> IntArray:
    """A number for every query, shape (n_queries,); the same for queries that are linked by nearly equal ones."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # Equal vectors first, so that one text asked a thousand times is not a million links.
    distinct, place = np.unique(queries, axis=0, return_inverse=True)
    lengths = np.linalg.norm(distinct, axis=1, keepdims=True)
    directions = distinct / np.maximum(lengths, np.finfo(np.float32).tiny)
    links = [_links(directions, start) for start in range(0, len(directions), _BLOCK)]
    pairs = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(len(distinct), len(distinct)))
    _, group = connected_components(graph, directed=False)
    groups: IntArray = group.astype(np.int64)[place]
    return groups


def _links(directions: FloatArray, start: int) -> IntArray:
    """The pairs of a block of directions with all behind it that are nearly equal, shape (2, n_pairs)."""
    rows, columns = np.nonzero(directions[start : start + _BLOCK] @ directions[start:].T >= SAME_QUERY)
    return np.stack([rows, columns]) + start
