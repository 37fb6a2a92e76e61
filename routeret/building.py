"""Whole corpora into an index: all are read once before anything is written, and all are kept or none."""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from routeret.artifact import new_folder, temporary_folders
from routeret.corpus import Corpus, scan
from routeret.errors import ArtifactError, IndexLockedError
from routeret.retriever import Retriever
from routeret.types import Document


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a call added to an index.

    Attributes:
        index: the index's folder.
        n_documents: how many documents it holds now.
        n_by_corpus: how many documents were read from each corpus.
        added: how many of them are new in the index.
        unchanged: how many of them it held already.
        truncated: how many new documents the encoder's token limit cut.
        seconds: time for embedding and writing.
    """

    index: str
    n_documents: int
    n_by_corpus: dict[str, int]
    added: int
    unchanged: int
    truncated: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def build_index(
    path: Path | str,
    sources: Sequence[Corpus | Path | str],
    *,
    pack: str | Path | None = None,
    base: str | Path | None = None,
    prefix_ids: bool = False,
    device: str | None = None,
    download: bool = False,
    show_progress: bool = False,
) -> BuildReport:
    """Build an index in a folder beside ``path`` and move it there when it is whole.

    What an interrupted build of the same index left behind is removed.

    Args:
        path: the index's folder; must not exist.
        sources: corpora, or paths to them; each is read once to check it and once to add it.
        pack: the pack of experts; see :meth:`Retriever.create`.
        base: a base model without experts, instead of a pack.
        prefix_ids: make every id ``<corpus>/<id>``.
        device: where the model runs.
        download: fetch a model that is not on this machine.
        show_progress: draw a progress bar on stderr.

    Raises:
        ArtifactError: something is at ``path`` already.
        CorpusError: a corpus is missing, empty or broken; the file and line are named.
        DuplicateIdError: an id comes twice; both places are named.
        IndexLockedError: another process is building the same index.
    """
    path = Path(path)
    if path.exists():
        raise ArtifactError(
            f"{path} exists already; add documents to an index with: routeret add {path} CORPUS..., or choose another "
            f"folder"
        )
    corpora = _prepared(sources, prefix_ids=prefix_ids)
    n_documents = scan(corpora)
    _remove_leftovers(path)
    with ExitStack() as held_until_moved, new_folder(path) as folder:
        held_until_moved.enter_context(_held(folder, path))
        with Retriever.create(folder, pack=pack, base=base, device=device, download=download) as retriever:
            return _add(retriever, corpora, index=path, total=n_documents, show_progress=show_progress)


def add_corpora(
    path: Path | str,
    sources: Sequence[Corpus | Path | str],
    *,
    prefix_ids: bool = False,
    device: str | None = None,
    show_progress: bool = False,
) -> BuildReport:
    """Add the documents of corpora to an index: all of them or, if anything goes wrong, none.

    Args:
        path: the index's folder.
        sources: corpora, or paths to them; each is read once to check it and once to add it.
        prefix_ids: make every id ``<corpus>/<id>``.
        device: where the model runs.
        show_progress: draw a progress bar on stderr.

    Raises:
        ArtifactError: there is no index, or it is damaged or of another format.
        CorpusError: a corpus is missing, empty or broken; the file and line are named.
        DuplicateIdError: an id comes twice, or is in the index with another content.
        IndexLockedError: another process is adding.
    """
    with Retriever.open(path, device=device) as retriever:
        corpora = _prepared(sources, prefix_ids=prefix_ids)
        n_documents = scan(corpora)
        return _add(retriever, corpora, index=Path(path), total=n_documents, show_progress=show_progress)


def _prepared(sources: Sequence[Corpus | Path | str], *, prefix_ids: bool) -> list[Corpus]:
    return [corpus.with_prefix() if prefix_ids else corpus for corpus in map(Corpus.of, sources)]


def _add(
    retriever: Retriever, corpora: Sequence[Corpus], *, index: Path, total: int, show_progress: bool
) -> BuildReport:
    counts: Counter[str] = Counter()

    def read() -> Iterator[tuple[Document, str]]:
        for corpus in corpora:
            for located in corpus.located():
                counts[corpus.name] += 1
                yield located

    # One corpus for all of them, since one call keeps all its documents or none.
    report = retriever.add(Corpus(index.name, read), total=total, show_progress=show_progress)
    return BuildReport(
        index=str(index),
        n_documents=len(retriever),
        n_by_corpus=dict(counts),
        added=report.added,
        unchanged=report.unchanged,
        truncated=report.truncated,
        seconds=round(report.seconds, 3),
    )


def _remove_leftovers(path: Path) -> None:
    for leftover in temporary_folders(path):
        with _held(leftover, path):
            shutil.rmtree(leftover)


@contextmanager
def _held(folder: Path, path: Path) -> Iterator[None]:
    """Hold the folder of a running build; the system lets go of it if the process dies, so a leftover is free."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise IndexLockedError(f"{path} is being built by another process; wait until it has ended") from error
        yield
    finally:
        os.close(descriptor)
