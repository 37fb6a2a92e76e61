"""The smallest pieces that a span is made of: sentences, or the words of a sentence that is too long.

semantic-text-splitter finds the sentences, by the rules of Unicode (UAX #29). It packs pieces greedily, and its time
grows with the square of what it is given, so it is asked for sentences only, about a thousand characters at a time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from routeret.chunking.chunker import Span

LIBRARY = "semantic-text-splitter"

INSIDE_WORD, SPACE, LINE, SENTENCE, SENTENCE_LINE, PARAGRAPH = range(6)
"""What lies before a unit, from the worst place for a cut to the best."""

_BLOCK = 1024
_BLANK_LINES = re.compile(r"(?>\r\n|\r|\n)[^\S\r\n]*[\r\n]\s*")
# The last four are white space to Python, but not to Unicode.
_AS_SPACE = dict.fromkeys(map(ord, "\r\n\x1c\x1d\x1e\x1f"), " ")
_PARAGRAPH_SEPARATOR = "\u2029"
_MARK = "X" + _PARAGRAPH_SEPARATOR
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of a text, without white space around it.

    Attributes:
        start: its first character.
        end: behind its last character.
        level: what lies before it, from ``INSIDE_WORD`` to ``PARAGRAPH``.
    """

    start: int
    end: int
    level: int


def library() -> str:
    """Name and version of the library that decides where sentences end."""
    from importlib.metadata import version

    return f"{LIBRARY} {version(LIBRARY)}"


def units_of(text: str, *, size: int) -> list[Unit]:
    """The units of a text, in order; together they hold everything but white space.

    Args:
        text: any text.
        size: a sentence of more characters comes as its words, a word of more characters in parts.
    """
    units: list[Unit] = []
    end_before = 0
    for start, end in sentence_spans(text):
        level = _level(text[end_before:start], at_sentence=True)
        units += _within(text, Unit(start, end, level), size)
        end_before = end
    return units


def sentence_spans(text: str, *, block: int = _BLOCK) -> list[Span]:
    """Start and end of every sentence, without white space around it.

    A line end inside a sentence does not end it, since prose is often wrapped by hand; a blank line does.

    Args:
        text: any text.
        block: how many characters to look at in one step; more where one sentence is longer.
    """
    joined = _BLANK_LINES.sub(lambda found: _PARAGRAPH_SEPARATOR * len(found[0]), text).translate(_AS_SPACE)
    sentences: list[Span] = []
    start, length = 0, block
    while start < len(joined):
        end = start + length
        found = [(start + first, start + last) for first, last in _sentences_at_once(joined[start:end])]
        if end >= len(joined):
            return sentences + found
        if len(found) == 1:
            length *= 2
            continue
        # The last one may go on behind the block: the next step begins with it.
        start, length = (found.pop()[0] if found else end), block
        sentences += found
    return sentences


def _sentences_at_once(text: str) -> list[Span]:
    """Sentences of a text without line ends.

    The splitter takes the largest pieces that fit, and from a capacity that starts at 1 it never joins two. Without
    line ends the only piece larger than a sentence is the whole text; the mark before it, a sentence of its own,
    makes the whole one character too long, even where the text is a single sentence.
    """
    from semantic_text_splitter import TextSplitter

    marked = _MARK + text
    splitter = TextSplitter((1, len(marked) - 1)) if text else None
    pieces = splitter.chunk_indices(marked)[1:] if splitter else []
    return [(start - len(_MARK), start - len(_MARK) + len(piece)) for start, piece in pieces]


def _level(gap: str, *, at_sentence: bool) -> int:
    if _BLANK_LINES.search(gap):
        return PARAGRAPH
    has_line_end = "\n" in gap or "\r" in gap
    if at_sentence:
        return SENTENCE_LINE if has_line_end else SENTENCE
    return LINE if has_line_end else SPACE


def _within(text: str, sentence: Unit, size: int) -> Iterator[Unit]:
    """The sentence itself, or its words where it is longer than ``size``."""
    if sentence.end - sentence.start <= size:
        yield sentence
        return
    words = [found.span() for found in _WORD.finditer(text, sentence.start, sentence.end)]
    levels = [_level(text[before[1] : after[0]], at_sentence=False) for before, after in pairwise(words)]
    for (start, end), level in zip(words, [sentence.level, *levels], strict=True):
        parts = [(start, end)] if end - start <= size else _parts_of_word(text, start, end, size)
        yield Unit(*parts[0], level)
        yield from (Unit(*part, INSIDE_WORD) for part in parts[1:])


def _parts_of_word(text: str, start: int, end: int, size: int) -> list[Span]:
    """Parts of a text without white space, at word and letter boundaries of Unicode."""
    from semantic_text_splitter import TextSplitter

    splitter = TextSplitter(size)
    blocks = range(start, end, max(_BLOCK, size))
    return [
        (block + offset, block + offset + len(part))
        for block in blocks
        for offset, part in splitter.chunk_indices(text[block : min(block + blocks.step, end)])
    ]
