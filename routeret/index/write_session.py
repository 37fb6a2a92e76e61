"""One writer at work: the lock, the store open for changes, and clear words where the disk is full."""

import errno
import logging
import shutil
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from routeret.errors import ArtifactError
from routeret.index.lock import writer_lock
from routeret.index.segments import remove_orphans
from routeret.index.store_writer import StoreWriter
from routeret.index.witness import WITNESS, read_witness, require_commit, write_witness

_ROOM = 1 << 24  # a full disk may have some blocks left that are too few for what was to be written

_logger = logging.getLogger(__name__)


@contextmanager
def write_session(folder: Path) -> Iterator[StoreWriter]:
    """Hold an index's writer lock and its store; what dead writers left behind is removed first.

    Raises:
        IndexLockedError: another writer is at work; its process is named.
        ArtifactError: the folder cannot be written, is damaged, or the disk is full; the last commit stands.
    """
    try:
        with writer_lock(folder), closing(StoreWriter(folder)) as store:
            witnessed = read_witness(folder)
            require_commit(folder, witnessed=witnessed, found=store.commit())
            remove_orphans(folder, store.snapshot().segments)
            yield store
            _bear_witness(folder, store.commit(), witnessed=witnessed)
    except (OSError, sqlite3.Error) as error:
        if _is_full(error, folder):
            free = shutil.disk_usage(folder).free
            raise ArtifactError(
                f"the disk of index {folder} is full ({free:,} bytes are free); the index stands as it was at its last "
                f"commit: make room and run the call again, it goes on from where it stopped"
            ) from error
        if isinstance(error, sqlite3.DatabaseError) and _is_ours(error):
            raise ArtifactError(
                f"the store of index {folder} cannot be written ({error}); check it with: routeret verify {folder}"
            ) from error
        raise


def _bear_witness(folder: Path, commit: int, *, witnessed: int) -> None:
    if commit == witnessed:
        return
    try:
        write_witness(folder, commit=commit)
    except OSError as error:
        # The change is there; a witness that lags behind is allowed.
        _logger.warning("%s still says commit %d: %s", folder / WITNESS, witnessed, error)


def _is_full(error: OSError | sqlite3.Error, folder: Path) -> bool:
    """Whether the index's own disk is full; the source of a corpus may stand on another one."""
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return is_full and (error.errno == errno.EDQUOT or shutil.disk_usage(folder).free < _ROOM)
    return "full" in str(error) and _is_ours(error)


def _is_ours(error: sqlite3.Error) -> bool:
    """Whether an error of SQLite was raised by the index's own store, and not by a database that a corpus reads."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and Path(frames[-1][0].f_code.co_filename).parent == Path(__file__).parent
