"""The checks that every encoder makes on what it is given."""

from collections.abc import Sequence

from routeret.errors import InputError
from routeret.types import Document


def checked_texts(texts: Sequence[str]) -> list[str]:
    """Give the texts as a list.

    Raises:
        InputError: a bare string came where a list of strings belongs, or an element is no string.
    """
    if isinstance(texts, str):
        raise InputError(f"found one string {texts[:40]!r}, expected a list of strings; write [text] for a single text")
    checked = list(texts)
    for position, text in enumerate(checked):
        if not isinstance(text, str):
            raise InputError(f"text {position} is a {type(text).__name__}, expected str")
    return checked


def checked_documents(documents: Sequence[Document]) -> list[Document]:
    """Give the documents as a list.

    Raises:
        InputError: one document or a string came where a list of documents belongs, or an element is no document.
    """
    if isinstance(documents, Document | str):
        found = type(documents).__name__
        raise InputError(f"found one {found}, expected a list of documents; write [document] for a single document")
    checked = list(documents)
    for position, document in enumerate(checked):
        if not isinstance(document, Document):
            raise InputError(f"document {position} is a {type(document).__name__}, expected a routeret Document")
    return checked
