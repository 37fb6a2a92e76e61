"""Units packed into spans whose ends the text itself decides, so that an edit moves few of them.

Filling one span after the other can move every cut behind an edit. Here a span may end anywhere in the second half of
its room, and ends at the best of these places: a paragraph's end before a sentence's, and among equals the one before
the characters of the highest hash. Where a place is best does not depend on where the span began, so two versions of a
text agree on a cut soon after an edit, and on everything behind it.

This is content-defined chunking (Muthitacharoen, Chen and Mazieres, "A low-bandwidth network file system", SOSP 2001,
section 3.1), with a highest hash in place of a fixed pattern (Bjorner, Blass and Gurevich, "Content-dependent chunking
for differential compression, the local maximum approach", Journal of Computer and System Sciences 76, 2010).
"""

from zlib import crc32

from routeret.chunking.chunker import Span
from routeret.chunking.units import SENTENCE, Unit, units_of

RULES = 1
"""Stands in fingerprints; another number whenever the same text is cut in other places."""

_READ_BEHIND = 64
"""Characters behind a place that decide how good it is for a cut: enough that places seldom tie."""


def windows(text: str, *, size: int, overlap: int) -> list[Span]:
    """Spans that hold every character of a text that is not white space, none of more than ``size`` characters.

    Args:
        text: not blank.
        size: the most characters of a span.
        overlap: the most characters that a span repeats of the one before; at most half of ``size``.
    """
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if end - start <= size:
        return [(start, end)]
    return packed(text, units_of(text, size=size), size=size, overlap=overlap)


def packed(text: str, units: list[Unit], *, size: int, overlap: int) -> list[Span]:
    """Spans of whole units, in order, each unit in at least one.

    Args:
        text: what the units are of.
        units: in order; none longer than ``size``.
        size: the most characters of a span.
        overlap: the most characters that a span repeats of the one before; at most half of ``size``.
    """
    spans: list[Span] = []
    first = 0
    while first < len(units):
        start = _start(units, first, size, overlap, spans[-1]) if spans else units[first].start
        after = _after(text, units, first, start, size, (size - overlap) // 2)
        spans.append((start, units[after - 1].end))
        first = after
    return spans


def _start(units: list[Unit], first: int, size: int, overlap: int, before: Span) -> int:
    """Where a span begins whose first new unit is ``first``: at a sentence of the span before, if it fits."""
    new = units[first]
    earliest = max(new.start - overlap, new.end - size, before[0] + 1)
    low = first
    while low and units[low - 1].start >= earliest:
        low -= 1
    return max(units[low : first + 1], key=lambda unit: (min(unit.level, SENTENCE), -unit.start)).start


def _after(text: str, units: list[Unit], first: int, start: int, size: int, least: int) -> int:
    """The unit that the next span begins with."""
    last = units[-1].end
    if last - start <= size:
        return len(units)
    full = first + 1
    while units[full].end - start <= size:
        full += 1
    # A cut at index i puts unit i into the next span.
    enough = [
        cut
        for cut in range(first + 1, full + 1)
        if units[cut - 1].end - units[first].start >= least and last - units[cut].start >= least
    ]
    if not enough:
        return full
    return max(enough, key=lambda cut: (units[cut].level, _hash(text, units[cut].start), cut))


def _hash(text: str, place: int) -> int:
    return crc32(text[place : place + _READ_BEHIND].encode())
