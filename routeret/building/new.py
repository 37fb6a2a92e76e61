"""A new index from corpora or from an export; it appears when it is whole."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from routeret.building.report import BuildReport
from routeret.building.sources import Sources
from routeret.building.unfinished import require_free, unfinished_index
from routeret.chunking import Chunker, chunker_from_dict
from routeret.corpus import Corpus
from routeret.encoders import load_encoder
from routeret.errors import ArtifactError, InputError, MissingExtraError
from routeret.fusion import SpaceFusion
from routeret.index import ChangeReport, Exported
from routeret.index.row_format import Storage
from routeret.retriever import Retriever
from routeret.retriever.creating import create_folder, model_name, pack_and_base
from routeret.retriever.warming import prepare_graphs


def build_index(
    path: Path | str,
    sources: Sequence[Corpus | Path | str],
    *,
    pack: str | Path | None = None,
    base: str | Path | None = None,
    chunker: Chunker | None = None,
    storage: Storage = "fp16",
    space_fusion: SpaceFusion = "scores",
    prefix_ids: bool = False,
    tune: bool = False,
    prepare: bool = False,
    device: str | None = None,
    download: bool = False,
    show_progress: bool = False,
) -> BuildReport:
    """Build an index in a folder beside ``path`` and move it there when it is whole.

    A build that was interrupted goes on where it stopped when the same call is made again: documents that were
    embedded and kept are not embedded twice. Another pack, base, chunker, storage or fusion begins anew.

    Args:
        path: the index's folder; must not exist.
        sources: corpora, or paths to them; each is read once to check it and once to add it.
        pack: the pack of experts; see :meth:`Retriever.create`.
        base: a base model without experts, instead of a pack.
        chunker: cuts documents into spans; by default a document is one span.
        storage: precision of the stored vectors.
        space_fusion: how the scores of several spaces become one; see :meth:`Retriever.create`.
        prefix_ids: make every id ``<corpus>/<id>``.
        tune: learn a map of queries from the documents, without labels; see :meth:`Retriever.tune_unlabelled`.
        prepare: first export the graphs that run the models on a processor, see :meth:`Retriever.warm`; where that
            fails, the report says why, and the index is built all the same.
        device: where the model runs.
        download: fetch a model that is not on this machine.
        show_progress: draw a progress bar on stderr.

    Raises:
        ArtifactError: something is at ``path`` already, or the disk is full.
        CorpusError: a corpus is missing, empty or broken; the file and line are named.
        DuplicateIdError: an id comes twice; both places are named.
        IndexLockedError: another process is building the same index.
    """
    path = Path(path)
    require_free(path)
    found = Sources(sources, prefix_ids=prefix_ids)
    chosen, named = pack_and_base(pack, base)
    encoder = load_encoder(named, device=device, download=download)
    create = partial(
        create_folder,
        base=encoder,
        model=model_name(named),
        pack=chosen,
        chunker=chunker,
        storage=storage,
        space_fusion=space_fusion,
    )
    with (
        unfinished_index(path, create=create, resume=True) as folder,
        Retriever.open(folder, base=encoder, chunker=chunker) as retriever,
    ):
        # Before the documents, which the graph may write faster.
        unprepared = _unprepared(retriever) if prepare else None
        # Of what an interrupted build has kept, documents may have gone from their sources or changed since.
        change = retriever.sync(found.joined(path.name), total=len(found), show_progress=show_progress)
        retriever.compact()
        report = BuildReport.of(change, index=path, n_documents=len(retriever), n_by_corpus=found.n_by_corpus)
        tuned = retriever.tune_unlabelled(show_progress=show_progress) if tune else None
        return replace(report, tuned=tuned, unprepared=unprepared)


def import_index(
    path: Path | str,
    folder: Path | str,
    *,
    pack: str | Path | None = None,
    base: str | Path | None = None,
    storage: Storage | None = None,
    space_fusion: SpaceFusion | None = None,
    device: str | None = None,
    download: bool = False,
    show_progress: bool = False,
) -> BuildReport:
    """Add the documents of an export to an index with their vectors; nothing is embedded.

    Args:
        path: the index's folder; where there is none, it is made as :func:`build_index` does, with the export's
            chunker.
        folder: the export.
        pack: the pack of experts, for a new index.
        base: a base model without experts, for a new index.
        storage: precision of the stored vectors of a new index; by default half precision.
        space_fusion: how the scores of several spaces become one in a new index; by default ``"scores"``.
        device: where the model of a new index runs.
        download: fetch a model that is not on this machine.
        show_progress: draw a progress bar on stderr.

    Raises:
        ArtifactError: the folder is no export, or is damaged; or ``path`` is no index.
        SpaceMismatchError: the export's vectors are of another space than the index's.
        DuplicateIdError: an id is in the index with another content.
        InputError: the index is there, and a pack, a base, a storage or a fusion was given; or the export's chunker
            cannot cut its documents as it did.
        IndexLockedError: another process is writing, or building the same index.
    """
    path = Path(path)
    exported = Exported(folder)
    n_by_corpus = {exported.corpus.name: len(exported)}
    if path.exists():
        given = {"--pack": pack, "--base": base, "--storage": storage, "--space-fusion": space_fusion}
        _require_unset(path, given)
        with Retriever.open(path) as retriever:
            change = retriever.import_documents(exported, show_progress=show_progress)
            return BuildReport.of(_copied(change), index=path, n_documents=len(retriever), n_by_corpus=n_by_corpus)
    chosen, named = pack_and_base(pack, base)
    encoder = load_encoder(named, device=device, download=download)
    exported.space.require_same(encoder.space, here=f"export {exported.folder}", there=f"base {named!r}")
    create = partial(
        create_folder,
        base=encoder,
        model=model_name(named),
        pack=chosen,
        chunker=chunker_from_dict(exported.chunker),
        storage=storage or "fp16",
        space_fusion=space_fusion or "scores",
    )
    # Nothing is embedded, so an import that was interrupted loses little by beginning anew.
    with (
        unfinished_index(path, create=create, resume=False) as unfinished,
        Retriever.open(unfinished, base=encoder) as retriever,
    ):
        change = retriever.import_documents(exported, show_progress=show_progress)
        return BuildReport.of(_copied(change), index=path, n_documents=len(retriever), n_by_corpus=n_by_corpus)


def _copied(change: ChangeReport) -> ChangeReport:
    """The report of a change whose vectors came from an export."""
    return replace(change, spans_embedded=0, spans_reused=change.spans_reused + change.spans_embedded)


def _require_unset(path: Path, value_by_option: Mapping[str, object]) -> None:
    named = [option for option, value in value_by_option.items() if value is not None]
    if named:
        raise InputError(
            f"{path} exists already, and {', '.join(named)} can be chosen for a new index only; leave it out, or give "
            f"another folder"
        )


def _unprepared(retriever: Retriever) -> str | None:
    """Export the graphs of the models; gives why that failed. Without them, searches are slower and the same."""
    try:
        prepare_graphs(retriever.searcher.pool)
    except (ArtifactError, MissingExtraError) as error:
        return str(error)
    return None
