"""A residual linear map on the base's query embedding."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from routeret import __version__
from routeret.artifact import new_folder, write_file, write_manifest
from routeret.errors import ArtifactError, InputError
from routeret.experts.names import require_expert_name
from routeret.space import Space
from routeret.types import FloatArray, HashArray, QueryBatch

KIND = "expert"
FORMAT = 1

_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class LinearExpert:
    """Writes a query q as q + s W q, brought to the length that the space wants; s is the strength.

    It lives in the base's own document space, so adding one embeds no document again, and a query costs one matrix
    product more than a plain one.

    Attributes:
        name: unique in a pool; of a-z, 0-9, ``_`` and ``-``.
        weight: W, float32, shape (dim, dim); kept to float16 precision, so that an expert that is saved and loaded
            answers as the one that was measured.
        strength: the strength that did best on its dev queries, above 0.
        space: the document space its queries are written into.
        query_tower: the base query tower it was trained on.
        known_documents: content keys of the documents it was trained over, uint64; sorted here, each once.
        details: anything worth knowing about its training, as JSON values.
    """

    kind: ClassVar[str] = "linear"

    name: str
    weight: FloatArray
    strength: float
    space: Space
    query_tower: str
    known_documents: HashArray
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be applied.

        Raises:
            InputError: a bad name, a weight of the wrong shape or not finite, or a strength that is not above 0.
        """
        require_expert_name(self.name)
        dim = self.space.dim
        if self.weight.shape != (dim, dim):
            raise InputError(
                f"expert {self.name!r} has a weight of shape {self.weight.shape}, expected ({dim}, {dim}) for space "
                f"{self.space.fingerprint}; train it on the base model of this space"
            )
        with np.errstate(over="ignore"):
            weight = np.asarray(self.weight).astype(np.float16).astype(np.float32)
        if not np.isfinite(weight).all():
            raise InputError(f"expert {self.name!r} has a weight that is not finite in float16; train it again")
        if not (np.isfinite(self.strength) and self.strength > 0):
            raise InputError(f"expert {self.name!r} has strength {self.strength}, expected a number above 0")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "known_documents", np.unique(np.asarray(self.known_documents, dtype=np.uint64)))

    def encode_queries(self, queries: QueryBatch, *, strengths: FloatArray) -> FloatArray:
        """Query vectors in the expert's space.

        Args:
            queries: with base embeddings of shape (n_queries, dim).
            strengths: float32, shape (n_queries,); at least 0. A query at strength 0 keeps the base's vector to the
                last bit.

        Returns:
            float32, shape (n_queries, dim); of length 1 where the space is, otherwise as long as the map makes them.

        Raises:
            InputError: the shapes do not fit, or a strength is below 0 or not finite.
        """
        base = np.asarray(queries.base, dtype=np.float32)
        if base.ndim != 2 or base.shape[1] != self.space.dim:
            raise InputError(f"queries have shape {base.shape}, expert {self.name!r} reads (n, {self.space.dim})")
        if strengths.shape != (len(base),):
            raise InputError(f"strengths have shape {strengths.shape}, expected ({len(base)},): one a query")
        if not (np.isfinite(strengths).all() and (strengths >= 0).all()):
            raise InputError(f"strengths lie in {strengths.min()} to {strengths.max()}, expected at least 0")
        return applied(base, base @ self.weight.T, strengths=strengths, unit_length=self.space.unit_length)

    def save(self, folder: Path | str, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write a new folder, whole or not at all.

        Args:
            folder: must not exist.
            beside: writes more files into the folder that it is given, for example the expert's pilots; the manifest
                covers them.

        Raises:
            ArtifactError: something is at ``folder`` already.
            InputError: ``details`` are not JSON values.
        """
        from safetensors.numpy import save

        try:
            json.dumps(dict(self.details), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"the details of expert {self.name!r} are not JSON: {error}; use plain values") from error
        with new_folder(Path(folder)) as temporary:
            arrays: dict[str, NDArray[Any]] = {
                "weight": self.weight.astype(np.float16),
                "known_documents": self.known_documents,
            }
            write_file(temporary / _WEIGHTS, save(arrays))
            if beside is not None:
                beside(temporary)
            fields = {
                "expert": self.kind,
                "name": self.name,
                "strength": float(self.strength),
                "space": self.space.as_dict(),
                "query_tower": self.query_tower,
                "details": dict(self.details),
                "routeret": __version__,
            }
            write_manifest(temporary, kind=KIND, format_number=FORMAT, fields=fields)

    @classmethod
    def from_folder(cls, folder: Path, manifest: Mapping[str, Any]) -> "LinearExpert":
        """The expert of a folder whose manifest has been read; :func:`load_expert` is the way in.

        Raises:
            ArtifactError: the weights are missing or damaged, or do not fit the manifest.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(folder / _WEIGHTS)
            return cls(
                name=manifest["name"],
                weight=arrays["weight"].astype(np.float32),
                strength=float(manifest["strength"]),
                space=Space.from_dict(manifest["space"]),
                query_tower=manifest["query_tower"],
                known_documents=arrays["known_documents"],
                details=manifest["details"],
            )
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder} is damaged: {error}; restore it, or train it again") from error


def applied(base: FloatArray, shift: FloatArray, *, strengths: FloatArray, unit_length: bool) -> FloatArray:
    """Give base + strength * shift.

    Args:
        base: float32, shape (n_queries, dim).
        shift: float32, same shape; W q of every query.
        strengths: float32, shape (n_queries,); a query at 0 keeps its base vector to the last bit.
        unit_length: bring the others to length 1.
    """
    vectors: FloatArray = (base + strengths[:, None].astype(np.float32) * shift).astype(np.float32)
    if unit_length:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
    off = strengths == 0
    vectors[off] = base[off]
    return vectors
