"""Names that must differ, and one that comes twice."""

from collections.abc import Sequence


def first_repeated(names: Sequence[str]) -> str | None:
    """The first of some names that comes more than once; None where each comes once."""
    return next((name for name in names if names.count(name) > 1), None)
