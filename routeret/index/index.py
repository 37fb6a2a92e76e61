"""One set of documents with vectors in one or several spaces: made, changed, checked, and searched."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from routeret.chunking import Chunker, WholeText, chunker_from_dict, require_same_chunker
from routeret.conditions import Filter
from routeret.corpus import Corpus
from routeret.errors import ArtifactError, InputError
from routeret.filters import parse_filter
from routeret.index import changing
from routeret.index.adding import Mode
from routeret.index.documents import listed, matching_documents
from routeret.index.exporting import export_documents
from routeret.index.optimising import Optimiser, ProbeSource
from routeret.index.reports import ChangeReport
from routeret.index.row_format import Storage, require_storage
from routeret.index.schema import STORE, create_store
from routeret.index.store import Store
from routeret.index.structures.gpu import open_device
from routeret.index.structures.gpu_placing import Device
from routeret.index.tokens import TokenStorage, require_token_storage
from routeret.index.verifying import Damage, verify_index
from routeret.index.witness import read_witness, require_commit, write_witness
from routeret.protocols import Encoder
from routeret.space import Space


class Index(Optimiser):
    """An open index. It keeps the commit it was opened at until :meth:`refresh` or a change of its own.

    Documents are numbered in the order in which they came; a row is one span of a document, with one vector a space.
    Numbers and rows of removed documents stay unused until :meth:`compact` gives them anew.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        chunker: Chunker,
        probes: ProbeSource | None = None,
        device: Device | None = None,
    ) -> None:
        """Keep an open store; :meth:`create` and :meth:`open` are the way in."""
        super().__init__(folder, store, probes=probes, device=device)
        self._chunker = chunker

    @classmethod
    def create(
        cls, folder: Path | str, space: Space, *, chunker: Chunker | None = None, storage: Storage = "fp16"
    ) -> "Index":
        """A new, empty index.

        Args:
            folder: made if it does not exist; must not hold an index.
            space: the space of all its vectors; one vector a span. :meth:`add_space` brings further ones.
            chunker: cuts documents into spans; by default a document is one span. It cannot be changed later.
            storage: precision of the stored vectors: ``"fp16"``, ``"fp32"`` or ``"int8"``.

        Raises:
            ArtifactError: the folder holds an index already.
            InputError: the space has one vector a token, or there is no such storage.
        """
        _require_single(space)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        chunker = chunker or WholeText()
        storage = require_storage(storage)
        if not (folder / STORE).exists():
            # The store comes last: where it is, the index is whole.
            write_witness(folder, commit=0)
        create_store(folder, space, storage=storage, chunker=chunker.as_dict())
        return cls.open(folder, chunker=chunker)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        chunker: Chunker | None = None,
        probes: ProbeSource | None = None,
        device: str | None = None,
        verify: bool = False,
    ) -> "Index":
        """The index of a folder, in milliseconds: vectors are mapped, not read.

        Args:
            folder: its folder.
            chunker: what the index was created with; needed only to change an index whose chunker is a function.
            probes: gives the queries on which the recall of a new search structure of a space is measured; where it
                gives none, and without it, some are made of documents.
            device: where rows of the first space are searched: ``"cpu"``, or a CUDA device such as ``"cuda:0"``, to
                which the vectors are copied at the first search.
            verify: read everything and compare every checksum.

        Raises:
            ArtifactError: there is none, or it is damaged or of another format; the message names the file.
            InputError: the chunker is another one than the index was created with, or there is no such device.
            MissingExtraError: a CUDA device is asked for, and faiss is not installed, or without its part for GPUs.
        """
        folder = Path(folder)
        gpu = None if device is None else open_device(device)
        if verify:
            damage = [one for one in verify_index(folder) if not one.derived]
            if damage:
                raise ArtifactError("; ".join(one.reason for one in damage))
        witnessed = _witnessed(folder)
        store = Store(folder)
        try:
            if isinstance(witnessed, ArtifactError):
                raise witnessed
            require_commit(folder, witnessed=witnessed, found=store.commit())
            stored = store.chunker()
            if chunker is not None:
                require_same_chunker(stored, chunker, here=f"index {folder.name!r}")
            return cls(folder, store, chunker or chunker_from_dict(stored), probes, gpu)
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> "Index":
        """The index itself; it is closed when the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the index."""
        self.close()

    @property
    def chunker(self) -> Chunker:
        """What cuts documents into spans."""
        return self._chunker

    def add(
        self,
        corpus: Corpus,
        encoders: Encoder | Sequence[Encoder],
        *,
        total: int | None = None,
        batch_size: int = 256,
        show_progress: bool = False,
    ) -> ChangeReport:
        """Add the documents of a corpus: all of them or, if anything goes wrong, none.

        A document that the index holds already with the same title, text and metadata is not embedded again. Nor is
        one that an earlier call embedded before it was interrupted.

        Args:
            corpus: read once, in blocks of some thousand documents.
            encoders: of the index's space; one for every space where it has several.
            total: how many documents come, for the progress bar.
            batch_size: how many texts the encoder gets at once.
            show_progress: draw a progress bar on stderr.

        Raises:
            SpaceMismatchError: an encoder writes another space, or there is none for one of the index's.
            CorpusError: the corpus is empty, or something in it cannot be read.
            DuplicateIdError: an id comes twice, or is in the index with another title, text or metadata.
            InputError: the encoder gave a vector of the wrong shape, of zeros, or not finite; or metadata is not JSON.
            IndexLockedError: another process is changing the index.
            ArtifactError: the folder cannot be written, or the disk is full.
        """
        return self._bring(corpus, encoders, "add", total, batch_size, show_progress)

    def upsert(
        self,
        corpus: Corpus,
        encoders: Encoder | Sequence[Encoder],
        *,
        total: int | None = None,
        batch_size: int = 256,
        show_progress: bool = False,
    ) -> ChangeReport:
        """Add the documents of a corpus, and put them in place of those with the same ids; all of them or none.

        Spans of a changed document whose title and text are as they were keep their vectors.

        Args and errors are those of :meth:`add`, but another content is no error.
        """
        return self._bring(corpus, encoders, "upsert", total, batch_size, show_progress)

    def sync(
        self,
        corpus: Corpus,
        encoders: Encoder | Sequence[Encoder],
        *,
        total: int | None = None,
        batch_size: int = 256,
        show_progress: bool = False,
    ) -> ChangeReport:
        """Make the index hold the documents of a corpus and no others; all of it or nothing.

        Args and errors are those of :meth:`upsert`.
        """
        return self._bring(corpus, encoders, "sync", total, batch_size, show_progress)

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: Filter | Mapping[str, Any] | None = None
    ) -> ChangeReport:
        """Take documents out, named by their ids or by a filter on their metadata; all of them or none.

        Args:
            ids: document ids.
            filter: see :func:`routeret.filters.parse_filter`.

        Raises:
            UnknownDocumentError: an id is not in the index.
            InputError: neither or both were given, or the filter is malformed.
            IndexLockedError: another process is changing the index.
        """
        if (ids is None) == (filter is None):
            raise InputError("delete takes either ids or a filter, and exactly one of the two")
        if filter is not None:
            parsed = parse_filter(filter)
            report = changing.remove_matching(self._folder, partial(matching_documents, parsed))
        else:
            report = changing.remove(self._folder, listed(ids or ()))
        self.refresh()
        return report

    def compact(self) -> int:
        """Give the room of removed documents back; gives how many rows went. Nothing is embedded.

        Raises:
            IndexLockedError: another process is changing the index.
            ArtifactError: a vector file is damaged, or the disk is full.
        """
        n_rows = changing.compact_index(self._folder)
        self.refresh()
        self._derive()
        return n_rows

    def add_space(
        self,
        encoder: Encoder,
        *,
        storage: Storage = "fp16",
        tokens: TokenStorage | None = None,
        batch_size: int = 256,
        show_progress: bool = False,
    ) -> int:
        """Give every row a vector in one more space; gives how many were embedded by this call.

        What an interrupted call has embedded is not embedded again. A space that is there already gets its tokens.

        Args:
            encoder: of the new space; for tokens a :class:`routeret.index.tokens.TokenEncoder`.
            storage: precision of its vectors.
            tokens: precision of the rows' token vectors, ``"fp16"`` or ``"int8"``, which :meth:`token_vectors` gives;
                None keeps none beside those that the space keeps already.
            batch_size: how many texts the encoder gets at once.
            show_progress: draw a progress bar on stderr.

        Raises:
            InputError: the space has one vector a token, the encoder gave an unusable vector, or gives no tokens where
                they are kept, or the space keeps tokens in another precision.
            IndexLockedError: another process is changing the index.
        """
        _require_single(encoder.space)
        n_rows = changing.embed_space(
            self._folder,
            encoder,
            storage=require_storage(storage),
            tokens=None if tokens is None else require_token_storage(tokens),
            batch_size=batch_size,
            show_progress=show_progress,
        )
        self.refresh()
        self._derive()
        return n_rows

    def drop_space(self, space: Space) -> None:
        """Forget the vectors and tokens of a space that :meth:`add_space` brought.

        Raises:
            InputError: it is the first space, or none of the index's.
            IndexLockedError: another process is changing the index.
        """
        changing.drop_space(self._folder, space.fingerprint)
        self.refresh()

    def drop_tokens(self, space: Space) -> None:
        """Forget the tokens of a space, also those that an interrupted :meth:`add_space` has left; the vectors stay.

        Raises:
            InputError: the index keeps no tokens of the space.
            IndexLockedError: another process is changing the index.
        """
        changing.drop_tokens(self._folder, space.fingerprint)
        self.refresh()

    def verify(self) -> list[Damage]:
        """Everything that is not as it was written; reads every file once."""
        return verify_index(self._folder)

    def export(self, folder: Path | str, *, space: Space | None = None) -> None:
        """Write documents and vectors as a BEIR folder with NumPy files; see :class:`routeret.index.Exported`.

        Args:
            folder: the folder to write; must not exist.
            space: whose vectors; by default the first space's.

        Raises:
            ArtifactError: something is at ``folder`` already.
        """
        space = space or self.space
        vectors, row_format = self._stored(space)
        export_documents(
            Path(folder), self._store, space=space, vectors=vectors, row_format=row_format, rows=self.live_rows
        )

    def _bring(
        self,
        corpus: Corpus,
        encoders: Encoder | Sequence[Encoder],
        mode: Mode,
        total: int | None,
        batch_size: int,
        show_progress: bool,
    ) -> ChangeReport:
        report = changing.bring(
            self._folder,
            corpus,
            encoders,
            chunker=self._chunker,
            mode=mode,
            total=total,
            batch_size=batch_size,
            show_progress=show_progress,
        )
        self.refresh()
        self._derive()
        return report


def _witnessed(folder: Path) -> int | ArtifactError:
    """The commit that the store holds at least, read before it; an error waits, since the store may tell more."""
    try:
        return read_witness(folder)
    except ArtifactError as error:
        return error


def _require_single(space: Space) -> None:
    if space.vectors != "single":
        raise InputError(
            f"space {space.fingerprint} has one vector a {space.vectors}; an index takes one vector a span"
        )
