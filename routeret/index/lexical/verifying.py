"""Every byte of a full-text folder against its checksum."""

import json
import struct
from pathlib import Path

from routeret.artifact import MANIFEST
from routeret.errors import ArtifactError
from routeret.index.lexical.files import crc_of, damaged_terms
from routeret.index.lexical.folder import ENGINE, resolved
from routeret.index.lexical.manifest import CHANGING, FileMark, Manifest

_META = "meta.json"
_FOOTER_END = struct.Struct("<II")
_FOOTER_MAGIC = 1337


def verify(folder: Path) -> list[tuple[Path, str]]:
    """The files of a full-text folder that are missing or damaged, and why; every byte that counts is read.

    What a killed writer left behind its last commit does not count. Nobody may be writing meanwhile.
    """
    try:
        manifest = Manifest.read(folder)
    except ArtifactError as error:
        return [(folder / MANIFEST, str(error))]
    # Checksums come first: what is damaged should not be opened.
    is_committed = manifest.next_state is None or not _has_gone_on(folder / ENGINE, manifest)
    state = manifest.state if is_committed or manifest.next_state is None else manifest.next_state
    damaged = _damaged_files(folder / ENGINE, manifest) if is_committed else _damaged_segments(folder / ENGINE)
    damaged += damaged_terms(folder, state.terms)
    if not damaged:
        try:
            resolved(folder, manifest)
        except ArtifactError as error:
            damaged.append((folder / ENGINE, str(error)))
    return damaged


def _has_gone_on(folder: Path, manifest: Manifest) -> bool:
    """Whether tantivy has made the commit that the manifest announces."""
    path = folder / _META
    return path.is_file() and manifest.engine_files.get(_META) != FileMark.of(path)


def _damaged_files(folder: Path, manifest: Manifest) -> list[tuple[Path, str]]:
    problems = []
    for name, mark in manifest.engine_files.items():
        if manifest.next_state is not None and name in CHANGING:
            continue
        path = folder / name
        if not path.is_file():
            problems.append((path, f"{path} is missing"))
            continue
        found = FileMark.of(path)
        if found != mark:
            problems.append(
                (
                    path,
                    f"{path} is damaged: {found.n_bytes} bytes with checksum {found.sha256[:16]}, expected "
                    f"{mark.n_bytes} with {mark.sha256[:16]}",
                )
            )
    return problems


def _damaged_segments(folder: Path) -> list[tuple[Path, str]]:
    """The same by tantivy's own checksums, between its commit and ours."""
    try:
        segments = json.loads((folder / _META).read_bytes())["segments"]
    except (ValueError, KeyError, TypeError) as error:
        return [(folder / _META, f"{folder / _META} is damaged: {error}")]
    names = {segment["segment_id"].replace("-", "") for segment in segments}
    paths = sorted(path for path in folder.iterdir() if path.name.split(".")[0] in names)
    return [(path, f"{path} is damaged: its checksum differs") for path in paths if not _is_whole(path)]


def _is_whole(path: Path) -> bool:
    """Whether a file has the CRC-32 that its footer tells: JSON, the JSON's length, and a fixed number at the end."""
    content_end = path.stat().st_size - _FOOTER_END.size
    if content_end < 0:
        return False
    with path.open("rb") as file:
        file.seek(content_end)
        length, magic = _FOOTER_END.unpack(file.read())
        if magic != _FOOTER_MAGIC or length > content_end:
            return False
        file.seek(content_end - length)
        try:
            crc = json.loads(file.read(length))["crc"]
        except (ValueError, KeyError, TypeError):
            return False
    return bool(crc_of(path, content_end - length) == crc)
