"""Conditions on metadata: the parts that filters are made of, and what they mean for one document.

``matches`` says what a condition means, plainly and slowly. Whatever finds documents faster must agree with it.
"""

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


class Kind(Enum):
    """The kinds of single JSON values; values of two kinds are never equal and have no order."""

    NULL = "null"
    BOOLEAN = "true or false"
    NUMBER = "a number"
    STRING = "a string"


@dataclass(frozen=True, slots=True)
class Value:
    """A single JSON value and its kind, so that ``True`` differs from ``1``, while ``1`` equals ``1.0``."""

    kind: Kind
    content: Any

    @classmethod
    def of(cls, content: Any) -> "Value":  # noqa: ANN401 - any single JSON value
        """A value as ``json.loads`` gives it; integers beyond 64 bits become the nearest float."""
        if content is None:
            return cls(Kind.NULL, None)
        if isinstance(content, bool):
            return cls(Kind.BOOLEAN, content)
        if isinstance(content, str):
            return cls(Kind.STRING, content)
        return cls(Kind.NUMBER, plain_number(content))


@dataclass(frozen=True, slots=True)
class OneOf:
    """Some value of a field is one of these."""

    field: str
    values: frozenset[Value]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is meant."""
        return any(value in self.values for value in _values(metadata, self.field))


@dataclass(frozen=True, slots=True)
class Limit:
    """One side of a range: ``gt``, ``gte``, ``lt`` or ``lte``, and a number or a string."""

    operator: str
    value: Value

    def holds(self, value: Value) -> bool:
        """Whether a value is of the same kind and on the right side."""
        return value.kind is self.value.kind and bool(_COMPARE[self.operator](value.content, self.value.content))


@dataclass(frozen=True, slots=True)
class InRange:
    """One and the same value of a field is within all limits; they are of one kind, at most one an operator."""

    field: str
    limits: frozenset[Limit]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is meant."""
        return any(all(limit.holds(value) for limit in self.limits) for value in _values(metadata, self.field))


@dataclass(frozen=True, slots=True)
class Exists:
    """A document has a field, or fields inside it, whatever they hold."""

    field: str

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is meant."""
        return any(
            key == rest or key.startswith(f"{rest}.") for inner, rest in _ways(metadata, self.field) for key in inner
        )


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part matches."""

    parts: tuple["Filter", ...]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is meant."""
        return all(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part matches."""

    parts: tuple["Filter", ...]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is meant."""
        return any(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match."""

    part: "Filter"

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with this metadata is meant."""
        return not self.part.matches(metadata)


Filter = OneOf | InRange | Exists | AllOf | AnyOf | Not
"""A filter that was read. It can be hashed, and equal filters find the same documents."""


def leaves(wanted: Filter) -> Iterator[OneOf | InRange | Exists]:
    """The conditions on single fields inside a filter, in the order in which they were written."""
    if isinstance(wanted, AllOf | AnyOf):
        for part in wanted.parts:
            yield from leaves(part)
    elif isinstance(wanted, Not):
        yield from leaves(wanted.part)
    else:
        yield wanted


def plain_number(number: int | float) -> int | float:  # noqa: PYI041 - the two are compared in their own ways
    """A number as it is kept and compared: an integer beyond 64 bits becomes the nearest float."""
    if isinstance(number, float) or fits(number):
        return number
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def fits(number: int) -> bool:
    """Whether an integer has at most 64 bits, so that it is kept and compared exactly."""
    return -(1 << 63) <= number < 1 << 63


def _values(metadata: Mapping[str, Any], name: str) -> Iterator[Value]:
    """Every single value of a field; a list stands for its elements, also inside other lists."""
    for mapping, rest in _ways(metadata, name):
        if rest in mapping:
            yield from (Value.of(value) for value in _elements(mapping[rest]) if not isinstance(value, Mapping))


def _ways(metadata: Mapping[str, Any], name: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The metadata and all mappings inside on the way to a dotted name, and what of the name is left there."""
    pending = [(metadata, name)]
    while pending:
        mapping, rest = pending.pop()
        yield mapping, rest
        for key, value in mapping.items():
            if rest.startswith(f"{key}."):
                left = rest[len(key) + 1 :]
                pending.extend((inner, left) for inner in _elements(value) if isinstance(inner, Mapping))


def _elements(value: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON value
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, list | tuple):
            pending.extend(value)
        else:
            yield value
