"""Unpack a zip archive without ever writing outside the folder that it is meant for."""

import shutil
from pathlib import Path, PurePosixPath, PureWindowsPath
from zipfile import BadZipFile, ZipFile

from routeret.errors import DownloadError


def unpack(archive: Path, folder: Path, *, top: str, named: str) -> None:
    """Write the files of one folder of a zip archive.

    Args:
        archive: the file.
        folder: where to write; existing, without these files.
        top: the folder of the archive whose files are written, without its own name. What stands beside it in the
            archive is left out.
        named: what messages call the archive.

    Raises:
        DownloadError: the file is no zip archive, has no such folder, or names a path outside it; nothing was written.
    """
    try:
        with ZipFile(archive) as opened:
            for entry in opened.infolist():
                _require_inside(entry.filename, named)
            files = {
                folder.joinpath(*PurePosixPath(entry.filename).parts[1:]): entry
                for entry in opened.infolist()
                if not entry.is_dir() and PurePosixPath(entry.filename).parts[:1] == (top,)
            }
            if not files or folder in files:
                raise DownloadError(f"{named} holds no folder {top!r}; it is not the archive of this data set")
            for file, entry in files.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, file.open("xb") as target:
                    shutil.copyfileobj(source, target)
    except BadZipFile as error:
        raise DownloadError(f"{named} is not a whole zip archive: {error}") from error


def _require_inside(name: str, named: str) -> None:
    """Refuse an absolute path and one that climbs, in the form of any system."""
    path = PureWindowsPath(name)
    if path.anchor or ".." in path.parts:
        raise DownloadError(f"{named} holds the path {name!r}, which leads outside its folder; do not use it")
