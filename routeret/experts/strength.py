"""How strongly an expert of the base's space changes a query."""

import numpy as np

from routeret.errors import InputError
from routeret.types import FloatArray, QueryBatch

_TINY = np.finfo(np.float32).tiny


def applied(base: FloatArray, shift: FloatArray, *, strengths: FloatArray, unit_length: bool) -> FloatArray:
    """Give base + strength * shift.

    Args:
        base: float32, shape (n_queries, dim).
        shift: float32, same shape; what the expert adds to every query at strength 1.
        strengths: float32, shape (n_queries,); a query at 0 keeps its base vector to the last bit.
        unit_length: bring the others to length 1.
    """
    vectors = np.asarray(base + strengths[:, None].astype(np.float32, copy=False) * shift, dtype=np.float32)
    if unit_length:
        lengths = np.sqrt(np.vecdot(vectors, vectors))
        vectors /= np.maximum(lengths, _TINY)[:, None]
    np.copyto(vectors, base, where=strengths[:, None] == 0)
    return vectors


def checked_base(queries: QueryBatch, *, strengths: FloatArray, dim: int, expert: str) -> FloatArray:
    """The base embeddings of a batch, float32, shape (n_queries, dim).

    Args:
        queries: the batch.
        strengths: one a query.
        dim: of the expert's space.
        expert: its name.

    Raises:
        InputError: the shapes do not fit, or a strength is below 0 or not finite.
    """
    base = np.asarray(queries.base, dtype=np.float32)
    require_dim(base, dim, expert=expert)
    if strengths.shape != (len(base),):
        raise InputError(f"strengths have shape {strengths.shape}, expected ({len(base)},): one a query")
    # Whatever is compared with NaN is False.
    if not (strengths.min(initial=0) >= 0 and strengths.max(initial=0) < np.inf):
        raise InputError(f"strengths lie in {strengths.min()} to {strengths.max()}, expected at least 0")
    return base


def require_dim(base: FloatArray, dim: int, *, expert: str) -> None:
    """Do nothing if an expert can read base embeddings.

    Raises:
        InputError: they are no vectors of its dimension.
    """
    if base.ndim != 2 or base.shape[1] != dim:
        raise InputError(f"queries have shape {base.shape}, expert {expert!r} reads (n, {dim})")


def require_strength(strength: float, *, expert: str) -> None:
    """Do nothing if an expert can have this strength.

    Raises:
        InputError: it is not a number above 0.
    """
    if not (np.isfinite(strength) and strength > 0):
        raise InputError(f"expert {expert!r} has strength {strength}, expected a number above 0")
