"""Saved folders: written whole or not at all, with a manifest of checksums and a format number."""

import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routeret.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFEST = "manifest.json"


def sha256_of(path: Path) -> str:
    """64 hexadecimal digits of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, durably, over whatever stood there."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.tmp-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # temporary files are private to their owner; saved ones are for every reader
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def safetensors_of(arrays: "Mapping[str, NDArray[Any]]", metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file.

    The library writes the memory of an array as it lies there, also where its columns come first; so every array is
    brought into the order of its rows before.

    Args:
        arrays: by name, of any shape.
        metadata: words to keep beside them.
    """
    import numpy as np
    from safetensors.numpy import save

    in_order = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(in_order, None if metadata is None else dict(metadata))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON whole or not at all, in a form that diffs well."""
    write_file(path, (json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode())


def require_free(path: Path) -> None:
    """Do nothing if there is nothing at a path yet.

    Raises:
        ArtifactError: there is.
    """
    if path.exists():
        raise ArtifactError(f"{path} exists already; choose another folder or remove it first")


@contextmanager
def new_folder(path: Path, *, replace: bool = False, into_empty: bool = False) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path`` if the block ends well, and vanishes if it does not.

    Args:
        path: the folder to write.
        replace: put the new folder in place of an old one; without it an existing folder is an error.
        into_empty: take the place of a folder that exists if nothing is in it.

    Raises:
        ArtifactError: something is at ``path`` already, perhaps since another process has just written it.
    """
    if not replace and not (into_empty and path.is_dir() and not any(path.iterdir())):
        require_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.tmp-", dir=path.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                # Some libraries write files that only their owner may read.
                file.chmod(0o644)
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        for folder in (temporary, *(one for one in temporary.rglob("*") if one.is_dir())):
            sync_folder(folder)
        if replace and path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.tmp-", dir=path.parent))
            path.rename(old / path.name)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            _rename_new(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _rename_new(temporary: Path, path: Path) -> None:
    try:
        # A folder takes the place of an empty one at most.
        temporary.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise ArtifactError(f"{path} was written by another process meanwhile; open that, or remove it") from error


def temporary_folders(path: Path) -> list[Path]:
    """The folders that :func:`new_folder` is writing for ``path`` now, or was writing when it was killed."""
    return sorted(folder for folder in path.parent.glob(f".{glob.escape(path.name)}.tmp-*") if folder.is_dir())


def remove_leftovers(path: Path) -> None:
    """Remove what calls of :func:`new_folder` for ``path`` left behind when they were killed; none may be at work."""
    for folder in temporary_folders(path):
        shutil.rmtree(folder, ignore_errors=True)


def write_manifest(
    folder: Path, *, kind: str, format_number: int, fields: dict[str, Any], covered: Iterable[Path] | None = None
) -> None:
    """Write ``manifest.json`` with the checksum of every other file in the folder.

    Args:
        folder: holds the files; sub-folders with a manifest of their own are covered by that manifest's checksum.
        kind: what the folder is, for example ``"expert"``.
        format_number: raised whenever an older reader could misread the folder.
        fields: JSON values; the names ``kind``, ``format``, ``files`` and ``checksum`` are taken.
        covered: the files whose checksums are kept, where others of the folder change later; None takes all.
    """
    files = {
        file.relative_to(folder).as_posix(): sha256_of(file)
        for file in sorted(folder.rglob("*") if covered is None else covered)
        if file.is_file() and file != folder / MANIFEST
    }
    values = {**fields, "kind": kind, "format": format_number, "files": files}
    write_json(folder / MANIFEST, {**values, "checksum": _checksum(values)})


def read_manifest(
    folder: Path, *, kind: str, format_number: int, oldest: int | None = None, verify: bool = True
) -> dict[str, Any]:
    """Give the manifest of a folder.

    Args:
        folder: a folder that :func:`write_manifest` finished.
        kind: what the folder must be.
        format_number: the newest format that the caller reads.
        oldest: the oldest one, which is the caller's to convert; by default only the newest is read.
        verify: compare the checksum of every file.

    Raises:
        ArtifactError: the manifest is missing, broken, of another kind or newer, or a file is missing or damaged.
    """
    path = folder / MANIFEST
    manifest = _parsed(folder, kind=kind)
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        found = manifest.get("kind") if isinstance(manifest, dict) else type(manifest).__name__
        raise ArtifactError(f"{folder} is a {found!r}, expected a {kind!r}")
    readable = range(format_number if oldest is None else oldest, format_number + 1)
    if manifest.get("format") not in readable:
        reads = f"format {format_number}" if oldest is None else f"formats {oldest} to {format_number}"
        raise ArtifactError(
            f"{folder} has {kind} format {manifest.get('format')}, this version reads {reads}; "
            f"it was written by routeret {manifest.get('routeret', 'of an unknown version')}: open it with that version"
        )
    # Manifests of the first versions have no checksum of their own.
    checksum = manifest.pop("checksum", None)
    if checksum is not None and checksum != _checksum(manifest):
        raise ArtifactError(f"{path} is damaged: its own checksum differs; restore it from its source")
    if verify:
        _verify_files(folder, manifest["files"])
    return dict(manifest)


def kind_of(folder: Path) -> str:
    """What a folder is, as its manifest says; nothing else in it is looked at.

    Args:
        folder: a folder that :func:`write_manifest` finished.

    Raises:
        ArtifactError: the manifest is missing or broken.
    """
    manifest = _parsed(folder, kind="folder")
    return str(manifest.get("kind")) if isinstance(manifest, dict) else type(manifest).__name__


def _parsed(folder: Path, *, kind: str) -> Any:  # noqa: ANN401 - any JSON value
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} has no {MANIFEST}; it is not a routeret {kind}, or writing it was interrupted")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}") from error


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def differing_files(folder: Path, checksums: Mapping[str, str]) -> Iterator[tuple[Path, str | None]]:
    """The files of a folder whose content is not what a manifest says, with the checksum found; None for missing ones.

    Args:
        folder: holds the files.
        checksums: by name, as :func:`write_manifest` keeps them.
    """
    for name, expected in sorted(checksums.items()):
        file = folder / name
        found = sha256_of(file) if file.is_file() else None
        if found != expected:
            yield file, found


def _verify_files(folder: Path, checksums: dict[str, str]) -> None:
    for file, found in differing_files(folder, checksums):
        if found is None:
            raise ArtifactError(f"{file} is missing; {MANIFEST} lists it; restore the folder from its source")
        expected = checksums[file.relative_to(folder).as_posix()]
        raise ArtifactError(
            f"{file} is damaged: checksum {found[:16]}, expected {expected[:16]}; restore it from its source"
        )


@contextmanager
def naming_damage(folder: Path) -> Iterator[None]:
    """Turn what goes wrong while a saved folder is read into an error that names the folder.

    Raises:
        ArtifactError: a file is missing or damaged, or does not fit the manifest.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder} is damaged: {error}; restore it, or train it again") from error
