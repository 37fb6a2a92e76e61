"""A `Space`: the type of a vector."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from routeret.errors import SpaceMismatchError

Pooling = Literal["mean", "cls", "max", "lasttoken", "hashing", "other"]
Similarity = Literal["cosine", "dot"]
Vectors = Literal["single", "token"]

NO_TOKEN_LIMIT = 2**31 - 1
"""The ``max_tokens`` of an encoder that never cuts a text."""


@dataclass(frozen=True)
class Space:
    """Everything that decides what a document's vector is, and nothing else.

    Two spaces are equal exactly when their vectors may be compared. The fingerprint is made from content, never from
    a name, so it is the same on every machine: renaming a model keeps it, changing one weight changes it.

    Attributes:
        model: 64 hexadecimal digits; hash of the document tower's weights, configuration and tokenizer.
        pooling: how token vectors become one vector.
        document_prompt: text put before every document, for example ``"passage: "``.
        join: how title and text become one text; ``{title}`` and ``{text}`` are filled in, white space is stripped.
        max_tokens: texts longer than this are cut.
        dim: length of a vector.
        unit_length: whether vectors have length 1.
        similarity: how two vectors are compared; higher is better.
        vectors: one vector a span, or one a token.
    """

    model: str
    pooling: Pooling
    max_tokens: int
    dim: int
    document_prompt: str = ""
    join: str = "{title} {text}"
    unit_length: bool = True
    similarity: Similarity = "cosine"
    vectors: Vectors = "single"

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, the same on every machine."""
        content = json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def joined(self, *, title: str, text: str) -> str:
        """The text that the encoder reads for a document, without the document prompt."""
        return self.join.format(title=title, text=text).strip()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Space":
        """The space whose :meth:`as_dict` gave these values."""
        return cls(**values)

    def require_same(self, other: "Space", *, here: str, there: str) -> None:
        """Do nothing if the spaces are equal.

        Args:
            other: the space to compare with.
            here: words for the owner of this space, for example ``"index 'faq'"``.
            there: words for the owner of the other, for example ``"expert 'bio'"``.

        Raises:
            SpaceMismatchError: they differ; the message names both fingerprints and the fields that differ.
        """
        if self == other:
            return
        ours, theirs = asdict(self), asdict(other)
        differing = ", ".join(
            f"{name} {ours[name]!r} against {theirs[name]!r}" for name in ours if ours[name] != theirs[name]
        )
        raise SpaceMismatchError(
            f"{here} holds space {self.fingerprint}, {there} writes space {other.fingerprint}; "
            f"they differ in {differing}; use the model that built the index, or build a new index with this one"
        )
