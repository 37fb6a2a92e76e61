"""Experts from their folders, whatever their kind."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from routeret.artifact import read_manifest
from routeret.errors import ArtifactError
from routeret.experts.linear import FORMAT, KIND, LinearExpert
from routeret.experts.tower import TowerExpert
from routeret.protocols import Expert

_READER_BY_KIND: Mapping[str, Callable[[Path, Mapping[str, Any]], Expert | TowerExpert]] = {
    LinearExpert.kind: LinearExpert.from_folder,
    TowerExpert.kind: TowerExpert.from_folder,
}


def load_expert(folder: Path | str, *, verify: bool = True) -> Expert | TowerExpert:
    """The expert of a folder.

    Args:
        folder: an expert's folder, as its ``save`` or ``routeret train expert`` wrote it.
        verify: compare the checksum of every file.

    Raises:
        ArtifactError: the folder is no expert, is damaged, or holds a kind of expert that this version cannot read.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, kind=KIND, format_number=FORMAT, verify=verify)
    reader = _READER_BY_KIND.get(str(manifest.get("expert")))
    if reader is None:
        known = ", ".join(_READER_BY_KIND)
        raise ArtifactError(
            f"{folder} holds an expert of kind {manifest.get('expert')!r}, this version reads: {known}; it was written "
            f"by routeret {manifest.get('routeret', 'of an unknown version')}: open it with that version"
        )
    return reader(folder, manifest)
