"""What every chunker offers, and the check of what it gives."""

import hashlib
import json
from collections.abc import Iterable
from operator import index
from typing import Any, Protocol, runtime_checkable

from routeret.errors import InputError
from routeret.types import Document

Span = tuple[int, int]
"""Start and end of a span, in characters of the document's text; the end is not part of it."""


@runtime_checkable
class Chunker(Protocol):
    """Cuts documents into spans."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, the same on every machine; equal for chunkers that cut alike."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values that :func:`routeret.chunking.chunker_from_dict` rebuilds the chunker from."""

    def spans(self, document: Document) -> list[Span]:
        """The spans of a document, at least one, in order, inside its text; (0, n) for a blank text."""


def fingerprint_of(values: dict[str, Any]) -> str:
    """16 hexadecimal digits from the JSON values that decide a chunker's spans."""
    content = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def checked_spans(document: Document, spans: Iterable[object]) -> list[Span]:
    """The spans of a document as plain integers, if an index can keep them.

    Spans may overlap, lie inside each other and leave text out. A text that is blank has the one span (0, n), since
    its document still has a title.

    Args:
        document: the document that was cut.
        spans: pairs of start and end, in characters of ``document.text``; NumPy integers count as integers.

    Raises:
        InputError: there is none; one is no pair of integers, lies outside the text, is empty or blank, or does not
            stand behind the one before it (by start, then by end). The message names the document and the span.
    """
    text = document.text
    found = [_pair(document, span) for span in spans]
    if not text.strip():
        if found != [(0, len(text))]:
            raise InputError(
                f"document {document.id!r} has a blank text, so its only span is {(0, len(text))}; got {found}"
            )
        return found
    if not found:
        raise InputError(
            f"document {document.id!r} was cut into no span; give at least one, for example {(0, len(text))}"
        )
    before = (-1, -1)
    for start, end in found:
        _check_place(document, (start, end), before)
        before = (start, end)
    return found


def require_same_chunker(stored: dict[str, Any], chunker: Chunker, *, here: str) -> None:
    """Do nothing if the chunker cuts as the stored one did.

    Args:
        stored: :meth:`Chunker.as_dict` of the chunker whose spans are kept.
        chunker: the one that is to cut further documents.
        here: words for the owner of the stored one, for example ``"index 'faq'"``.

    Raises:
        InputError: they differ; the message names both fingerprints and the values that differ.
    """
    given = chunker.as_dict()
    if stored == given:
        return
    differing = ", ".join(
        f"{name} {stored.get(name)!r} against {given.get(name)!r}"
        for name in dict.fromkeys([*stored, *given])
        if stored.get(name) != given.get(name)
    )
    raise InputError(
        f"{here} was cut by chunker {fingerprint_of(stored)}, this one is {chunker.fingerprint}; they differ in "
        f"{differing}; use the chunker (and the library) that the index was made with, or build a new index"
    )


def _pair(document: Document, span: object) -> Span:
    problem = f"document {document.id!r}: span {span!r} is not a pair of integers (start, end)"
    if not isinstance(span, tuple | list) or len(span) != 2 or any(isinstance(value, bool) for value in span):
        raise InputError(problem)
    try:
        return index(span[0]), index(span[1])
    except TypeError as error:
        raise InputError(problem) from error


def _check_place(document: Document, span: Span, before: Span) -> None:
    start, end = span
    text = document.text
    if not 0 <= start < end <= len(text):
        raise InputError(
            f"document {document.id!r}: span {span} is empty or outside its text of {len(text)} characters"
        )
    if not text[start:end].strip():
        raise InputError(f"document {document.id!r}: span {span} holds white space only; leave it out")
    if span <= before:
        raise InputError(
            f"document {document.id!r}: span {span} comes after {before}; sort spans by start and end, each once"
        )
