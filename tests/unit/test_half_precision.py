"""Half precision is read as NumPy reads it, whatever the order in memory."""

import numpy as np
import pytest

from routeret.half_precision import in_single_precision


def test_every_number_of_half_precision_is_read_as_numpy_reads_it():
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    found = in_single_precision(numbers)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, numbers.astype(np.float32))


@pytest.mark.parametrize("change", [np.transpose, np.asfortranarray, lambda one: one[::2, 1:], lambda one: one[:0]])
def test_numbers_may_lie_in_any_order(change):
    numbers = change(np.arange(12, dtype=np.float16).reshape(4, 3))
    np.testing.assert_array_equal(in_single_precision(numbers), numbers.astype(np.float32))
