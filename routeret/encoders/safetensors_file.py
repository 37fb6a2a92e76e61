"""Tensors as they lie in a safetensors file, read without torch.

The format: 8 bytes with the length of a JSON header (little endian), the header, then the tensors' bytes; the header
gives every tensor's dtype, shape and place after the header.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.errors import ArtifactError

_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "U64": np.dtype("<u8"),
}
_MAX_HEADER = 100_000_000
"""Bytes; the limit that the format itself sets."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor as it is stored.

    Attributes:
        dtype: the format's name for it, for example ``"F32"``.
        shape: its shape.
        content: its bytes, uint8, one dimension; memory-mapped where it comes from a safetensors file.
    """

    dtype: str
    shape: tuple[int, ...]
    content: NDArray[np.uint8]


def read_tensors(file: Path) -> dict[str, StoredTensor]:
    """Give the tensors of a safetensors file by name; their bytes are memory-mapped, not read.

    Raises:
        ArtifactError: the file is damaged.
    """
    header, start = _read_header(file)
    content: NDArray[np.uint8] = np.memmap(file, dtype=np.uint8, mode="r")
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= len(content) - start:
            raise ArtifactError(f"{file} is damaged: tensor {name!r} lies outside the file; restore it from its source")
        tensors[name] = StoredTensor(entry["dtype"], tuple(entry["shape"]), content[start + begin : start + end])
    return tensors


def map_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Give the tensors of a safetensors file by name as arrays that are memory-mapped, for reading alone.

    Raises:
        ArtifactError: the file is damaged, or holds tensors of another dtype than F16, F32, F64 and U64.
    """
    arrays = {}
    for name, tensor in read_tensors(file).items():
        dtype = _DTYPES.get(tensor.dtype)
        if dtype is None or tensor.content.nbytes != math.prod(tensor.shape) * dtype.itemsize:
            raise ArtifactError(
                f"{file}: tensor {name!r} has dtype {tensor.dtype}, shape {tensor.shape} and {tensor.content.nbytes} "
                f"bytes; expected so many numbers of dtype {', '.join(_DTYPES)}; restore it from its source"
            )
        arrays[name] = tensor.content.view(dtype).reshape(tensor.shape)
    return arrays


def tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Give the shapes of the tensors of a safetensors file by name.

    Raises:
        ArtifactError: the file is damaged.
    """
    return {name: tuple(entry["shape"]) for name, entry in _read_header(file)[0].items()}


def weight_files(folder: Path, *, suffix: str) -> list[Path]:
    """Give the files that hold a module's weights: those an index names, the usual one, or any of that kind.

    Args:
        folder: the module's folder.
        suffix: ``"safetensors"`` or ``"bin"``.

    Raises:
        ArtifactError: an index names a file that is not there.
    """
    usual = folder / ("model.safetensors" if suffix == "safetensors" else "pytorch_model.bin")
    index = usual.with_name(f"{usual.name}.index.json")
    if usual.is_file():
        return [usual]
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        for name in names:
            if not (folder / name).is_file():
                raise ArtifactError(f"{folder / name} is missing; {index.name} names it; restore it from its source")
        return [folder / name for name in names]
    return sorted(folder.glob(f"*.{suffix}" if suffix == "safetensors" else "pytorch_model*.bin"))


def _read_header(file: Path) -> tuple[Mapping[str, Any], int]:
    """The header's entries without the free text, and where the tensors' bytes begin."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length)) if length <= _MAX_HEADER else None
    except (struct.error, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{file} is no safetensors file: {error}; restore it from its source") from error
    if not isinstance(header, dict):
        raise ArtifactError(f"{file} is no safetensors file: its header is no JSON object; restore it from its source")
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, 8 + length
