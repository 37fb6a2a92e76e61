"""Text to vectors without a model: words and their letter triples, hashed."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from routeret.encoders.inputs import checked_documents, checked_texts
from routeret.errors import InputError
from routeret.space import NO_TOKEN_LIMIT, Space
from routeret.types import BoolArray, Document, EncodedDocuments, FloatArray

_MODEL = hashlib.sha256(b"routeret hashing encoder 1").hexdigest()
_WORD = re.compile(r"\w+")


HASHING_DIM = 64
"""Length of a vector where none is asked for."""


class HashingEncoder:
    """Vectors from hashed words and letter triples: no model, no training, the same on every machine.

    Texts that share words or parts of words are similar, nothing more: good for tests, demos and as a floor to
    compare with.
    """

    def __init__(self, dim: int = HASHING_DIM, *, document_prompt: str = "", query_prompt: str = "") -> None:
        """Make an encoder.

        Args:
            dim: length of a vector, at least 2.
            document_prompt: text put before every document.
            query_prompt: text put before every query.

        Raises:
            InputError: ``dim`` is below 2.
        """
        if dim < 2:
            raise InputError(f"found dim {dim}, expected at least 2")
        self._space = Space(
            model=_MODEL,
            pooling="hashing",
            max_tokens=NO_TOKEN_LIMIT,
            dim=dim,
            document_prompt=document_prompt,
        )
        self._query_prompt = query_prompt

    @property
    def query_prompt(self) -> str:
        """Text put before every query."""
        return self._query_prompt

    @property
    def space(self) -> Space:
        """The space that document and query vectors live in."""
        return self._space

    @property
    def query_tower(self) -> str:
        """16 hexadecimal digits; changes with ``dim`` and the query prompt."""
        content = json.dumps([_MODEL, self._space.dim, self._query_prompt])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """Vectors of the documents, float32, shape (n_documents, dim), length 1; nothing is ever truncated.

        Raises:
            InputError: something other than a list of documents came.
        """
        prompt = self._space.document_prompt
        texts = [
            prompt + self._space.joined(title=document.title, text=document.text)
            for document in checked_documents(documents)
        ]
        truncated: BoolArray = np.zeros(len(texts), dtype=np.bool_)
        return EncodedDocuments(self._vectors(texts), truncated)

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of the queries, float32, shape (n_queries, dim), length 1.

        Raises:
            InputError: something other than a list of strings came.
        """
        return self._vectors([self._query_prompt + text for text in checked_texts(texts)])

    def _vectors(self, texts: list[str]) -> FloatArray:
        sums = np.zeros((len(texts), self._space.dim), dtype=np.float64)
        for row, text in enumerate(texts):
            for word in _WORD.findall(text.casefold()):
                buckets, signs = _features(word, self._space.dim)
                np.add.at(sums[row], buckets, signs)
            if not sums[row].any():
                # A text without words, or one whose features cancel, still needs a direction.
                sums[row, 0] = 1.0
        lengths = np.sqrt((sums**2).sum(axis=1, keepdims=True))
        vectors: FloatArray = (sums / lengths).astype(np.float32)
        return vectors


@lru_cache(maxsize=65536)
def _features(word: str, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Buckets and signs of a word: the word itself twice, and each of its letter triples once."""
    bounded = f"<{word}>"
    triples = [bounded[start : start + 3] for start in range(len(bounded) - 2)]
    hashes = [
        int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
        for feature in (f"word {word}", f"word {word}", *triples)
    ]
    buckets = np.array([(value >> 1) % dim for value in hashes], dtype=np.int64)
    signs = np.array([1.0 if value & 1 else -1.0 for value in hashes], dtype=np.float64)
    return buckets, signs
