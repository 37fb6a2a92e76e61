"""Sections by Markdown headings."""

import re
from dataclasses import dataclass, field
from typing import Any

from routeret.chunking.chunker import Span, fingerprint_of
from routeret.chunking.packing import RULES, windows
from routeret.chunking.sentences import check_size
from routeret.chunking.units import library
from routeret.types import Document

_BLOCK_START = re.compile(
    r"^ {0,3}(?:"
    r"(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})"
    r"|#{1,6}(?:[ \t].*)?$"
    r"|(?P<underlined>[^\s#>|`~*+-].*)\r?\n {0,3}(?:=+|-{2,})[ \t]*\r?$"
    r")",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class MarkdownHeadings:
    """Cuts a text into one span a section, from its heading to the next heading of any level.

    Headings are lines of ``#`` to ``######`` and lines underlined by ``=`` or ``-``, outside fenced code. A heading
    without a word of its own text joins the section behind it. A section longer than ``size`` is cut further, at
    paragraphs, lines and sentences, as :class:`routeret.chunking.SentenceWindows` does without overlap.

    Attributes:
        size: the most characters of a span, at least 20.
    """

    size: int = field(default=1000, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse sizes that no span can have.

        Raises:
            InputError: ``size`` is not an integer of at least 20.
        """
        check_size(self.size)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, the same on every machine with the same version of the splitter."""
        return fingerprint_of(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the splitter's version among them."""
        return {"kind": "markdown", "size": self.size, "rules": RULES, "library": library()}

    def spans(self, document: Document) -> list[Span]:
        """The sections of a document's text, long ones in parts."""
        text = document.text
        if not text.strip():
            return [(0, len(text))]
        return [
            (start + first, start + last)
            for start, end in _sections(text)
            for first, last in windows(text[start:end], size=self.size, overlap=0)
        ]


def _sections(text: str) -> list[Span]:
    """Where sections begin and end; together they are the whole text."""
    starts = [0]
    behind_heading = 0
    for start, end in _headings(text):
        if any(map(str.isalnum, text[behind_heading:start])):
            starts.append(start)
        behind_heading = end
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _headings(text: str) -> list[Span]:
    """Start and end of every heading, outside fenced code."""
    headings: list[Span] = []
    position = 0
    while found := _BLOCK_START.search(text, position):
        position = found.end()
        if found["fence"]:
            position = _behind_fence(text, position, found["fence"])
        else:
            headings.append(found.span())
    return headings


def _behind_fence(text: str, position: int, fence: str) -> int:
    """Where the code behind an opening fence ends; the end of the text for a fence that is never closed."""
    closing = re.compile(rf"^ {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*\r?$", re.MULTILINE)
    found = closing.search(text, position)
    return found.end() if found else len(text)
