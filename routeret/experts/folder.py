"""What the folders of experts have in common."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routeret import __version__
from routeret.artifact import new_folder, write_manifest
from routeret.errors import ArtifactError, InputError
from routeret.protocols import PoolMember

KIND = "expert"
FORMAT = 1


def write_expert(
    folder: Path,
    expert: PoolMember,
    *,
    kind: str,
    details: Mapping[str, Any],
    fields: Mapping[str, Any] | None = None,
    files: Callable[[Path], None],
    beside: Callable[[Path], None] | None,
) -> None:
    """Write the folder of an expert, whole or not at all.

    Args:
        folder: must not exist.
        expert: what the manifest tells of.
        kind: of the expert.
        details: about its training, as JSON values.
        fields: what this kind keeps in the manifest besides, as JSON values.
        files: writes the expert's own files into the folder that it is given.
        beside: writes more files, for example the expert's pilots; the manifest covers all.

    Raises:
        ArtifactError: something is at ``folder`` already.
        InputError: the details are not JSON values.
    """
    try:
        json.dumps(dict(details), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the details of expert {expert.name!r} are not JSON: {error}; use plain values") from error
    of_every_kind = {
        "expert": kind,
        "name": expert.name,
        "strength": float(expert.strength),
        "space": expert.space.as_dict(),
        "query_tower": expert.query_tower,
        "details": dict(details),
        "routeret": __version__,
    }
    with new_folder(folder) as temporary:
        files(temporary)
        if beside is not None:
            beside(temporary)
        write_manifest(temporary, kind=KIND, format_number=FORMAT, fields={**(fields or {}), **of_every_kind})


@contextmanager
def naming_damage(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while an expert's folder is read into an error that names the folder.

    Raises:
        ArtifactError: a file is missing or damaged, or does not fit the manifest.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder} is damaged: {error}; restore it, or train it again") from error
