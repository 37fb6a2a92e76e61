"""Whole numbers of many ranges, one range after the other."""

import numpy as np

from routeret.types import IntArray


def expanded(starts: IntArray, counts: IntArray) -> IntArray:
    """The numbers of some ranges: 5, 6, 7 and 2 of ranges from 5 and 2 with 3 and 1 numbers.

    Args:
        starts: int64, shape (n_ranges,); the first number of each.
        counts: int64, shape (n_ranges,); how many each has, at least 0.

    Returns:
        int64, shape (sum of counts,).
    """
    behind = np.cumsum(counts, dtype=np.int64)
    n_numbers = int(behind[-1]) if len(behind) else 0
    numbers: IntArray = np.arange(n_numbers, dtype=np.int64) + np.repeat(starts - (behind - counts), counts)
    return numbers
