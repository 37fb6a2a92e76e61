"""A function of the user's as a chunker."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from routeret.chunking.chunker import Span, checked_spans, fingerprint_of
from routeret.errors import InputError
from routeret.types import Document

SpanFunction = Callable[[Document], Iterable[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class CallableChunker:
    """Cuts documents by a function, known by a name and a version.

    A function has no fingerprint of its own, so name and version stand for it: give another version whenever the
    function changes. An index keeps only these two; to write to it, the function must be given again.

    Attributes:
        function: from a document to its spans, as :func:`routeret.chunking.checked_spans` accepts them; it is not
            asked about blank texts. ``None`` stands for a function that is not at hand: the chunker can be compared
            and shown, but cannot cut.
        name: what the function is called.
        version: what it is to be told apart by.
    """

    function: SpanFunction | None = field(compare=False, repr=False)
    name: str = field(kw_only=True)
    version: str = field(kw_only=True)

    def __post_init__(self) -> None:
        """Refuse a blank name or version."""
        for what, value in (("name", self.name), ("version", self.version)):
            if type(value) is not str or not value.strip():
                raise InputError(f"the {what} of a chunker's function is {value!r}; give a string that is not blank")

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, the same on every machine."""
        return fingerprint_of(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; the function is not among them."""
        return {"kind": "callable", "name": self.name, "version": self.version}

    def spans(self, document: Document) -> list[Span]:
        """What the function gives, checked.

        Raises:
            InputError: the function is not at hand, or gives spans that cannot be kept.
        """
        if self.function is None:
            raise InputError(
                f"documents were cut by the function {self.name!r}, version {self.version!r}, which an index cannot "
                f"keep; to write, give CallableChunker(function, name={self.name!r}, version={self.version!r})"
            )
        if not document.text.strip():
            return [(0, len(document.text))]
        return checked_spans(document, self.function(document))
