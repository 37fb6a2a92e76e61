"""An expert's encoder that notes the token vectors of the documents it embeds, as an index would keep them."""

from collections.abc import Sequence

import numpy as np

from routeret.experts import TowerExpert
from routeret.index.row_format import PackedRows, RowFormat
from routeret.index.tokens import TokenEncoder
from routeret.late_interaction import TokenTargets
from routeret.space import Space
from routeret.types import Document, EncodedDocuments, FloatArray


class DocumentTokens:
    """The encoder of an expert; where the expert compares documents' tokens, one pass gives them with the vectors."""

    def __init__(self, expert: TowerExpert) -> None:
        """Take an expert.

        Args:
            expert: its encoder embeds, and its precision is that of the tokens.
        """
        self._encoder = expert.encoder
        self._format = None if expert.token_storage is None else RowFormat(expert.token_storage, expert.space.dim)
        self._tokens: list[PackedRows] = []

    @property
    def space(self) -> Space:
        """The expert's."""
        return self._encoder.space

    @property
    def query_tower(self) -> str:
        """The expert's."""
        return self._encoder.query_tower

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """What the expert's encoder gives."""
        if self._format is None or not isinstance(self._encoder, TokenEncoder):
            return self._encoder.encode_documents(documents)
        encoded, tokens = self._encoder.encode_document_tokens(documents)
        self._tokens += [self._format.packed(one) for one in tokens]
        return encoded

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """What the expert's encoder gives."""
        return self._encoder.encode_queries(texts)

    def targets(self) -> TokenTargets | None:
        """The tokens of all documents that were embedded, as an index gives them back; None where none are compared."""
        if self._format is None:
            return None
        packed = np.concatenate([self._format.empty(0), *self._tokens])
        counts = np.array([len(one) for one in self._tokens], dtype=np.int64)
        return TokenTargets.of(packed if self._format.storage == "fp16" else self._format.unpacked(packed), counts)
