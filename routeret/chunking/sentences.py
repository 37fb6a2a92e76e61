"""Windows of sentences."""

from dataclasses import dataclass, field
from typing import Any

from routeret.chunking.chunker import Span, fingerprint_of
from routeret.chunking.packing import RULES, windows
from routeret.chunking.units import library
from routeret.errors import InputError
from routeret.types import Document

LEAST_SIZE = 20
"""Spans of fewer characters hold no sentence."""


@dataclass(frozen=True, slots=True)
class SentenceWindows:
    """Cuts a text into windows of whole sentences.

    A window begins and ends at sentence boundaries; only a sentence longer than ``size`` is cut, at its line ends or
    between words. Where the windows end depends on the text around, not on what stands far before, so a change in one
    place changes few windows.

    Attributes:
        size: the most characters of a window, at least 20. Characters, not tokens, so that no tokenizer decides the
            spans; English has 4 to 5 characters a token, so 800 are 160 to 200 tokens.
        overlap: the most characters that a window repeats of the one before, as whole sentences; at most half of
            ``size``. A sentence longer than this is not repeated.
    """

    size: int = field(default=800, kw_only=True)
    overlap: int = field(default=200, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse sizes that no window can have.

        Raises:
            InputError: ``size`` or ``overlap`` is not an integer in its range.
        """
        check_size(self.size)
        if type(self.overlap) is not int or not 0 <= self.overlap <= self.size // 2:
            raise InputError(f"overlap is {self.overlap!r}; give an integer from 0 to half of size ({self.size // 2})")

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, the same on every machine with the same version of the splitter."""
        return fingerprint_of(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, the splitter's version among them."""
        return {"kind": "sentences", "size": self.size, "overlap": self.overlap, "rules": RULES, "library": library()}

    def spans(self, document: Document) -> list[Span]:
        """The windows of a document's text."""
        text = document.text
        if not text.strip():
            return [(0, len(text))]
        return windows(text, size=self.size, overlap=self.overlap)


def check_size(size: object) -> None:
    """Do nothing if spans may have this many characters.

    Raises:
        InputError: it is not an integer, or below 20.
    """
    if type(size) is not int or size < LEAST_SIZE:
        raise InputError(f"size is {size!r}; give an integer of at least {LEAST_SIZE} characters")
