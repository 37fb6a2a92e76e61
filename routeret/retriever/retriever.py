"""A retriever: documents embedded once, experts, and the router that weighs them for every query."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from routeret.chunking import Aggregation, Chunker
from routeret.conditions import Filter
from routeret.encoders import load_encoder
from routeret.errors import InputError
from routeret.fusion import SpaceFusion
from routeret.index import Index
from routeret.index.documents import whole_number
from routeret.index.row_format import Storage
from routeret.index.structures.gpu import searching_device
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.retriever.creating import create_folder, model_name, pack_and_base
from routeret.retriever.expert_fits import ExpertFit, expert_fits
from routeret.retriever.folder import Contents
from routeret.retriever.loading import Loader
from routeret.retriever.pool import require_known
from routeret.retriever.pool_keeping import PoolKeeper
from routeret.retriever.results import FoundDocuments, Reranker, explained, reranked
from routeret.retriever.scope import Scope
from routeret.retriever.searching import candidate_depth, lexical_ranking, query_parts
from routeret.retriever.warming import prepare_graphs
from routeret.types import BASE, LEXICAL, Document, Hits, Routing

_FIRST_QUERY = "a first question"


class Retriever(PoolKeeper):
    """An open retriever. Several threads may search it, also while one of them changes documents or experts.

    The base model, the experts and the router are loaded at the first query.
    """

    @classmethod
    def create(
        cls,
        path: Path | str,
        *,
        pack: str | Path | None = None,
        base: str | Path | Encoder | None = None,
        chunker: Chunker | None = None,
        storage: Storage = "fp16",
        space_fusion: SpaceFusion = "scores",
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
            space_fusion: how the scores of experts with documents of their own are fused with the base's:
                ``"scores"`` or ``"ranks"``; see :func:`routeret.fusion.fuse_spaces`.
            device: where a model runs, for example ``"cuda:0"``.
            download: fetch a model that is not on this machine.

        Raises:
            ArtifactError: something is at ``path`` already, or the pack is damaged.
            InputError: there is no such pack, storage or fusion, or an expert of the pack was measured with another
                fusion.
            ModelNotFoundError: the base model is nowhere on this machine.
            SpaceMismatchError: the pack was made for another base.
        """
        chosen, named = pack_and_base(pack, base)
        encoder = load_encoder(named, device=device, download=download)
        create_folder(
            Path(path),
            base=encoder,
            model=model_name(named),
            pack=chosen,
            chunker=chunker,
            storage=storage,
            space_fusion=space_fusion,
        )
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
            probes=lambda opened, space: loader.probes(opened, space),
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
            "space_fusion": contents.space_fusion,
        }

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: Filter | Mapping[str, Any] | None = None,
        expert: str | None = None,
        disable: Sequence[str] = (),
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
            disable: route as if these were not there: experts of the pool, ``"bm25"``.
            aggregation: how the scores of a document's spans make its own.
            rerank: gives a new score for every hit, for example by a cross-encoder.

        Raises:
            InputError: the query is blank, ``k`` is below 1, the filter is malformed or names a field that no document
                has, both ``expert`` and ``disable`` were given, the base was to be disabled, or ``rerank`` gave
                something else than a score a hit.
            UnknownExpertError: there is no such expert.
            SpaceMismatchError: the base model has changed since the index or the experts were made.
        """
        if not isinstance(query, str):
            raise InputError(f"the query is a {type(query).__name__}, expected a string; see search_batch for several")
        return self.search_batch(
            [query], k, filter=filter, expert=expert, disable=disable, aggregation=aggregation, rerank=rerank
        )[0]

    def search_batch(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        filter: Filter | Mapping[str, Any] | None = None,
        expert: str | None = None,
        disable: Sequence[str] = (),
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
            disable: route as if these were not there: experts of the pool, ``"bm25"``.
            aggregation: how the scores of a document's spans make its own.
            rerank: gives a new score for every hit of a query.
            show_progress: draw a progress bar on stderr.
        """
        texts = _checked_queries(queries)
        k = int(whole_number(k, what="k"))
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        names = self.expert_names
        if expert is not None:
            require_known(expert, names)
        disabled = _checked_disabled(disable, expert=expert, names=names)
        with self._using_index.shared():
            scope = Scope.of(self._index, filter=filter, aggregation=aggregation)
            found = self._found(texts, k, scope=scope, expert=expert, disabled=disabled)
            hits = list(track(found, description="searching", total=len(texts), unit="queries", show=show_progress))
        return [reranked(one, rerank) for one in hits] if rerank is not None else hits

    def warm(self) -> list[str]:
        """Do now what the first queries would wait for: load the models, the experts, the router and the documents.

        Of up to 100,000 documents it also looks up which experts were trained over them, in about a second; and it
        makes the map of the index that the router turns queries by.

        On a processor it also exports the graph that runs the base's queries, some ten seconds, once a model and
        machine; see :class:`routeret.encoders.OnnxEncoder`. Without it PyTorch runs them, more slowly.

        Returns:
            The models whose queries are run by a graph from now on, the base first.

        Raises:
            MissingExtraError: a library for exporting is not installed.
            SpaceMismatchError: the base model has changed since the index or the experts were made.
        """
        with self._using_index.shared():
            searcher = self.searcher
            pool = searcher.pool
            graphs = prepare_graphs(pool)
            searcher.look_ahead()
            for space in (self._index.space, *(tower.space for tower in pool.tower_by_name.values())):
                self._index.prepare_search(space=space)
        # Every expert with a pass of its own, and the router.
        for expert in (*sorted(pool.costly), None):
            self.search(_FIRST_QUERY, expert=expert)
        return graphs

    def route(self, query: str, *, disable: Sequence[str] = ()) -> Routing:
        """What the router decides for a query, and why.

        Args:
            query: a text that is not blank.
            disable: route as if these were not there: experts of the pool, ``"bm25"``.

        Raises:
            InputError: the query is blank, or the base was to be disabled.
            UnknownExpertError: there is no such expert.
            SpaceMismatchError: the base model has changed since the index or the experts were made.
        """
        texts = _checked_queries([query])
        disabled = _checked_disabled(disable, expert=None, names=self.expert_names)
        with self._using_index.shared():
            searcher = self.searcher
            block = next(searcher.blocks(texts, depth=1))
            routing = searcher.route(block, disabled=disabled)
            return explained(routing, base=block.batch.base, pilots=searcher.pilots)[0]

    def expert_fits(self) -> list[ExpertFit]:
        """How well every expert fits the documents: how many it knows, how far it is from them; best known first.

        Takes seconds and needs no label.

        Raises:
            SpaceMismatchError: the base model has changed since the index or the experts were made.
        """
        with self._using_index.shared():
            return expert_fits(self.searcher)

    def _found(
        self, texts: Sequence[str], k: int, *, scope: Scope, expert: str | None, disabled: frozenset[str]
    ) -> Iterator[Hits]:
        """The hits of one query after the other."""
        documents = FoundDocuments(self._index)
        if expert == LEXICAL:
            # Neither the base nor an expert is needed.
            for part in query_parts(texts):
                ranking, routing = lexical_ranking(scope, part, k)
                yield from documents.hits_of(ranking, part, [routing] * len(part))
            return
        searcher = self.searcher
        # Experts or the index's map turn nearly every routed query, so few need the base's own search so deep.
        depth = candidate_depth(k) if searcher.pool.router is None else k
        for block in searcher.blocks(texts, depth=depth, scope=scope):
            routing_batch = (
                searcher.route(block, disabled=disabled)
                if expert is None
                else searcher.constant(block, weights={expert: 1.0})
            )
            ranking = searcher.rank(block, routing_batch, k)
            pilots = searcher.pilots if expert is None else None
            routings = explained(routing_batch, base=block.batch.base, pilots=pilots)
            yield from documents.hits_of(ranking, block.batch.texts, routings)


def _checked_disabled(disable: Sequence[str], *, expert: str | None, names: Sequence[str]) -> frozenset[str]:
    if isinstance(disable, str):
        raise InputError(f"disable is the string {disable!r}, expected a list of names: [{disable!r}]")
    if disable and expert is not None:
        raise InputError(f"both expert {expert!r} and disable {list(disable)} were given; expected one of them")
    for name in disable:
        require_known(name, names)
        if name == BASE:
            raise InputError(f"{BASE!r} cannot be disabled: every routing stands on it; disable experts or {LEXICAL!r}")
    return frozenset(disable)


def _checked_queries(queries: Sequence[str]) -> tuple[str, ...]:
    if isinstance(queries, str):
        raise InputError("queries is a string, expected a list of strings; use search for a single query")
    if not isinstance(queries, Iterable):
        raise InputError(f"queries is a {type(queries).__name__}, expected a list of strings")
    texts = tuple(queries)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"query {number} is a {type(text).__name__}, expected a string")
        if not text.strip():
            raise InputError(f"query {number} is blank ({text!r}); expected a text to search for")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"query {number} has half a surrogate pair, which is not text; repair it") from error
    return texts
