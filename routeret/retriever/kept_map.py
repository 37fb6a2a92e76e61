"""The map that an index computes of its documents, kept in its folder: computing it takes longer than a search."""

import hashlib
from pathlib import Path

import numpy as np

from routeret.artifact import safetensors_of, write_file
from routeret.errors import ArtifactError
from routeret.types import FloatArray

FILE = "computed-map.safetensors"

_WEIGHT = "weight"
_NO_MAP: FloatArray = np.zeros((0, 0), dtype=np.float32)


def read_map(folder: Path, *, mark: str) -> tuple[FloatArray | None] | None:
    """The map that was kept under a mark, or that there is none.

    Args:
        folder: the index's.
        mark: of all that the map was computed from.

    Returns:
        The map, float32, shape (dim, dim), or None in its place where the documents give none. None alone where
        nothing was kept under this mark, or what was is damaged.
    """
    try:
        weight, found = _read(folder / FILE)
    except (OSError, ArtifactError):
        return None
    if found != mark:
        return None
    return (weight if weight.size else None,)


def damage_of(folder: Path) -> str | None:
    """What is wrong with the map that is kept in an index's folder; None where nothing is, or none is kept."""
    try:
        _read(folder / FILE)
    except FileNotFoundError:
        return None
    except (OSError, ArtifactError) as error:
        return str(error)
    return None


def remove_map(folder: Path) -> None:
    """Remove the map that is kept in an index's folder; it is computed again when a query needs it."""
    (folder / FILE).unlink(missing_ok=True)


def keep_map(folder: Path, weight: FloatArray | None, *, mark: str) -> None:
    """Keep a map, in place of any other; a folder that cannot be written stays as it is.

    Args:
        folder: the index's.
        weight: float32, shape (dim, dim); None where the documents give none.
        mark: of all that it was computed from.
    """
    kept = _NO_MAP if weight is None else weight
    try:
        write_file(folder / FILE, safetensors_of({_WEIGHT: kept}, {"mark": mark, "checksum": _checksum(kept)}))
    except OSError:
        # It is computed again next time.
        return


def _read(file: Path) -> tuple[FloatArray, str]:
    """The map and its mark.

    Raises:
        ArtifactError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            told = opened.metadata() or {}
            weight: FloatArray = opened.get_tensor(_WEIGHT)
    except SafetensorError as error:
        raise ArtifactError(f"{file} is damaged: {error}; remove it, it is computed again") from error
    if told.get("checksum") != _checksum(weight):
        raise ArtifactError(f"{file} is damaged: its checksum differs; remove it, it is computed again")
    return weight, told.get("mark", "")


def _checksum(weight: FloatArray) -> str:
    return hashlib.sha256(weight.tobytes()).hexdigest()
