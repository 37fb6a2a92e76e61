"""What a third-party encoder, expert, router or search structure must offer."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from routeret.space import Space
from routeret.types import Document, EncodedDocuments, FloatArray, HashArray, QueryBatch


@runtime_checkable
class Encoder(Protocol):
    """Turns documents and queries into vectors of one space."""

    @property
    def space(self) -> Space:
        """The space that document and query vectors live in."""

    @property
    def query_tower(self) -> str:
        """16 hexadecimal digits; changes with the query side's weights, tokenizer or prompt.

        A router is fitted for one query tower; the index does not depend on it.
        """

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Vectors of the documents, float32, shape (n_documents, dim), in their order."""

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of the queries, float32, shape (n_queries, dim), in their order."""


class PoolMember(Protocol):
    """What a router knows of an expert, whatever it does to queries and documents."""

    @property
    def name(self) -> str:
        """Unique in a pool."""

    @property
    def space(self) -> Space:
        """The document space its queries are written into."""

    @property
    def query_tower(self) -> str:
        """The base query tower it was trained on."""

    @property
    def strength(self) -> float:
        """The strength that did best on its dev queries."""

    @property
    def known_documents(self) -> HashArray:
        """Content keys of the documents it was trained over, uint64; whole, or their low 32 bits."""


@runtime_checkable
class Expert(PoolMember, Protocol):
    """Writes queries into the base's space, better than the base does for some documents."""

    def encode_queries(self, queries: QueryBatch, *, strengths: FloatArray) -> FloatArray:
        """Query vectors, float32, shape (n_queries, dim); 0 in ``strengths`` (n_queries,) gives the base's."""
