"""Fetch a public data set: over the network into a folder of its own, all of it or nothing."""

import hashlib
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from routeret.artifact import new_folder
from routeret.downloads.public_sets import PublicSet, public_sets
from routeret.downloads.unpacking import unpack
from routeret.errors import DownloadError, InputError
from routeret.progress import track

_CHUNK = 1_000_000
_TIMEOUT = 60.0
"""Seconds without a byte after which the server counts as gone."""


def fetch(source: PublicSet | str, folder: Path | str, *, show_progress: bool = False) -> Path:
    """Download a data set and unpack it; a call that fails or is interrupted leaves nothing behind.

    The archive must have the size and the MD5 sum that were published for it; nothing is unpacked before.

    Args:
        source: the name of a public set, or where one is.
        folder: the folder to make; it holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels`` afterwards.
        show_progress: draw a progress bar on stderr.

    Returns:
        The folder.

    Raises:
        InputError: there is no public set of this name; the names are listed.
        ArtifactError: something is at ``folder`` already.
        DownloadError: the server cannot be reached, or what it sent is not what was published.
    """
    if isinstance(source, str):
        source = _known(source, named=f"{source!r}")
    folder = Path(folder)
    with new_folder(folder) as temporary:
        archive = temporary / "archive.zip.part"
        _transfer(source, archive, show_progress=show_progress)
        unpack(archive, temporary, top=source.name, named=source.url)
        archive.unlink()
    return folder


def fetch_missing(folders: Sequence[Path | str], *, show_progress: bool = False) -> list[Path]:
    """Download the public sets that some folders are named after, where the folders are not there.

    Args:
        folders: for example ``sets/scifact``. One that exists is left as it is.
        show_progress: draw a progress bar on stderr.

    Returns:
        The folders that were made, in order.

    Raises:
        InputError: a folder that is not there is not named after a public set; nothing was fetched.
        DownloadError: the server cannot be reached, or what it sent is not what was published.
    """
    missing = list(dict.fromkeys(Path(folder) for folder in folders if not Path(folder).exists()))
    sources = [_known(folder.name, named=f"{folder} does not exist, and {folder.name!r}") for folder in missing]
    pairs = zip(sources, missing, strict=True)
    return [fetch(source, folder, show_progress=show_progress) for source, folder in pairs]


def _known(name: str, *, named: str) -> PublicSet:
    known = public_sets()
    if name not in known:
        raise InputError(f"{named} is no public data set; these can be fetched: {', '.join(known)}")
    return known[name]


def _transfer(source: PublicSet, file: Path, *, show_progress: bool) -> None:
    """Write what the server sends if it is what was published."""
    digest = hashlib.md5(usedforsecurity=False)
    n_bytes = 0
    chunks = track(
        _chunks(source),
        description=f"downloading {source.name}",
        total=-(-source.n_bytes // _CHUNK),
        unit="MB",
        show=show_progress,
    )
    with file.open("wb") as opened:
        for chunk in chunks:
            opened.write(chunk)
            digest.update(chunk)
            n_bytes += len(chunk)
            if n_bytes > source.n_bytes:
                break  # an answer without end
    if n_bytes != source.n_bytes:
        found = f"{n_bytes:,} bytes" if n_bytes < source.n_bytes else f"more than {source.n_bytes:,} bytes"
        raise DownloadError(
            f"{source.url} gave {found}, expected {source.n_bytes:,}: the transfer was cut, or the file has changed; "
            f"try again"
        )
    if digest.hexdigest() != source.md5:
        raise DownloadError(
            f"{source.url} gave a file with MD5 {digest.hexdigest()}, expected {source.md5}: it is not the file that "
            f"was published; try again later, and do not use what comes until they agree"
        )


def _chunks(source: PublicSet) -> Iterator[bytes]:
    """What the server sends, in pieces of one megabyte."""
    try:
        with urlopen(source.url, timeout=_TIMEOUT) as response:
            while chunk := response.read(_CHUNK):
                yield chunk
    except (OSError, HTTPException) as error:
        raise DownloadError(
            f"{source.url} cannot be fetched ({error}); check the network and try again, or put the data set into "
            f"place by hand"
        ) from error
