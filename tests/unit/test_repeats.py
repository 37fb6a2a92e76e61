"""The first name that comes twice."""

import pytest

from routeret.repeats import first_repeated


@pytest.mark.parametrize(
    ("names", "found"), [((), None), (("a", "b"), None), (("a", "b", "c", "c", "b"), "b"), (["", ""], "")]
)
def test_the_first_name_that_comes_twice(names, found):
    assert first_repeated(names) == found
