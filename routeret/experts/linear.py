"""An expert that is a residual linear map on the base's query embedding."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import new_folder, read_manifest, write_manifest
from routeret.errors import ArtifactError, InputError
from routeret.space import Space
from routeret.types import BASE, LEXICAL, FloatArray, HashArray, QueryBatch

KIND = "expert"
FORMAT = 1
LINEAR = "linear"

_ARRAYS = "weights.safetensors"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True, eq=False)
class LinearExpert:
    """Writes q' = normalise(q + s W q), with q the base's query embedding and s the strength.

    It lives in the document space of the frozen base, as the query-side experts of RouterRetriever (arXiv 2409.02685)
    do, so adding one re-embeds no document; and it costs one matrix product a query.

    Attributes:
        name: lower-case letters, digits, ``_`` and ``-``.
        weight: float32, shape (dim, dim); W.
        strength: the strength s that did best on its dev queries.
        space: the base's document space.
        query_tower: the base's query tower.
        known_documents: sorted content keys of the documents it was trained over, uint64.
        details: how it came about, as JSON values: data, seed, recipe, versions, scores.
    """

    name: str
    weight: FloatArray
    strength: float
    space: Space
    query_tower: str
    known_documents: HashArray
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a name or weights that cannot work."""
        if self.name in (BASE, LEXICAL) or not _NAME.fullmatch(self.name):
            raise InputError(
                f"an expert cannot be called {self.name!r}; use lower-case letters, digits, '_' and '-', starting with "
                f"a letter or digit, and not {BASE!r} or {LEXICAL!r}"
            )
        dim = self.space.dim
        if self.weight.shape != (dim, dim):
            raise InputError(f"expert {self.name!r} has weights of shape {self.weight.shape}, expected ({dim}, {dim})")
        if not np.isfinite(self.weight).all():
            raise InputError(f"expert {self.name!r} has weights that are not finite; train it again")

    def encode_queries(self, queries: QueryBatch, *, strengths: FloatArray) -> FloatArray:
        """The queries as this expert writes them.

        Args:
            queries: with their base embeddings.
            strengths: float32, shape (n_queries,); 0 gives the base's vector.

        Returns:
            float32, shape (n_queries, dim); of unit length where the space is.
        """
        moved = queries.base + strengths[:, None] * (queries.base @ self.weight.T)
        if not self.space.unit_length:
            return np.asarray(moved, dtype=np.float32)
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        unit = moved / np.maximum(lengths, np.finfo(np.float32).tiny)
        # The base's own vector stays what it is to the last bit.
        return np.where(strengths[:, None] == 0, queries.base, unit).astype(np.float32)

    def save(self, folder: Path | str) -> None:
        """Write the expert as a new folder of plain JSON and safetensors; weights as float16."""
        from safetensors.numpy import save_file

        with new_folder(Path(folder)) as temporary:
            arrays = {"weight": self.weight.astype(np.float16), "known_documents": self.known_documents}
            save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, temporary / _ARRAYS)
            fields = {
                "expert": LINEAR,
                "name": self.name,
                "strength": self.strength,
                "space": self.space.as_dict(),
                "query_tower": self.query_tower,
                "details": dict(self.details),
            }
            write_manifest(temporary, kind=KIND, format_number=FORMAT, fields=fields)

    @classmethod
    def load(cls, folder: Path | str) -> "LinearExpert":
        """The expert that :meth:`save` wrote.

        Raises:
            ArtifactError: the folder is damaged, or holds another kind of expert or format.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT)
        if manifest["expert"] != LINEAR:
            raise ArtifactError(f"{folder} holds an expert of kind {manifest['expert']!r}, expected {LINEAR!r}")
        arrays = load_file(folder / _ARRAYS)
        return cls(
            name=manifest["name"],
            weight=arrays["weight"].astype(np.float32),
            strength=float(manifest["strength"]),
            space=Space.from_dict(manifest["space"]),
            query_tower=manifest["query_tower"],
            known_documents=arrays["known_documents"].astype(np.uint64),
            details=manifest["details"],
        )
