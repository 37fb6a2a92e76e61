"""A retriever: documents embedded once, experts, and the router that weighs them for every query."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from routeret.chunking import Aggregation, Chunker
from routeret.conditions import Filter
from routeret.corpus import Corpus, scan
from routeret.encoders import load_encoder
from routeret.errors import InputError
from routeret.index import ChangeReport, Exported, Index
from routeret.index.adding import Mode
from routeret.index.reading import Reader
from routeret.index.row_format import Storage
from routeret.index.structures.ann import RECALL
from routeret.index.structures.gpu import searching_device
from routeret.index.structures.gpu_placing import GPU_FACTORIES
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.retriever import changing
from routeret.retriever.checking import CheckReport, check_folder
from routeret.retriever.creating import create_folder, model_name, pack_and_base
from routeret.retriever.folder import Contents
from routeret.retriever.loading import Loader
from routeret.retriever.pool import require_known
from routeret.retriever.probing import probe_queries
from routeret.retriever.results import Reranker, explained, hits_of, reranked
from routeret.retriever.scope import Scope
from routeret.retriever.searching import Searcher, candidate_depth, lexical_ranking, query_parts
from routeret.retriever.shared_lock import SharedLock
from routeret.training import TuneReport, tune
from routeret.types import LEXICAL, Document, FloatArray, Hits, LabelledQuery, Routing

Source = Corpus | Path | str | Iterable[Document | Mapping[str, Any]]
"""What documents come from."""


class Retriever:
    """An open retriever. Several threads may search it, also while one of them adds documents or experts.

    The base model, the experts and the router are loaded at the first query.
    """

    def __init__(self, folder: Path, index: Index, loader: Loader) -> None:
        """Keep what is open; :meth:`create` and :meth:`open` are the way in."""
        self._folder = folder
        self._index = index
        self._loader = loader
        self._using_index = SharedLock()

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        pack: str | Path | None = None,
        base: str | Path | Encoder | None = None,
        chunker: Chunker | None = None,
        storage: Storage = "fp16",
        device: str | None = None,
        download: bool = False,
    ) -> "Retriever":
        """A new retriever without documents.

        Args:
            path: its folder; must not exist, or be empty.
            pack: experts and router, by name or folder; ``"minilm-domains"`` where neither pack nor base is given.
            base: a base model by name or path, or an encoder; beside a pack, where the pack's base is.
            chunker: cuts documents into spans; by default a document is one span. It cannot be changed later.
            storage: precision of the stored vectors: ``"fp16"``, ``"fp32"`` or ``"int8"``.
            device: where a model runs, for example ``"cuda:0"``.
            download: fetch a model that is not on this machine.

        Raises:
            ArtifactError: something is at ``path`` already, or the pack is damaged.
            InputError: there is no such pack or storage.
            ModelNotFoundError: the base model is nowhere on this machine.
            SpaceMismatchError: the pack was made for another base.
        """
        chosen, named = pack_and_base(pack, base)
        encoder = load_encoder(named, device=device, download=download)
        create_folder(Path(path), base=encoder, model=model_name(named), pack=chosen, chunker=chunker, storage=storage)
        return cls.open(path, device=device, base=encoder, chunker=chunker)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        device: str | None = None,
        base: str | Path | Encoder | None = None,
        chunker: Chunker | None = None,
    ) -> "Retriever":
        """The retriever of a folder, in milliseconds: no model is loaded.

        Args:
            path: its folder.
            device: where a model runs, for example ``"cuda:0"``; with faiss-gpu, documents are searched there too.
            base: where the base model is now, or the encoder; needed only if it was moved, or if the retriever was
                created with an encoder.
            chunker: what the retriever was created with; needed only to add documents where it is a function.

        Raises:
            ArtifactError: there is no retriever, or it is damaged or of another format.
            InputError: the chunker is another one than the retriever was created with.
        """
        folder = Path(path)
        contents = Contents.read(folder)
        index = Index.open(
            folder,
            chunker=chunker,
            device=searching_device(device),
            probes=lambda opened: probe_queries(opened, loader.searcher().pool),
        )
        loader = Loader(index, contents, base=contents.model if base is None else base, device=device)
        return cls(folder, index, loader)

    def close(self) -> None:
        """Give the index up when the last search has ended; the retriever cannot be used afterwards."""
        with self._using_index.alone():
            self._index.close()

    def __enter__(self) -> "Retriever":
        """The retriever itself; it is closed when the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the retriever."""
        self.close()

    @property
    def index(self) -> Index:
        """The documents and their vectors."""
        return self._index

    @property
    def expert_names(self) -> tuple[str, ...]:
        """The experts in the pool, in the order in which they were added."""
        return self._loader.contents.expert_names

    @property
    def searcher(self) -> Searcher:
        """What searches the index as it is now, for those who bring their own routing; loads base and experts."""
        return self._loader.searcher()

    def __len__(self) -> int:
        """How many documents."""
        return len(self._index)

    def __repr__(self) -> str:
        """The folder, and what is in it."""
        return f"Retriever({str(self._folder)!r}, {len(self)} documents, {len(self.expert_names)} experts)"

    def get(self, document_id: str) -> Document:
        """The document of an id.

        Raises:
            UnknownDocumentError: it is not in the index.
        """
        with self._using_index.shared():
            return self._index.get(document_id)

    def info(self) -> dict[str, Any]:
        """Plain JSON values: what the index holds, the base, the pack, the experts. Loads no model."""
        contents = self._loader.contents
        with self._using_index.shared():
            index = self._index.info()
        return {
            "folder": str(self._folder),
            **index,
            "base": contents.model,
            "query_tower": contents.query_tower,
            "pack": contents.pack,
            "experts": list(contents.expert_names),
            "lexical_weight": contents.lexical_weight,
        }

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
        """Build the search structure again; gives what was built and measured. Nothing is embedded.

        Adding documents does so by itself when it pays. The recall is measured on queries as the base and every expert
        write them.

        Args:
            recall: which share of the ten nearest spans a search must find, for the worst of base and experts.
            factory: a FAISS factory string, or ``"exact"``; None chooses by the number of spans. ``"CAGRA"`` is a graph
                on the GPU that the retriever was opened with; it lasts as long as the retriever is open.

        Raises:
            InputError: FAISS cannot make the factory string, or the recall is out of range.
            MissingExtraError: faiss is not installed.
        """
        if factory in GPU_FACTORIES:
            with self._using_index.shared():
                probes = self._probes(self._index) if len(self._index) else None
                return self._index.optimise(recall=recall, factory=factory, probes=probes)
        with self._writing() as index:
            probes = self._probes(index) if len(index) else None
            return index.optimise(recall=recall, factory=factory, probes=probes)

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

    def import_documents(self, folder: Path | str, *, show_progress: bool = False) -> ChangeReport:
        """Add the documents of an export with their vectors; nothing is embedded.

        Args:
            folder: what :meth:`export` wrote, from an index of the same space and chunker.
            show_progress: draw a progress bar on stderr.

        Raises:
            ArtifactError: the folder is no export, or is damaged.
            SpaceMismatchError: the vectors are of another space.
            DuplicateIdError: an id is in the index with another content.
        """
        exported = Exported(folder)
        with self._writing() as index:
            return index.add(exported.corpus, exported, total=len(exported), show_progress=show_progress)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Filter | Mapping[str, Any] | None = None,
        expert: str | None = None,
        aggregation: Aggregation = "best",
        rerank: Reranker | None = None,
    ) -> Hits:
        """The k best documents for a query, and why.

        Args:
            query: a text that is not blank.
            k: at least 1; more than there are documents gives all of them.
            filter: which documents may be found, by their metadata, for example ``{"lang": "en"}``; see
                :func:`routeret.filters.parse_filter`.
            expert: use this one alone instead of routing: an expert of the pool, ``"base"`` or ``"bm25"``.
            aggregation: how the scores of a document's spans make its own.
            rerank: gives a new score for every hit, for example by a cross-encoder.

        Raises:
            InputError: the query is blank, ``k`` is below 1, the filter is malformed or names a field that no document
                has, or ``rerank`` gave something else than a score a hit.
            UnknownExpertError: there is no such expert.
            SpaceMismatchError: the base model has changed since the index or the experts were made.
        """
        if not isinstance(query, str):
            raise InputError(f"the query is a {type(query).__name__}, expected a string; see search_batch for several")
        return self.search_batch([query], k, filter=filter, expert=expert, aggregation=aggregation, rerank=rerank)[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        filter: Filter | Mapping[str, Any] | None = None,
        expert: str | None = None,
        aggregation: Aggregation = "best",
        rerank: Reranker | None = None,
        show_progress: bool = False,
    ) -> list[Hits]:
        """The k best documents for every query; see :meth:`search`.

        Args:
            queries: texts that are not blank.
            k: at least 1; more than there are documents gives all of them.
            filter: which documents may be found, by their metadata.
            expert: use this one alone instead of routing: an expert of the pool, ``"base"`` or ``"bm25"``.
            aggregation: how the scores of a document's spans make its own.
            rerank: gives a new score for every hit of a query.
            show_progress: draw a progress bar on stderr.
        """
        texts = _checked_queries(queries)
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        if expert is not None:
            require_known(expert, self.expert_names)
        with self._using_index.shared():
            scope = Scope.of(self._index, filter=filter, aggregation=aggregation)
            found = self._found(texts, k, scope=scope, expert=expert)
            hits = list(track(found, description="searching", total=len(texts), unit="queries", show=show_progress))
        return [reranked(one, rerank) for one in hits] if rerank is not None else hits

    def route(self, query: str) -> Routing:
        """What the router decides for a query, and why.

        Raises:
            InputError: the query is blank.
            SpaceMismatchError: the base model has changed since the index or the experts were made.
        """
        texts = _checked_queries([query])
        with self._using_index.shared():
            searcher = self.searcher
            block = next(searcher.blocks(texts, depth=1))
            return explained(searcher.route(block), base=block.batch.base, router=searcher.pool.router)[0]

    def add_expert(self, folder: Path | str) -> None:
        """Add a trained expert and fit the router anew; no document is embedded again.

        Args:
            folder: the expert's, with its pilots.

        Raises:
            ArtifactError: the folder is not an expert, or is damaged.
            SpaceMismatchError: the expert was trained on another base.
            InputError: an expert of this name is there already, or the folder holds no pilots.
            IndexLockedError: another process is writing.
        """
        changing.add_expert(self._folder, Path(folder))
        self.refresh()
        self._measure_structure()

    def remove_expert(self, name: str) -> None:
        """Remove an expert and what the router learned with it.

        Raises:
            UnknownExpertError: there is no such expert.
            IndexLockedError: another process is writing.
        """
        changing.remove_expert(self._folder, name)
        self.refresh()

    def tune(
        self,
        queries: Sequence[LabelledQuery],
        *,
        name: str = "tuned",
        seed: int = 0,
        show_progress: bool = False,
        force: bool = False,
    ) -> TuneReport:
        """Fit an expert to labelled queries and install it if the expected benefit outweighs the risk.

        Seconds for a hundred queries; no document is embedded again. :meth:`remove_expert` undoes it.

        Args:
            queries: with documents of the index that answer them.
            name: what the expert will be called.
            seed: fixes folds and draws.
            show_progress: draw a progress bar on stderr.
            force: install the expert even if its expected benefit is too small.

        Returns:
            Before, after, and whether it was installed and why.

        Raises:
            InputError: there are fewer than two different queries, one is blank or has no relevant document, or the
                name is taken.
            UnknownDocumentError: a relevant document is not in the index; nothing is changed.
            IndexLockedError: another process is writing.
        """
        from routeret.retriever.tuning import LabelledSearch

        start = time.perf_counter()
        changing.require_free_name(self._folder, self._loader.contents, name)
        with self._using_index.shared():
            searcher = self.searcher
            labelled = LabelledSearch.of(queries, searcher)
            outcome = tune(labelled.task, name=name, seed=seed, force=force, show_progress=show_progress)
            expert, pilots = labelled.expert(outcome, searcher), labelled.pilots(outcome, searcher)
        if outcome.report.installed:
            changing.install(self._folder, expert, pilots, write=expert.save)
            self.refresh()
            self._measure_structure()
        return replace(outcome.report, seconds=time.perf_counter() - start)

    def _bring(
        self, mode: Mode, source: Source, *, prefix_ids: bool, total: int | None, show_progress: bool
    ) -> ChangeReport:
        corpus = Corpus.of(source)
        if prefix_ids:
            corpus = corpus.with_prefix()
        if total is None and not isinstance(source, Corpus | Iterator):
            total = scan([corpus])
        encoder = self._loader.base()
        with self._writing() as index:
            change = {"add": index.add, "upsert": index.upsert, "sync": index.sync}[mode]
            return change(corpus, encoder, total=total, show_progress=show_progress)

    @contextmanager
    def _writing(self) -> Iterator[Index]:
        """The index, open a second time, so that searches go on until a change is there."""
        with Index.open(self._folder, chunker=self._index.chunker, probes=self._probes) as index:
            yield index
        self.refresh()

    def _probes(self, index: Reader) -> dict[str, FloatArray]:
        return probe_queries(index, self.searcher.pool)

    def _measure_structure(self) -> None:
        """See that the search structure finds what a new expert looks for."""
        with self._using_index.shared():
            if self._index.has_structure:
                self._index.measure(self._probes(self._index))

    def _found(self, texts: Sequence[str], k: int, *, scope: Scope, expert: str | None) -> Iterator[Hits]:
        """The hits of one query after the other."""
        if expert == LEXICAL:
            # Neither the base nor an expert is needed.
            for part in query_parts(texts):
                ranking, routing = lexical_ranking(scope, part, k)
                yield from hits_of(self._index, ranking, part, [routing] * len(part))
            return
        searcher = self.searcher
        for block in searcher.blocks(texts, depth=candidate_depth(k), scope=scope):
            routing_batch = searcher.route(block) if expert is None else searcher.constant(block, weights={expert: 1.0})
            ranking = searcher.rank(block, routing_batch, k)
            router = searcher.pool.router if expert is None else None
            routings = explained(routing_batch, base=block.batch.base, router=router)
            yield from hits_of(self._index, ranking, block.batch.texts, routings)


def _checked_queries(queries: Sequence[str]) -> tuple[str, ...]:
    if isinstance(queries, str):
        raise InputError("queries is a string, expected a list of strings; use search for a single query")
    texts = tuple(queries)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"query {number} is a {type(text).__name__}, expected a string")
        if not text.strip():
            raise InputError(f"query {number} is blank ({text!r}); expected a text to search for")
    return texts
