"""How one row is stored: a vector in half or full precision or as bytes with a scale, or one whole number."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError
from routeret.half_precision import in_single_precision
from routeret.types import FloatArray

Storage = Literal["fp16", "fp32", "int8"]
"""``int8`` keeps a float32 scale beside every row: vector = scale * codes, scale = largest magnitude / 127."""

Layout = Storage | Literal["int64"]
"""``int64`` holds whole numbers, which are never asked for as vectors."""

PackedRows = NDArray[Any]
"""Rows as they are stored, shape (n, dim) of numbers or (n,) of scales with codes."""

_SUFFIX_BY_STORAGE: dict[Layout, str] = {"fp16": "f16", "fp32": "f32", "int8": "i8", "int64": "i64"}
_DTYPE_BY_STORAGE: dict[Layout, str] = {"fp16": "<f2", "fp32": "<f4", "int64": "<i8"}
_LARGEST_CODE = 127


@dataclass(frozen=True, slots=True)
class RowFormat:
    """The layout of a row.

    Attributes:
        storage: the precision, or what else is in the row.
        dim: length of a vector.
    """

    storage: Layout
    dim: int

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return self.dim + 4 if self.storage == "int8" else self.dim * self._dtype.itemsize

    @property
    def suffix(self) -> str:
        """The ending of a file of such rows."""
        return _SUFFIX_BY_STORAGE[self.storage]

    def packed(self, vectors: FloatArray) -> PackedRows:
        """Vectors, float32, shape (n, dim), as rows; a number too large for the precision becomes infinite."""
        if self.storage != "int8":
            with np.errstate(over="ignore"):
                return vectors.astype(self._dtype)
        rows = self.empty(len(vectors))
        with np.errstate(invalid="ignore"):
            scales = np.abs(vectors).max(axis=1, initial=0) / np.float32(_LARGEST_CODE)
            codes = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None])
            rows["codes"] = np.nan_to_num(codes)
        rows["scale"] = scales
        return rows

    def unpacked(self, rows: PackedRows) -> FloatArray:
        """Rows as vectors, float32, shape (n, dim)."""
        if self.storage == "fp16":
            return in_single_precision(rows)
        if self.storage != "int8":
            return rows.astype(np.float32)
        vectors: FloatArray = rows["codes"] * rows["scale"][:, None]
        return vectors

    def empty(self, n_rows: int) -> PackedRows:
        """Rows to be filled."""
        return np.empty((n_rows,) if self.storage == "int8" else (n_rows, self.dim), dtype=self._dtype)

    def mapped(self, path: Path, n_rows: int) -> PackedRows:
        """The first rows of a file, as a read-only memory map."""
        shape = (n_rows,) if self.storage == "int8" else (n_rows, self.dim)
        # A plain array over the map: rows of np.memmap itself are taken at half the speed.
        return np.asarray(np.memmap(path, dtype=self._dtype, mode="r", shape=shape))

    @property
    def _dtype(self) -> np.dtype[Any]:
        if self.storage == "int8":
            return np.dtype([("scale", "<f4"), ("codes", "i1", (self.dim,))])
        return np.dtype(_DTYPE_BY_STORAGE[self.storage])


def require_storage(storage: str) -> Storage:
    """The storage of a name.

    Raises:
        InputError: there is none of that name.
    """
    for known in get_args(Storage):
        if storage == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"storage is {storage!r}, expected one of {', '.join(get_args(Storage))}")
