"""What the folders of experts have in common."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from routeret import __version__
from routeret.artifact import new_folder, safetensors_of, write_file, write_manifest
from routeret.errors import InputError
from routeret.experts.sketch import TrainingSketch
from routeret.protocols import PoolMember
from routeret.types import HashArray

KIND = "expert"
FORMAT = 2
OLDEST_FORMAT = 1
"""Its folders keep the whole keys of known documents, in a file that depends on the kind, and no sketch."""

_SKETCH = "sketch.safetensors"
_KNOWN = "known_documents"


class SavedExpert(PoolMember, Protocol):
    """What every expert's folder tells of it."""

    kind: ClassVar[str]

    @property
    def details(self) -> Mapping[str, Any]:
        """About its training, as JSON values."""

    @property
    def sketch(self) -> TrainingSketch | None:
        """Of what it was trained over; None where nobody made one."""


def write_expert(
    folder: Path,
    expert: SavedExpert,
    *,
    fields: Mapping[str, Any] | None = None,
    files: Callable[[Path], None],
    beside: Callable[[Path], None] | None,
) -> None:
    """Write the folder of an expert, whole or not at all.

    Args:
        folder: must not exist.
        expert: what the manifest tells of.
        fields: what this kind keeps in the manifest besides, as JSON values.
        files: writes the expert's own files into the folder that it is given.
        beside: writes more files, for example the expert's pilots; the manifest covers all.

    Raises:
        ArtifactError: something is at ``folder`` already.
        InputError: the details are not JSON values.
    """
    try:
        json.dumps(dict(expert.details), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the details of expert {expert.name!r} are not JSON: {error}; use plain values") from error
    of_every_kind = {
        "expert": expert.kind,
        "name": expert.name,
        "strength": float(expert.strength),
        "space": expert.space.as_dict(),
        "query_tower": expert.query_tower,
        "details": dict(expert.details),
        "sketch": None if expert.sketch is None else expert.sketch.fields(),
        "routeret": __version__,
    }
    with new_folder(folder) as temporary:
        files(temporary)
        _write_known(temporary, expert.known_documents, expert.sketch)
        if beside is not None:
            beside(temporary)
        write_manifest(temporary, kind=KIND, format_number=FORMAT, fields={**(fields or {}), **of_every_kind})


def read_known(folder: Path, manifest: Mapping[str, Any], *, before: str) -> tuple[HashArray, TrainingSketch | None]:
    """Content keys of the documents that an expert was trained over, and its sketch if it has one.

    Args:
        folder: the expert's.
        manifest: of the folder.
        before: the file that held the keys in the first format.
    """
    from safetensors.numpy import load_file

    if manifest["format"] == OLDEST_FORMAT:
        return load_file(folder / before)[_KNOWN], None
    arrays = load_file(folder / _SKETCH)
    fields = manifest["sketch"]
    return arrays[_KNOWN].astype(np.uint64), None if fields is None else TrainingSketch.from_saved(arrays, fields)


def _write_known(folder: Path, known: HashArray, sketch: TrainingSketch | None) -> None:
    arrays: dict[str, NDArray[Any]] = {} if sketch is None else sketch.arrays()
    write_file(folder / _SKETCH, safetensors_of({_KNOWN: known.astype(np.uint32), **arrays}))
