"""What an index derives from its documents and vectors: full text and search structures, made again when stale."""

import logging
import time
from functools import cache
from pathlib import Path

import numpy as np

from routeret.artifact import MANIFEST, remove_leftovers, temporary_folders
from routeret.errors import ArtifactError
from routeret.index.lexical import Covered, Fulltext, build, covered_of, update
from routeret.index.lock import FULLTEXT_LOCK, STRUCTURE_LOCK, writer_lock
from routeret.index.segments import StoredVectors
from routeret.index.snapshot import Snapshot
from routeret.index.store import Store
from routeret.index.structures.ann import ANN, Ann, open_ann
from routeret.index.structures.ann import build as build_ann
from routeret.index.structures.row_search import RowSearch
from routeret.index.structures.tuning import Probes
from routeret.optional import is_installed

FULLTEXT = "fulltext"

_ATTEMPTS = 5
_PAUSE = 0.05  # seconds

_logger = logging.getLogger(__name__)


def open_fulltext(folder: Path, store: Store, snapshot: Snapshot) -> Fulltext:
    """BM25 over the documents of a commit; what is missing, stale or damaged is made again first.

    Where the folder cannot be written, or belongs to a later generation already, it is made in memory.

    Args:
        folder: the index's folder.
        store: open at the commit.
        snapshot: what the commit holds.
    """
    gone = np.flatnonzero(~snapshot.live_documents)
    covered = Covered(snapshot.generation, snapshot.n_numbers)

    def opened() -> Fulltext:
        return Fulltext.open(
            folder / FULLTEXT, generation=covered.generation, n_documents=covered.n_documents, removed=gone
        )

    try:
        return opened()
    except ArtifactError:
        pass
    try:
        with writer_lock(folder, name=FULLTEXT_LOCK, wait=True):
            remove_leftovers(folder / FULLTEXT)
            _bring_up_to_date(folder / FULLTEXT, store, covered)
            return opened()
    except ArtifactError as error:
        # Derived data: whoever may write saves it next time.
        _logger.info("the full text of %s stays in memory: %s", folder, error)
    living = ((number, text) for number, text in store.texts(0, covered.n_documents) if snapshot.live_documents[number])
    return Fulltext.of(living, n_documents=covered.n_documents)


def _bring_up_to_date(folder: Path, store: Store, covered: Covered) -> None:
    """Write a full text that covers all numbers of a commit, staged documents too: they may be published later."""
    found = covered_of(folder)
    if found is not None and found.generation > covered.generation:
        raise ArtifactError(f"{folder} is of generation {found.generation}, after {covered.generation}")
    if found is not None and found.generation == covered.generation and found.n_documents < covered.n_documents:
        try:
            update(folder, store.texts(found.n_documents, covered.n_documents), covered=covered)
            return
        except ArtifactError as error:
            _logger.info("the full text is built again: %s", error)
    build(folder, store.texts(0, covered.n_documents), covered=covered)


def open_search(folder: Path, space: str, vectors: StoredVectors, snapshot: Snapshot) -> RowSearch:
    """Search over the vectors of a space, with its saved structure if that is of this generation."""
    return RowSearch(vectors, saved_structure(folder, space, snapshot))


def saved_structure(folder: Path, space: str, snapshot: Snapshot) -> Ann | None:
    """The saved structure of a space; None where there is none for this commit."""
    path = folder / ANN / space
    is_there = path.exists() or temporary_folders(path)
    # Asking for FAISS imports it.
    if not is_there or not is_installed("faiss"):
        return None
    for _ in range(_ATTEMPTS):
        try:
            return open_ann(path, space=space, generation=snapshot.generation, n_rows=snapshot.n_rows)
        except ArtifactError as error:
            _logger.info("all rows are searched exactly: %s", error)
            if path.exists() or not temporary_folders(path):
                return None
            # A new one is put into its place just now.
            time.sleep(_PAUSE)
    return None


def structure_mark(folder: Path, space: str) -> object:
    """A value that changes whenever the saved structure of a space is replaced."""
    try:
        found = (folder / ANN / space / MANIFEST).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def build_structure(
    folder: Path,
    space: str,
    vectors: StoredVectors,
    snapshot: Snapshot,
    *,
    factory: str | None,
    recall: float,
    probes: Probes | None,
    seed: int,
) -> RowSearch:
    """Build a structure over all rows of a commit and save it; see :func:`routeret.index.structures.ann.build`.

    Raises:
        InputError: FAISS cannot make the factory string, or recall or probes are out of range.
        MissingExtraError: faiss is not installed.
        ArtifactError: the folder cannot be written.
    """
    with writer_lock(folder, name=STRUCTURE_LOCK, wait=True):
        remove_leftovers(folder / ANN / space)
        previous = saved_structure(folder, space, snapshot)
        ann = build_ann(vectors, factory=factory, recall=recall, probes=probes, seed=seed, previous=previous)
        ann.save(folder / ANN / space, space=space, generation=snapshot.generation)
    return RowSearch(vectors, ann)


def measure_structure(
    folder: Path, space: str, vectors: StoredVectors, snapshot: Snapshot, probes: Probes
) -> RowSearch:
    """Measure a saved structure on further probes; where they miss its target it tries harder from now on.

    Raises:
        InputError: the probes have another shape than the vectors.
        ArtifactError: the folder cannot be written.
    """
    with writer_lock(folder, name=STRUCTURE_LOCK, wait=True):
        ann = saved_structure(folder, space, snapshot)
        if ann is not None:
            ann = ann.measured(vectors, probes)
            ann.save(folder / ANN / space, space=space, generation=snapshot.generation)
    return RowSearch(vectors, ann)


@cache
def advise_faiss() -> None:
    """Say once a process what would make search faster."""
    _logger.warning("faiss is not installed, so NumPy searches; for more speed run: pip install 'routeret[cpu]'")
