"""An index made whole again, where nothing but what is derived is damaged."""

import shutil
from contextlib import closing
from pathlib import Path

from routeret.errors import ArtifactError
from routeret.index.derived import FULLTEXT
from routeret.index.lock import FULLTEXT_LOCK, STRUCTURE_LOCK, writer_lock
from routeret.index.schema import STORE
from routeret.index.store import Store
from routeret.index.store_writer import StoreWriter
from routeret.index.structures.ann import ANN
from routeret.index.verifying import Damage, verify_index
from routeret.index.witness import WITNESS, read_witness, require_commit, write_witness


def repair_index(folder: Path | str) -> list[Damage]:
    """Remove what is damaged and derived, so that it is built again; gives what was repaired.

    Full text is built again at the next search, a search structure when documents come next; until then vectors are
    searched exactly. The witness file is written anew from the store. Where the store has lost its last commits, but
    is whole as it was before them, the index goes on without them. Damaged documents and vectors stay as they are.

    Args:
        folder: the index's folder.

    Raises:
        IndexLockedError: another process is writing.
        ArtifactError: the folder cannot be written.
    """
    folder = Path(folder)
    with writer_lock(folder), writer_lock(folder, name=FULLTEXT_LOCK), writer_lock(folder, name=STRUCTURE_LOCK):
        repaired = _renew_witness(folder)
        roots = [folder / FULLTEXT, *(folder / ANN).glob("*")]
        found = [(root, one) for one in verify_index(folder) for root in roots if _is_below(root, one)]
        for root in {root for root, _ in found}:
            shutil.rmtree(root)
    return [*repaired, *(one for _, one in found)]


def _renew_witness(folder: Path) -> list[Damage]:
    """Write the witness anew if it is damaged, or says more than the store holds."""
    try:
        with closing(Store(folder)) as store:
            commit = store.commit()
    except (ArtifactError, ValueError):
        # Nothing tells what the witness should say.
        return []
    try:
        witnessed = read_witness(folder)
    except ArtifactError as error:
        _begin_anew(folder, commit=commit + 1)
        return [Damage(str(folder / WITNESS), str(error), derived=True)]
    try:
        require_commit(folder, witnessed=witnessed, found=commit)
    except ArtifactError as error:
        write_witness(folder, commit=commit)
        if all(one.derived for one in verify_index(folder)):
            _begin_anew(folder, commit=witnessed + 1)
            return [Damage(str(folder / STORE), str(error), derived=False)]
        # What is left is not whole either, so the index stays refused.
        write_witness(folder, commit=witnessed)
    return []


def _begin_anew(folder: Path, *, commit: int) -> None:
    """Begin a new generation where commits may be lost: what was derived from those must not be believed."""
    with closing(StoreWriter(folder)) as store, store.transaction():
        store.begin_generation(commit=commit)
    write_witness(folder, commit=commit)


def _is_below(root: Path, damage: Damage) -> bool:
    return damage.derived and Path(damage.path).is_relative_to(root)
