"""Domain experts: what they are and how they are saved."""

from pathlib import Path

from routeret.artifact import read_manifest
from routeret.errors import ArtifactError
from routeret.experts.linear import FORMAT, KIND, LINEAR, LinearExpert
from routeret.protocols import Expert

__all__ = ["LinearExpert", "load_expert"]

_LOADERS = {LINEAR: LinearExpert.load}


def load_expert(folder: Path | str) -> Expert:
    """The expert of a folder, whatever its kind.

    Raises:
        ArtifactError: the folder is damaged, or holds a kind of expert that this version does not know.
    """
    kind = read_manifest(Path(folder), kind=KIND, format_number=FORMAT, verify=False).get("expert")
    if kind not in _LOADERS:
        raise ArtifactError(
            f"{folder} holds an expert of kind {kind!r}, this version knows {', '.join(_LOADERS)}; "
            f"open it with the version that wrote it"
        )
    return _LOADERS[kind](folder)
