"""The map of an index that tuning without labels has learned, on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret import __version__
from routeret.artifact import new_folder, read_manifest, safetensors_of, write_file, write_manifest
from routeret.errors import ArtifactError
from routeret.fusion import TEACHER_WEIGHT
from routeret.types import FloatArray

KIND = "index map"
FORMAT = 1

OWN_MAP = "own-map"
"""What the map is called where experts are removed; no expert may have this name."""

_ARRAYS = "map.safetensors"
_WEIGHT = "weight"


@dataclass(frozen=True, slots=True, eq=False)
class LearnedMap:
    """A map that stands in for the one that an index computes of its documents.

    Attributes:
        weight: float32, shape (dim, dim); a query q becomes ``q + s W q``.
        details: how it was made, as JSON values.
    """

    weight: FloatArray
    details: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Write the map as a new folder, whole or not at all."""
        with new_folder(folder) as temporary:
            write_file(temporary / _ARRAYS, safetensors_of({_WEIGHT: self.weight}))
            fields = {"details": dict(self.details), "routeret": __version__}
            write_manifest(temporary, kind=KIND, format_number=FORMAT, fields=fields)

    @classmethod
    def load(cls, folder: Path, *, dim: int) -> "LearnedMap":
        """The map that :meth:`save` wrote.

        Args:
            folder: the map's.
            dim: of the vectors that it turns.

        Raises:
            ArtifactError: the folder is damaged, of another kind or format, or holds a map of other vectors.
        """
        from safetensors.numpy import load_file

        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT)
        weight = load_file(folder / _ARRAYS)[_WEIGHT]
        if weight.shape != (dim, dim):
            raise ArtifactError(f"{folder} holds a map of shape {weight.shape}, the index needs ({dim}, {dim})")
        return cls(weight, manifest["details"])


def shift_of(
    vectors: FloatArray,
    lexical: FloatArray,
    *,
    learned: FloatArray | None,
    computed: Callable[[], FloatArray | None],
) -> FloatArray:
    """What the maps of an index add to queries at strength 1, float32, shape (n_queries, dim).

    A learned map holds what BM25 finds, so it makes room for the computed one as far as BM25 counts by itself.

    Args:
        vectors: float32, shape (n_queries, dim).
        lexical: float32, shape (n_queries,); what BM25 counts for every query.
        learned: float32, shape (dim, dim); None where no map was learned.
        computed: gives the map that is computed of the documents, float32, shape (dim, dim), or None.
    """
    if learned is None:
        weight = computed()
        return np.zeros_like(vectors) if weight is None else vectors @ weight.T
    share = np.clip(lexical / TEACHER_WEIGHT, 0, 1)
    shift = np.zeros_like(vectors)
    of_documents = computed() if (share > 0).any() else None
    for weight, counts in ((learned, 1 - share), (of_documents, share)):
        if weight is not None:
            shift += counts[:, None].astype(np.float32) * (vectors @ weight.T)
    return shift
