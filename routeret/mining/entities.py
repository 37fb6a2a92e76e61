"""The entities that edges name: documents of a corpus, each id once."""

from collections.abc import Iterator

from routeret.corpus import Corpus, duplicate
from routeret.types import Document


def text_of(document: Document) -> str:
    """The text of an entity that is a document: title and text."""
    return f"{document.title} {document.text}".strip()


def once_each(corpus: Corpus) -> Iterator[tuple[Document, str]]:
    """The documents of a corpus with their places.

    Raises:
        DuplicateIdError: an id comes twice; both places are named.
        CorpusError: the corpus cannot be read.
    """
    place_by_id: dict[str, str] = {}
    for document, place in corpus.located():
        if document.id in place_by_id:
            raise duplicate(document.id, first=place_by_id[document.id], second=place)
        place_by_id[document.id] = place
        yield document, place
