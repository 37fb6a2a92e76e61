"""Ranges one after the other, against counting."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routeret.ranges import expanded


def test_ranges_by_hand():
    assert expanded(np.array([5, 2, 9, 0]), np.array([3, 1, 0, 2])).tolist() == [5, 6, 7, 2, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5)), max_size=8))
def test_any_ranges(ranges):
    starts, counts = (np.array([one[place] for one in ranges], dtype=np.int64) for place in (0, 1))
    found = expanded(starts, counts)
    assert found.dtype == np.int64
    assert found.tolist() == [number for start, count in ranges for number in range(start, start + count)]
