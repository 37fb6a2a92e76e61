"""Numbers of recipes: all of them finite, and those that have a range within it."""

import math
from dataclasses import fields
from typing import TYPE_CHECKING, SupportsFloat

from routeret.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def is_finite(value: object) -> bool:
    """Whether a value is a number that is neither NaN nor larger than a float can be."""
    try:
        return isinstance(value, SupportsFloat) and math.isfinite(value)
    except OverflowError:
        return False


def require_finite(recipe: "DataclassInstance") -> None:
    """Do nothing if all numbers of a recipe are finite, those in tuples too.

    Raises:
        InputError: one is not; its field is named.
    """
    for one in fields(recipe):
        value = getattr(recipe, one.name)
        if isinstance(value, SupportsFloat) and not is_finite(value):
            raise InputError(f"{one.name} is {value}, expected a finite number")
        if isinstance(value, tuple) and any(isinstance(part, SupportsFloat) and not is_finite(part) for part in value):
            raise InputError(f"{one.name} is {value}, expected finite numbers")


def require_above_zero(recipe: "DataclassInstance", *names: str) -> None:
    """Do nothing if some numbers of a recipe are above 0.

    Args:
        recipe: the recipe.
        names: of the fields.

    Raises:
        InputError: one is not; its field is named.
    """
    for name in names:
        if not getattr(recipe, name) > 0:
            raise InputError(f"{name} is {getattr(recipe, name)}, expected more than 0")


def require_at_least_zero(recipe: "DataclassInstance", *names: str) -> None:
    """Do nothing if some numbers of a recipe are 0 or above.

    Args:
        recipe: the recipe.
        names: of the fields.

    Raises:
        InputError: one is not; its field is named.
    """
    for name in names:
        if not getattr(recipe, name) >= 0:
            raise InputError(f"{name} is {getattr(recipe, name)}, expected at least 0")
