"""Where chance starts."""

from routeret.errors import InputError


def require_seed(seed: int) -> None:
    """Do nothing if chance can start at a seed.

    Raises:
        InputError: it is below 0.
    """
    if seed < 0:
        raise InputError(f"the seed is {seed}, expected a whole number of at least 0")
