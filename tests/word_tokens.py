"""An encoder whose tokens can be read: a vector for every word, longer for longer words."""

import numpy as np

from routeret.encoders.hashing import HashingEncoder
from routeret.types import Document


class WordTokens(HashingEncoder):
    """One token for every word of title and text, and one for a text without words."""

    def encode_document_tokens(self, documents):
        words = [f"{document.title} {document.text}".split() or ["nothing"] for document in documents]
        return self.encode_documents(documents), [self.tokens(one) for one in words]

    def tokens(self, words):
        """The hashed word, of length 1, times its number of letters, shape (n_words, dim)."""
        vectors = super().encode_documents([Document(id="", text=word) for word in words]).vectors
        return vectors * np.array([[len(word)] for word in words], dtype=np.float32)


def kept(vectors, storage):
    """Token vectors as their storage gives them back, written out."""
    if storage == "fp16":
        return vectors.astype(np.float16).astype(np.float32)
    scales = np.abs(vectors).max(axis=1, keepdims=True) / np.float32(127)
    return np.rint(vectors / scales).astype(np.float32) * scales


def tokens_by_id(index, space):
    """The token vectors of every span of every document of an index, by the document's id, in the order of spans."""
    found = {}
    for row in index.live_rows.tolist():
        vectors, counts = index.token_vectors(np.array([row]), space=space)
        assert counts.tolist() == [len(vectors)]
        document_id = index.ids(index.row_documents[[row]])[0]
        found.setdefault(document_id, []).append(vectors)
    return found
