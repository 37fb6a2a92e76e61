"""One writer at a time."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from routeret.errors import ArtifactError, IndexLockedError

LOCK = "writer.lock"
FULLTEXT_LOCK = "fulltext.lock"
STRUCTURE_LOCK = "ann.lock"
"""Locks of their own for derived data, so that a reader that saves some never stands in a writer's way."""


@contextmanager
def writer_lock(folder: Path, *, name: str = LOCK, wait: bool = False) -> Iterator[None]:
    """Be the only writer of an index folder while the block runs; the system frees the lock if the process dies.

    Args:
        folder: the index's folder.
        name: the lock's file.
        wait: wait until the other writer has ended, instead of raising.

    Raises:
        IndexLockedError: another writer holds the lock; its process is named.
        ArtifactError: the folder cannot be written.
    """
    path = folder / name
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise ArtifactError(
            f"index {folder} cannot be written ({error.strerror}); make the folder writable, or copy it and add there"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise ArtifactError(
                    f"index {folder} is on a file system without locks ({error.strerror}), where two writers could "
                    f"mix their changes; keep it on a local disk"
                ) from error
            if not isinstance(error, BlockingIOError):
                raise
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise IndexLockedError(
                f"index {folder} is being written by process {holder}; wait until it has ended, then try again"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        # The file stays: removing it would let a third process lock a file of its own.
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
