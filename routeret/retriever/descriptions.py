"""What the experts of a pool are for, in words, as the manifests of their folders keep it."""

from pathlib import Path
from typing import Any

from routeret.artifact import read_manifest, write_manifest
from routeret.errors import InputError
from routeret.experts.folder import FORMAT, KIND, OLDEST_FORMAT
from routeret.retriever.folder import Contents, copy_folder
from routeret.routing.description import DESCRIPTION, described


def require_words(description: str | None) -> None:
    """Do nothing if a description says something, or there is none.

    Raises:
        InputError: it is blank.
    """
    if description is not None and not description.strip():
        raise InputError(
            f"the description is {description!r}, expected words: say what the expert is for, or leave it out"
        )


def copy_expert(source: Path, target: Path, *, description: str | None) -> None:
    """Copy the folder of an expert.

    Args:
        source: the expert's folder.
        target: must not exist.
        description: what the expert is for, in place of what the folder says; None leaves that as it is.

    Raises:
        ArtifactError: something is at ``target`` already.
    """
    copy_folder(source, target)
    if description is None:
        return
    manifest = _manifest(target)
    fields = {name: value for name, value in manifest.items() if name not in ("kind", "format", "files")}
    fields["details"] = {**manifest["details"], **described(description)}
    write_manifest(target, kind=KIND, format_number=manifest["format"], fields=fields)


def descriptions_of(folder: Path, contents: Contents) -> dict[str, str | None]:
    """What every expert of a retriever is for, by name, in the order in which they were added; None where nobody said.

    Args:
        folder: the retriever's.
        contents: what its manifest says.

    Raises:
        ArtifactError: an expert is damaged.
    """
    return {entry.name: _manifest(folder / entry.folder)["details"].get(DESCRIPTION) for entry in contents.experts}


def _manifest(folder: Path) -> dict[str, Any]:
    # What stands beside the manifest is verified where the expert is loaded.
    return read_manifest(folder, kind=KIND, format_number=FORMAT, oldest=OLDEST_FORMAT, verify=False)
