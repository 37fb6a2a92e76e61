"""The documents of an open retriever: added, replaced, removed, checked and moved."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routeret.conditions import Filter
from routeret.corpus import Corpus, scan
from routeret.experts import TowerExpert
from routeret.index import ChangeReport, Exported, Index
from routeret.index.adding import Mode
from routeret.index.lock import writer_lock
from routeret.index.structures.ann import RECALL
from routeret.index.structures.gpu_placing import GPU_FACTORIES
from routeret.retriever.checking import CheckReport, check_folder
from routeret.retriever.folder import Contents
from routeret.retriever.loading import Loader
from routeret.retriever.own_spaces import drop_unnamed_spaces
from routeret.retriever.searching import Searcher
from routeret.retriever.shared_lock import SharedLock
from routeret.space import Space
from routeret.types import Document

Source = Corpus | Path | str | Iterable[Document | Mapping[str, Any]]
"""What documents come from."""


RETRIEVER_LOCK = "retriever.lock"
"""Held by who changes documents or experts, so that both are changed by one at a time."""


class DocumentKeeper:
    """A folder with an index, a base model and a pool, whose documents change; searches go on meanwhile."""

    def __init__(self, folder: Path, index: Index, loader: Loader) -> None:
        """Keep what is open.

        Args:
            folder: the retriever's.
            index: its documents and their vectors.
            loader: loads base, experts and router when they are needed.
        """
        self._folder = folder
        self._index = index
        self._loader = loader
        self._using_index = SharedLock()

    @property
    def index(self) -> Index:
        """The documents and their vectors."""
        return self._index

    @property
    def searcher(self) -> Searcher:
        """What searches the index as it is now, for those who bring their own routing; loads base and experts."""
        return self._loader.searcher()

    def refresh(self) -> None:
        """See the documents and experts that others have added or removed since."""
        with self._using_index.alone():
            contents = Contents.read(self._folder)
            self._index.refresh()
            self._loader.renew(contents)

    def add(
        self,
        source: Source,
        *,
        prefix_ids: bool = False,
        total: int | None = None,
        show_progress: bool = False,
    ) -> ChangeReport:
        """Add documents: all of them or, if anything goes wrong, none. What is there already is not embedded again.

        A call that was interrupted goes on where it stopped when it is repeated.

        Args:
            source: a corpus; a path to a BEIR folder, JSON lines, CSV or a folder of texts; or documents. A path or a
                sequence is read once before anything is embedded, so that what is wrong in it shows at once.
            prefix_ids: make every id ``<corpus>/<id>``.
            total: how many documents come, for the progress bar, where they cannot be counted.
            show_progress: draw a progress bar on stderr.

        Raises:
            CorpusError: the source is missing or empty, or something in it cannot be read; the place is named.
            DuplicateIdError: an id comes twice, or is in the index with another content.
            SpaceMismatchError: the base model has changed since the index was made.
            IndexLockedError: another process is writing.
        """
        return self._bring("add", source, prefix_ids=prefix_ids, total=total, show_progress=show_progress)

    def upsert(
        self,
        source: Source,
        *,
        prefix_ids: bool = False,
        total: int | None = None,
        show_progress: bool = False,
    ) -> ChangeReport:
        """Add documents, and put them in place of those with the same ids; all of them or none.

        Spans that have not changed are not embedded again. Args and errors are those of :meth:`add`, but another
        content is no error.
        """
        return self._bring("upsert", source, prefix_ids=prefix_ids, total=total, show_progress=show_progress)

    def sync(
        self,
        source: Source,
        *,
        prefix_ids: bool = False,
        total: int | None = None,
        show_progress: bool = False,
    ) -> ChangeReport:
        """Make the index hold these documents and no others; all of it or nothing.

        Args and errors are those of :meth:`upsert`.
        """
        return self._bring("sync", source, prefix_ids=prefix_ids, total=total, show_progress=show_progress)

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: Filter | Mapping[str, Any] | None = None
    ) -> ChangeReport:
        """Take documents out, named by ids or by a filter on their metadata; all of them or none.

        Args:
            ids: document ids.
            filter: for example ``{"year": {"lt": 2020}}``; see :func:`routeret.filters.parse_filter`.

        Raises:
            UnknownDocumentError: an id is not in the index.
            InputError: neither or both were given, or the filter is malformed.
            IndexLockedError: another process is writing.
        """
        with self._writing() as index:
            return index.delete(ids, filter=filter)

    def compact(self) -> int:
        """Give the room of removed documents back; gives how many rows went. Nothing is embedded.

        Raises:
            IndexLockedError: another process is writing.
            ArtifactError: a vector file is damaged, or the disk is full.
        """
        with self._writing() as index:
            return index.compact()

    def optimise(self, *, recall: float = RECALL, factory: str | None = None) -> dict[str, Any]:
        """Build the search structures of all spaces again; gives what was built and measured.

        No document is embedded. Adding documents builds structures by itself when it pays. The recall is measured on
        some hundred short queries made of documents, as the base and every expert write them, each in its own space.

        Args:
            recall: which share of the ten nearest spans a search must find, for the worst of those who write into a
                space.
            factory: a FAISS factory string, or ``"exact"``; None chooses by the number of spans. ``"CAGRA"`` is a graph
                on the GPU that the retriever was opened with; it lasts as long as the retriever is open.

        Returns:
            Plain JSON values: the structure of the base's space and, where experts have brought spaces of their own,
            those of these as ``spaces``, by fingerprint.

        Raises:
            InputError: FAISS cannot make the factory string, or the recall is out of range.
            MissingExtraError: faiss is not installed.
        """
        if factory in GPU_FACTORIES:
            with self._using_index.shared():
                return self._optimised(self._index, self._index.space, recall=recall, factory=factory)
        with self._writing() as index:
            built, *others = (self._optimised(index, space, recall=recall, factory=factory) for space in index.spaces)
            fingerprints = [space.fingerprint for space in index.spaces[1:]]
            return {**built, "spaces": dict(zip(fingerprints, others, strict=True))} if others else built

    def verify(self) -> CheckReport:
        """What is not as it was written, in documents, vectors, experts and router; reads every file once."""
        return check_folder(self._folder)

    def export(self, folder: Path | str) -> None:
        """Write documents and vectors as a BEIR folder with NumPy files.

        Raises:
            ArtifactError: something is at ``folder`` already.
        """
        with self._using_index.shared():
            self._index.export(folder)

    def import_documents(self, source: Exported | Path | str, *, show_progress: bool = False) -> ChangeReport:
        """Add the documents of an export with their vectors; only experts with a space of their own embed anything.

        Args:
            source: what :meth:`export` wrote, from an index of the same space and chunker; open, or its folder.
            show_progress: draw a progress bar on stderr.

        Raises:
            ArtifactError: the folder is no export, or is damaged.
            SpaceMismatchError: the vectors are of another space.
            DuplicateIdError: an id is in the index with another content.
        """
        exported = source if isinstance(source, Exported) else Exported(source)
        with self._writing() as index:
            encoders = [exported, *self._loader.encoders()[1:]]
            return index.add(exported.corpus, encoders, total=len(exported), show_progress=show_progress)

    def _optimised(self, index: Index, space: Space, *, recall: float, factory: str | None) -> dict[str, Any]:
        """Build the structure of a space again; gives what was built, measured on queries of who writes into it."""
        probes = self._loader.probes(index, space) if len(index) else None
        return index.optimise(recall=recall, factory=factory, probes=probes or None, space=space)

    def _bring(
        self, mode: Mode, source: Source, *, prefix_ids: bool, total: int | None, show_progress: bool
    ) -> ChangeReport:
        corpus = Corpus.of(source)
        if prefix_ids:
            corpus = corpus.with_prefix()
        if total is None and not isinstance(source, Corpus | Iterator):
            total = scan([corpus])
        with self._writing() as index:
            encoders = self._loader.encoders()
            change = {"add": index.add, "upsert": index.upsert, "sync": index.sync}[mode]
            return change(corpus, encoders, total=total, show_progress=show_progress)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Be the only one who changes this retriever, and see what others changed before and what this block did.

        Raises:
            IndexLockedError: somebody else is changing it.
        """
        with writer_lock(self._folder, name=RETRIEVER_LOCK):
            if Contents.read(self._folder) != self._loader.contents:
                self.refresh()
            try:
                yield
            finally:
                self.refresh()

    @contextmanager
    def _writing(self) -> Iterator[Index]:
        """The index, open a second time, so that searches go on until a change is there."""
        with self._changing(), self._opened() as index:
            yield index

    @contextmanager
    def _opened(self, *, keep: TowerExpert | None = None) -> Iterator[Index]:
        """The index to be changed, without the spaces that no expert needs.

        Args:
            keep: an expert whose space stays though no expert needs it yet.
        """
        with Index.open(self._folder, chunker=self._index.chunker, probes=self._loader.probes) as index:
            drop_unnamed_spaces(index, self._loader.contents, keep=keep)
            yield index
