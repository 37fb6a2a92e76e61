"""Which structure suits how many rows."""

from math import log2

EXACT = "exact"
"""The name of what has no structure: the vectors are held in memory and all of them are looked at."""

EXACT_ROWS = 25_000
"""Below this one matrix product takes about a millisecond on one core, and a structure gains nothing worth having."""

_TRAINED_ROWS = 60_000
_SCALAR = "SQ8"


def factories(n_rows: int, dim: int) -> tuple[str, ...]:
    """The FAISS factory strings to try, the fastest first; empty where exact search is best.

    Scalar quantisation learns two numbers a dimension, so it is made in no time and reaches every recall. From some
    ten thousand rows on, inverted lists of 4-bit product codes, half a byte for every two dimensions, are several
    times faster, alone and in batches; where they miss the recall, scalar quantisation stands behind them.

    Args:
        n_rows: how many rows.
        dim: length of a vector.
    """
    if n_rows < EXACT_ROWS:
        return ()
    n_codes = _codes(dim)
    if n_rows < _TRAINED_ROWS or not n_codes:
        return (_SCALAR,)
    # The square root of the rows: about as much work to find the lists as to read them, and little to train.
    n_lists = 2 ** round(log2(n_rows) / 2)
    return f"IVF{n_lists},PQ{n_codes}x4fs", _SCALAR


def _codes(dim: int) -> int:
    """How many codes a vector gets, two to four dimensions each; 0 where the length has no such divisor."""
    return next((dim // width for width in (2, 3, 4) if dim % width == 0), 0)
