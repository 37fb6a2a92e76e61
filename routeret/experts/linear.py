"""A residual linear map on the base's query embedding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from routeret.artifact import naming_damage, safetensors_of, write_file
from routeret.encoders.safetensors_file import map_arrays
from routeret.errors import InputError
from routeret.experts.folder import read_known, write_expert
from routeret.experts.names import require_expert_name
from routeret.experts.sketch import TrainingSketch, short_keys
from routeret.experts.strength import applied, checked_base, require_strength
from routeret.half_precision import in_single_precision
from routeret.space import Space
from routeret.types import FloatArray, HashArray, QueryBatch

_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class LinearExpert:
    """Writes a query q as q + s W q, brought to the length that the space wants; s is the strength.

    It lives in the base's own document space, so adding one embeds no document again, and a query costs one matrix
    product more than a plain one.

    Attributes:
        name: unique in a pool; of a-z, 0-9, ``_`` and ``-``.
        weight: W, shape (dim, dim); kept in float16, so that an expert that is saved and loaded answers as the one that
            was measured, and memory-mapped where it comes from a folder.
        strength: the strength that did best on its dev queries, above 0.
        space: the document space its queries are written into.
        query_tower: the base query tower it was trained on.
        known_documents: content keys of the documents it was trained over, uint64; kept as short keys, see
            :func:`routeret.experts.sketch.short_keys`.
        details: anything worth knowing about its training, as JSON values.
        sketch: of the documents and queries it was trained over, by which documents that are nearly equal are known
            too; None where nobody made one.
    """

    kind: ClassVar[str] = "linear"

    name: str
    weight: NDArray[np.floating[Any]]
    strength: float
    space: Space
    query_tower: str
    known_documents: HashArray
    details: Mapping[str, Any] = field(default_factory=dict)
    sketch: TrainingSketch | None = None

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
            weight = np.asarray(self.weight).astype(np.float16, copy=False)
        if not np.isfinite(weight).all():
            raise InputError(f"expert {self.name!r} has a weight that is not finite in float16; train it again")
        require_strength(self.strength, expert=self.name)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "known_documents", short_keys(self.known_documents))

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
        base = checked_base(queries, strengths=strengths, dim=self.space.dim, expert=self.name)
        return applied(base, self.shift(base), strengths=strengths, unit_length=self.space.unit_length)

    def shift(self, base: FloatArray) -> FloatArray:
        """What it adds to queries at strength 1, float32, shape (n_queries, dim).

        Args:
            base: float32, shape (n_queries, dim); the base's query embeddings.
        """
        return base @ in_single_precision(self.weight).T

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
        write_expert(
            Path(folder),
            self,
            files=self._write_weights,
            beside=beside,
        )

    def _write_weights(self, folder: Path) -> None:
        write_file(folder / _WEIGHTS, safetensors_of({"weight": self.weight}))

    @classmethod
    def from_folder(cls, folder: Path, manifest: Mapping[str, Any]) -> "LinearExpert":
        """The expert of a folder whose manifest has been read; :func:`load_expert` is the way in.

        Raises:
            ArtifactError: the weights are missing or damaged, or do not fit the manifest.
        """
        with naming_damage(folder):
            weight = map_arrays(folder / _WEIGHTS)["weight"]
            known, sketch = read_known(folder, manifest, before=_WEIGHTS)
            return cls(
                name=manifest["name"],
                weight=weight,
                strength=float(manifest["strength"]),
                space=Space.from_dict(manifest["space"]),
                query_tower=manifest["query_tower"],
                known_documents=known,
                details=manifest["details"],
                sketch=sketch,
            )
