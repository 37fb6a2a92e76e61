"""Which structure suits how many rows."""

from math import log2

EXACT = "exact"
"""The name of what has no structure: 8-bit codes of the vectors are held in memory, and all of them are looked at."""

EXACT_ROWS = 10_000
"""Below this one product of all codes takes less than a millisecond on one core, and batches gain nothing."""

_LISTS_ROWS = 200_000
_SCALAR = "SQ8"


def factories(n_rows: int, dim: int) -> tuple[str, ...]:
    """The FAISS factory strings to try, the fastest first; empty where exact search is best.

    4-bit product codes, half a byte for every two dimensions, are learned in a second from a few rows, and looked at
    many times as fast as the vectors themselves. Inverted lists spare most of the codes, but queries that experts
    have moved want nearly all lists, and then lists cost more than they spare: only many rows get some. Where product
    codes miss the recall, scalar quantisation stands behind them, which reaches every recall.

    Args:
        n_rows: how many rows.
        dim: length of a vector.
    """
    if n_rows < EXACT_ROWS:
        return ()
    n_codes = _codes(dim)
    if not n_codes:
        return (_SCALAR,)
    if n_rows < _LISTS_ROWS:
        return f"PQ{n_codes}x4fs", _SCALAR
    # The square root of the rows: about as much work to find the lists as to read them, and little to train.
    n_lists = 2 ** round(log2(n_rows) / 2)
    return f"IVF{n_lists},PQ{n_codes}x4fs", _SCALAR


def _codes(dim: int) -> int:
    """How many codes a vector gets, two to four dimensions each; 0 where the length has no such divisor."""
    return next((dim // width for width in (2, 3, 4) if dim % width == 0), 0)
