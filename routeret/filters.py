"""Metadata filters: how they are written.

A filter is a mapping of JSON values: ``{"lang": "en", "year": {"gte": 2020}}``; ``docs/filters.md`` tells the language.
What is read becomes a :data:`~routeret.conditions.Filter`, whose ``matches`` says what it means.
"""

import difflib
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from routeret.conditions import AllOf, AnyOf, Exists, Filter, InRange, Limit, Not, OneOf, Value, fits
from routeret.errors import InputError
from routeret.repeats import first_repeated

LONGEST_LIMIT = 256
"""How many bytes of UTF-8 a string may have that values are compared with by order."""

_RANGE = ("gt", "gte", "lt", "lte")
_OPERATORS = ("eq", "ne", *_RANGE, "in", "not_in", "any", "all", "exists")
_DEEPEST = 32
_EXAMPLE = '{"lang": "en", "year": {"gte": 2020}}'


def parse_filter(value: Filter | Mapping[str, Any]) -> Filter:
    """Read a filter from JSON values; one that was read already stays as it is.

    Raises:
        InputError: it is not a filter; the message says what was found where, and what was expected.
    """
    return value if isinstance(value, Filter) else _parse(value, "", depth=0)


def read_filter(text: str) -> Filter:
    """Read a filter from JSON text, as it stands on a command line.

    Raises:
        InputError: the text is not JSON, names a field twice in one mapping, or is not a filter.
    """
    try:
        value = json.loads(text, object_pairs_hook=_mapping)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"the filter {reprlib.repr(text)} is not valid JSON ({error}); write it like '{_EXAMPLE}', in single "
            f"quotes for the shell"
        ) from error
    return parse_filter(value)


def _parse(value: object, place: str, *, depth: int) -> Filter:
    if depth > _DEEPEST:
        raise InputError(f"{_at(place)} is more than {_DEEPEST} levels deep; write it flatter")
    parts = [_entry(name, operand, place, depth=depth) for name, operand in _filled(value, place).items()]
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _entry(name: str, operand: object, place: str, *, depth: int) -> Filter:
    place = f"{place}.{name}" if place else name
    if name in ("and", "or"):
        parts = tuple(
            _parse(part, f"{place}[{number}]", depth=depth + 1)
            for number, part in enumerate(_list(operand, place, of="filters"))
        )
        return AllOf(parts) if name == "and" else AnyOf(parts)
    if name == "not":
        return Not(_parse(operand, place, depth=depth + 1))
    if not isinstance(operand, Mapping):
        return OneOf(name, frozenset([_value(operand, place)]))
    conditions = _filled(operand, place)
    for found in conditions:
        if found not in _OPERATORS:
            raise _unknown_operator(found, place)
    limits = {side: conditions[side] for side in conditions if side in _RANGE}
    parts = tuple(
        _condition(name, side, conditions[side], f"{place}.{side}") for side in conditions if side not in limits
    )
    if limits:
        parts = (*parts, InRange(name, _limits(limits, place)))
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _condition(name: str, found: str, operand: object, place: str) -> Filter:
    if found == "exists":
        if not isinstance(operand, bool):
            raise InputError(f"{_at(place)} is {_describe(operand)}, expected true or false")
        return Exists(name) if operand else Not(Exists(name))
    if found in ("eq", "ne"):
        one: Filter = OneOf(name, frozenset([_value(operand, place)]))
        return one if found == "eq" else Not(one)
    values = [
        _value(value, f"{place}[{number}]") for number, value in enumerate(_list(operand, place, of="single values"))
    ]
    if found == "all":
        parts = tuple(OneOf(name, frozenset([value])) for value in dict.fromkeys(values))
        return parts[0] if len(parts) == 1 else AllOf(parts)
    some = OneOf(name, frozenset(values))
    return Not(some) if found == "not_in" else some


def _limits(limits: Mapping[str, object], place: str) -> frozenset[Limit]:
    read = [Limit(side, _limit(operand, f"{place}.{side}")) for side, operand in limits.items()]
    if len({limit.value.kind for limit in read}) > 1:
        kinds = " and ".join(f"{limit.value.kind.value} ({limit.operator})" for limit in read)
        raise InputError(f"{_at(place)} compares with {kinds}, and no value is within both; give limits of one kind")
    return frozenset(read)


def _limit(operand: object, place: str) -> Value:
    if isinstance(operand, bool) or not isinstance(operand, str | int | float):
        raise InputError(f"{_at(place)} is {_describe(operand)}, expected a number or a string")
    value = _value(operand, place)
    if isinstance(operand, str) and len(operand.encode("utf-8", "surrogatepass")) > LONGEST_LIMIT:
        raise InputError(
            f"{_at(place)} is a string of more than {LONGEST_LIMIT} bytes; values are compared by their order with "
            f"shorter ones only: cut it"
        )
    return value


def _value(operand: object, place: str) -> Value:
    if isinstance(operand, list | tuple):
        raise InputError(
            f"{_at(place)} is a list, expected one value; write {{'any': [...]}} for one of several, {{'all': [...]}} "
            f"for all of them"
        )
    if not isinstance(operand, str | int | float | None):
        raise InputError(f"{_at(place)} is {_describe(operand)}, expected a string, a number, true, false or null")
    if isinstance(operand, float) and not math.isfinite(operand):
        raise InputError(f"{_at(place)} is {operand}, expected a finite number")
    if isinstance(operand, int) and not fits(operand):
        raise InputError(
            f"{_at(place)} is an integer beyond 64 bits, which is not compared exactly; keep such numbers as strings"
        )
    return Value.of(operand)


def _filled(found: object, place: str) -> Mapping[str, object]:
    if not isinstance(found, Mapping):
        raise InputError(f"{_at(place)} is {_describe(found)}, expected a mapping such as {_EXAMPLE}")
    if not found:
        raise InputError(f"{_at(place)} is empty, expected at least one condition; leave out what shall not count")
    for name in found:
        if not isinstance(name, str):
            raise InputError(f"{_at(place)} has the name {_describe(name)}, expected strings as names")
    return found


def _list(found: object, place: str, *, of: str) -> Sequence[object]:
    if not isinstance(found, list | tuple):
        raise InputError(f"{_at(place)} is {_describe(found)}, expected a list of {of}")
    if not found:
        raise InputError(f"{_at(place)} is an empty list, expected at least one of its {of}")
    return found


def _unknown_operator(found: str, place: str) -> InputError:
    hint = f"a field inside {place!r} is written with a dot: '{place}.{found}'"
    if found in ("and", "or", "not"):
        hint = f"write {{{found!r}: ...}} around the field"
    elif near := difflib.get_close_matches(found, _OPERATORS, n=1, cutoff=0.7):
        hint = f"did you mean {near[0]!r}?"
    return InputError(
        f"{_at(place)} has the operator {reprlib.repr(found)}, expected one of {', '.join(_OPERATORS)}; {hint}"
    )


def _mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; ``json`` would silently keep the last of several equal names."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = first_repeated(names)
        raise InputError(f"the filter names {twice!r} twice in one mapping; join the two with 'and' or 'or'")
    return mapping


def _at(place: str) -> str:
    return f"filter {place}" if place else "the filter"


def _describe(found: object) -> str:
    if found is None or isinstance(found, bool):
        return json.dumps(found)
    if isinstance(found, str):
        return f"the string {reprlib.repr(found)}"
    if isinstance(found, int | float):
        return f"the number {reprlib.repr(found)}"
    if isinstance(found, Mapping):
        return "a mapping"
    return "a list" if isinstance(found, list | tuple) else f"a {type(found).__name__}"
