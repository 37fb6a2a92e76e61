"""Which domain of a mixture of experts a document belongs to, told by its words."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from routeret.artifact import safetensors_of, write_file
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError, InputError
from routeret.types import FloatArray, IntArray

FILE = "document_domains.safetensors"
"""Where a model's folder keeps it."""

_CHARACTERS = 2000
"""How much of a text is read, so that telling its domain stays cheap beside encoding it."""
_FEATURES = 2048
_TEXTS_AT_ONCE = 256
_REGULARISATION = 10.0
"""Inverse strength C. Features have length 1 and most are near 0, so a strong penalty would leave little of them."""
_MAX_ITERATIONS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class DocumentDomains:
    """A multinomial logistic regression on the hashed words and letter triples of a text; it needs no model.

    The likeliest domain depends on nothing but the first 2,000 characters of the text.

    Attributes:
        coefficients: float32, shape (n_domains, n_features).
        intercepts: float32, shape (n_domains,).
    """

    coefficients: FloatArray
    intercepts: FloatArray

    def __post_init__(self) -> None:
        """Refuse what is no classifier.

        Raises:
            InputError: the shapes do not fit, there are fewer than two features, or a number is not finite.
        """
        shapes = (self.coefficients.shape, self.intercepts.shape)
        if len(shapes[0]) != 2 or shapes[1] != shapes[0][:1] or shapes[0][1] < 2:
            raise InputError(
                f"found coefficients of shape {shapes[0]} and intercepts of shape {shapes[1]}, expected (n_domains, "
                f"n_features) with at least two features, and (n_domains,)"
            )
        for values in (self.coefficients, self.intercepts):
            if values.dtype != np.float32 or not np.isfinite(values).all():
                raise InputError(f"found an array of {values.dtype}, expected float32, every number finite")

    @classmethod
    def fit(cls, texts_by_domain: Sequence[Sequence[str]]) -> "DocumentDomains":
        """Learn from texts of every domain; a domain with more texts is not likelier for that.

        Args:
            texts_by_domain: of every domain at least one text; the place of a domain is its number.

        Raises:
            InputError: there are fewer than two domains, or one has no text.
        """
        from sklearn.linear_model import LogisticRegression

        counts = [len(texts) for texts in texts_by_domain]
        if len(counts) < 2 or 0 in counts:
            raise InputError(f"found {counts} texts of {len(counts)} domains, expected two domains or more, with texts")
        features = np.concatenate([_features(texts, dim=_FEATURES) for texts in texts_by_domain])
        labels = np.repeat(np.arange(len(counts)), counts)
        model = LogisticRegression(C=_REGULARISATION, class_weight="balanced", max_iter=_MAX_ITERATIONS)
        model.fit(features, labels)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(counts) == 2:
            # scikit-learn keeps one row for two labels: the second's logit against the first's.
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercepts)
        return cls(coefficients.astype(np.float32), intercepts.astype(np.float32))

    @property
    def n_domains(self) -> int:
        """How many domains it tells apart."""
        return len(self.intercepts)

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits of everything that decides the domain of a text."""
        digest = hashlib.sha256(b"routeret document domains 1\n")
        features = HashingEncoder(self.coefficients.shape[1]).space.fingerprint
        digest.update(f"{features} {_CHARACTERS} {self.coefficients.shape}\n".encode())
        for values in (self.coefficients, self.intercepts):
            digest.update(np.ascontiguousarray(values, dtype="<f4").tobytes())
        return digest.hexdigest()

    def numbers(self, texts: Sequence[str]) -> IntArray:
        """The number of every text's likeliest domain, int64, shape (n_texts,); of equally likely ones the first."""
        found: IntArray = np.zeros(len(texts), dtype=np.int64)
        weights = self.coefficients.astype(np.float64)
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = slice(start, start + _TEXTS_AT_ONCE)
            features = _features(texts[part], dim=weights.shape[1]).astype(np.float64)
            # Not by matrix product, whose rounding depends on how many texts come at once.
            logits: NDArray[np.float64] = np.einsum("nf,df->nd", features, weights) + self.intercepts
            found[part] = logits.argmax(axis=1)
        return found

    def save(self, folder: Path) -> None:
        """Write it into a model's folder."""
        write_file(folder / FILE, safetensors_of({"coefficients": self.coefficients, "intercepts": self.intercepts}))

    @classmethod
    def load(cls, folder: Path) -> "DocumentDomains":
        """What :meth:`save` wrote.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        file = folder / FILE
        try:
            arrays = load_file(file)
            return cls(arrays["coefficients"], arrays["intercepts"])
        except FileNotFoundError as error:
            raise ArtifactError(f"{file} is missing; restore it from its source") from error
        except (SafetensorError, KeyError, InputError) as error:
            raise ArtifactError(f"{file} is damaged ({error}); restore it from its source") from error


def _features(texts: Sequence[str], *, dim: int) -> FloatArray:
    """Hashed words and letter triples of the texts, float32, shape (n_texts, dim), length 1."""
    encoder = HashingEncoder(dim)
    parts = [
        encoder.encode_queries([text[:_CHARACTERS] for text in texts[start : start + _TEXTS_AT_ONCE]])
        for start in range(0, len(texts), _TEXTS_AT_ONCE)
    ]
    return np.concatenate([np.zeros((0, dim), dtype=np.float32), *parts])
