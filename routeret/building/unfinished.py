"""Where an index is built: a hidden folder beside its place, which a build that was interrupted goes on in."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routeret.artifact import MANIFEST, sync_folder
from routeret.errors import ArtifactError, IndexLockedError
from routeret.index import Index
from routeret.retriever.folder import Contents


def require_free(path: Path) -> None:
    """Do nothing if a new index may be made at a path.

    Raises:
        ArtifactError: something is there already.
    """
    if path.exists():
        raise ArtifactError(
            f"{path} exists already; add documents to an index with: routeret add {path} CORPUS..., or choose another "
            f"folder"
        )


@contextmanager
def unfinished_index(path: Path, *, create: Callable[[Path], None], resume: bool) -> Iterator[Path]:
    """Give the folder of an index to fill, which moves to ``path`` if the block ends well.

    If it does not, the folder stays where something in it was embedded, so that another call can go on from there.

    Args:
        path: the index's folder; must not exist.
        create: writes the index without documents into a new folder. What it writes is compared with what is there,
            and that tells whether the arguments are the same.
        resume: go on in the folder that an interrupted call left, if it was begun with the same arguments. Otherwise
            that folder is removed first.

    Raises:
        ArtifactError: something is at ``path`` already.
        IndexLockedError: another process is building the same index.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.unfinished")
    with _held(place, path):
        folder = place / path.name
        try:
            # Another build may have ended while this one was checking its corpora.
            require_free(path)
            _begin(folder, create, resume=resume)
            yield folder
            folder.rename(path)
            sync_folder(path.parent)
        finally:
            if not (resume and _holds_work(folder)):
                shutil.rmtree(place, ignore_errors=True)


def _begin(folder: Path, create: Callable[[Path], None], *, resume: bool) -> None:
    """Leave an index at a folder that is what ``create`` makes, or that with documents."""
    for leftover in folder.parent.iterdir():
        if leftover != folder:
            shutil.rmtree(leftover)
    fresh = folder.with_name(f"{folder.name}.new")
    create(fresh)
    if resume and folder.exists() and _is_alike(folder, fresh):
        shutil.rmtree(fresh)
        return
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)


def _is_alike(folder: Path, fresh: Path) -> bool:
    try:
        return _settings(folder) == _settings(fresh)
    except ArtifactError:
        # What cannot be read cannot be gone on with.
        return False


def _settings(folder: Path) -> tuple[Any, ...]:
    """Everything that a retriever without documents says: base, experts, router, chunker, storage."""
    Contents.read(folder)
    with Index.open(folder) as index:
        info = index.info()
    storage = {fingerprint: values["storage"] for fingerprint, values in info["spaces"].items()}
    return (folder / MANIFEST).read_bytes(), info["chunker"], storage


def _holds_work(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        with Index.open(folder) as index:
            return len(index) > 0 or index.info()["staged_documents"] > 0
    except ArtifactError:
        return False


@contextmanager
def _held(place: Path, path: Path) -> Iterator[None]:
    """Hold the folder of a running build; the system lets go of it if the process dies."""
    while True:
        place.mkdir(exist_ok=True)
        descriptor = os.open(place, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise IndexLockedError(f"{path} is being built by another process; wait until it has ended") from error
            # Whoever held the folder before may have removed it since it was opened here.
            if _is_at(place, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _is_at(place: Path, descriptor: int) -> bool:
    """Whether an open folder is the one that stands at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except FileNotFoundError:
        return False
