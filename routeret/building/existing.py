"""Whole corpora into an index that is there: added, put in place of what they change, or made all that it holds."""

from collections.abc import Callable, Sequence
from pathlib import Path

from routeret.building.report import BuildReport
from routeret.building.sources import Sources
from routeret.corpus import Corpus
from routeret.errors import InputError
from routeret.index.adding import Mode
from routeret.retriever import Retriever

Confirm = Callable[[int, int], bool]
"""Asked before much is removed, with how many documents would go and how many there are."""


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
        IndexLockedError: another process is writing.
    """
    return _bring("add", path, sources, prefix_ids=prefix_ids, device=device, show_progress=show_progress)


def upsert_corpora(
    path: Path | str,
    sources: Sequence[Corpus | Path | str],
    *,
    prefix_ids: bool = False,
    device: str | None = None,
    show_progress: bool = False,
) -> BuildReport:
    """Add the documents of corpora, and put them in place of those with the same ids; all of them or none.

    Args and errors are those of :func:`add_corpora`, but another content is no error.
    """
    return _bring("upsert", path, sources, prefix_ids=prefix_ids, device=device, show_progress=show_progress)


def sync_corpora(
    path: Path | str,
    sources: Sequence[Corpus | Path | str],
    *,
    prefix_ids: bool = False,
    device: str | None = None,
    confirm: Confirm | None = None,
    show_progress: bool = False,
) -> BuildReport:
    """Make an index hold the documents of corpora and no others; all of it or nothing.

    Args and errors are those of :func:`upsert_corpora`, and:

    Args:
        path: the index's folder.
        sources: corpora, or paths to them.
        prefix_ids: make every id ``<corpus>/<id>``.
        device: where the model runs.
        confirm: asked before more than half of the documents are removed; None removes them.
        show_progress: draw a progress bar on stderr.

    Raises:
        InputError: ``confirm`` said no; nothing was changed.
    """
    return _bring(
        "sync", path, sources, prefix_ids=prefix_ids, device=device, confirm=confirm, show_progress=show_progress
    )


def _bring(
    mode: Mode,
    path: Path | str,
    sources: Sequence[Corpus | Path | str],
    *,
    prefix_ids: bool,
    device: str | None,
    show_progress: bool,
    confirm: Confirm | None = None,
) -> BuildReport:
    path = Path(path)
    with Retriever.open(path, device=device) as retriever:
        found = Sources(sources, prefix_ids=prefix_ids)
        if confirm is not None:
            _require_confirmed(retriever, found, confirm)
        change = {"add": retriever.add, "upsert": retriever.upsert, "sync": retriever.sync}[mode]
        report = change(found.joined(path.name), total=len(found), show_progress=show_progress)
        return BuildReport.of(report, index=path, n_documents=len(retriever), n_by_corpus=found.n_by_corpus)


def _require_confirmed(retriever: Retriever, found: Sources, confirm: Confirm) -> None:
    n_documents = len(retriever)
    n_removed = n_documents - int(retriever.index.contains(found.ids).sum())
    if 2 * n_removed > n_documents and not confirm(n_removed, n_documents):
        raise InputError(
            f"{n_removed} of the {n_documents} documents of {retriever.index.folder} are in none of the corpora, so "
            f"they would be removed, and that was not confirmed; nothing was changed: check the corpora, or give --yes"
        )
