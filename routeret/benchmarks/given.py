"""Vectors that were made before, taken from an export or from an index."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from routeret.errors import InputError
from routeret.index import Exported, Index
from routeret.index.exporting import VECTORS
from routeret.space import Space
from routeret.types import Document, EncodedDocuments


class VectorSource(Protocol):
    """Knows the vectors of documents: an encoder does, and so does a folder that holds them."""

    @property
    def space(self) -> Space:
        """The vectors' space."""

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Vectors of the documents, float32, shape (n_documents, dim), in their order."""


class IndexVectors:
    """The vectors of an index whose documents are one span each."""

    def __init__(self, folder: Path) -> None:
        """Open the index.

        Raises:
            ArtifactError: there is none, or it is damaged.
        """
        self._index = Index.open(folder)

    @property
    def space(self) -> Space:
        """The space that the index was created with."""
        return self._index.space

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """The stored vectors of documents with these ids and texts.

        Raises:
            UnknownDocumentError: an id is not in the index.
            InputError: a document has another text there, or several spans.
        """
        numbers = self._index.numbers([document.id for document in documents])
        expected = np.array([document.content_key for document in documents], dtype=np.uint64)
        differing = np.flatnonzero(self._index.content_keys(numbers) != expected)
        if len(differing):
            first = documents[differing[0]]
            raise InputError(
                f"document {first.id!r} has another text in index {self._index.folder.name!r}; build it again from "
                f"the same corpora, with --prefix-ids"
            )
        first_rows, end_rows = self._index.rows_of(numbers)
        if (end_rows - first_rows != 1).any():
            raise InputError(f"index {self._index.folder.name!r} has documents of several spans; build it without")
        return EncodedDocuments(self._index.vectors(first_rows), np.zeros(len(documents), dtype=np.bool_))


def open_vectors(folder: Path) -> VectorSource:
    """The vectors of a folder that is an export or an index.

    Raises:
        ArtifactError: it is neither, or it is damaged.
    """
    return Exported(folder) if (folder / VECTORS).is_file() else IndexVectors(folder)
