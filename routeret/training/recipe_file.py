"""Recipes in TOML files: their fields are read, and what is no field or of another type is named."""

import tomllib
import types
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from routeret.errors import InputError
from routeret.training.recipe_numbers import is_finite

Recipe = TypeVar("Recipe")

NONE = "none"
"""What stands for None in a field that may be None, since TOML has no word for it."""


def read_toml(path: Path, *, what: str) -> dict[str, Any]:
    """The fields of a TOML file.

    Args:
        path: the file.
        what: a word for the file in messages.

    Raises:
        InputError: it is missing, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the {what} {path} cannot be read: {error}") from error


def require_fields(
    table: Mapping[str, Any], *, known: Collection[str], needed: Collection[str] = (), where: str
) -> None:
    """Do nothing if a table has the fields that are needed, and none that is unknown.

    Args:
        table: by field.
        known: the fields that it may have.
        needed: those that it must have.
        where: words for the table in messages.

    Raises:
        InputError: a field is missing or unknown; it is named.
    """
    if unknown := [name for name in table if name not in known]:
        raise InputError(f"{where} has the unknown field {unknown[0]!r}; its fields are {', '.join(known)}")
    if missing := [name for name in needed if name not in table]:
        raise InputError(f"{where} lacks the field {missing[0]!r}; compare it with one that works")


def require_tables(value: object, *, name: str, where: str) -> None:
    """Do nothing if a field is a list of tables.

    Args:
        value: of the field.
        name: of the field.
        where: words for the table that has it.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputError(f"{where} has {name} = {value!r}, expected tables: begin each with [[{name}]]")


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """The names of the fields of a dataclass, in order."""
    return tuple(one.name for one in fields(kind))


def recipe_of(kind: type[Recipe], table: Mapping[str, Any], *, where: str) -> Recipe:
    """A recipe from a table that was read from TOML; what the table leaves out has its default.

    Where a field may be None, the text ``"none"`` stands for it.

    Args:
        kind: a dataclass whose fields are numbers, words, closed choices, and tuples of them, or None.
        table: by field.
        where: words for the table in messages.

    Raises:
        InputError: a field is unknown, its value is of another type or not finite, or the recipe refuses it; the field
            is named.
    """
    require_fields(table, known=field_names(kind), where=where)
    hints = get_type_hints(kind)
    values = {name: _meant(value, hints[name]) for name, value in table.items()}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise InputError(
                f"{where} holds a value of the wrong type: {name} is {table[name]!r}, expected {_words(hints[name])}"
            )
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where} cannot be used: {error}") from error


def _meant(value: object, hint: Any) -> object:  # noqa: ANN401 - a type as annotations have it
    """What a value of a file stands for."""
    if value == NONE and _may_be_none(hint):
        return None
    return tuple(value) if isinstance(value, list) else value


def _may_be_none(hint: Any) -> bool:  # noqa: ANN401 - a type as annotations have it
    return type(None) in get_args(hint)


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - a type as annotations have it
    """Whether a value is of an annotated type; a whole number is a number, and a truth value is none."""
    options = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, option) for option in options)
    if get_origin(hint) is Literal:
        return value in options
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(one, options[0]) for one in value)
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return is_finite(value) if hint is float else isinstance(value, hint)


def _words(hint: Any) -> str:  # noqa: ANN401 - a type as annotations have it
    """Words for an annotated type, as a file can hold it."""
    options = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        words = [_words(option) for option in options if option is not type(None)]
        return " or ".join([*words, f'"{NONE}"'] if _may_be_none(hint) else words)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, options))}"
    if get_origin(hint) is tuple:
        return f"a list, each {_words(options[0])}"
    return {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}[hint]
