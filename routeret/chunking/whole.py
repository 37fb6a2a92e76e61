"""Documents that stay in one piece."""

from dataclasses import dataclass
from typing import Any

from routeret.chunking.chunker import Span, fingerprint_of
from routeret.types import Document


@dataclass(frozen=True, slots=True)
class WholeText:
    """Every document is one span."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, the same on every machine."""
        return fingerprint_of(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"kind": "none"}

    def spans(self, document: Document) -> list[Span]:
        """The whole text."""
        return [(0, len(document.text))]
