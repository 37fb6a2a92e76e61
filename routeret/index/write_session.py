"""One writer at work: the lock, the store open for changes, and clear words where the disk is full."""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from routeret.errors import ArtifactError
from routeret.index.lock import writer_lock
from routeret.index.segments import remove_orphans
from routeret.index.store_writer import StoreWriter
from routeret.index.witness import read_witness, require_commit, write_witness


@contextmanager
def write_session(folder: Path) -> Iterator[StoreWriter]:
    """Hold an index's writer lock and its store; what dead writers left behind is removed first.

    Raises:
        IndexLockedError: another writer is at work; its process is named.
        ArtifactError: the folder cannot be written, is damaged, or the disk is full; the last commit stands.
    """
    try:
        with writer_lock(folder):
            witnessed = read_witness(folder)
            with closing(StoreWriter(folder)) as store:
                require_commit(folder, witnessed=witnessed, found=store.commit())
                remove_orphans(folder, store.snapshot().segments)
                yield store
                commit = store.commit()
                if commit != witnessed:
                    write_witness(folder, commit=commit)
    except (OSError, sqlite3.Error) as error:
        if _is_full(error):
            free = shutil.disk_usage(folder).free
            raise ArtifactError(
                f"the disk of index {folder} is full ({free:,} bytes are free); the index stands as it was at its last "
                f"commit: make room and run the call again, it goes on from where it stopped"
            ) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise ArtifactError(
                f"the store of index {folder} cannot be written ({error}); check it with: routeret verify {folder}"
            ) from error
        raise


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "full" in str(error)
