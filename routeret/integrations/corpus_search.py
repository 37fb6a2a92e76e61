"""A retriever that searches whatever corpus an evaluation brings."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from routeret.chunking import Chunker
from routeret.corpus import Corpus
from routeret.errors import InputError, UnknownDocumentError
from routeret.evaluation.indexing import corpus_fingerprint
from routeret.integrations.temporary import TemporaryRetrievers
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.retriever import Retriever
from routeret.types import Document, Hits, Run

_QUERIES_AT_ONCE = 256


class CorpusSearch:
    """Searches one corpus at a time, with the experts, the router and the lexical choice of a retriever.

    A document without any text cannot be found: it stays out of the index, and its judgements count as for every
    document that was not found.
    """

    def __init__(self, retriever: Retriever, *, show_progress: bool = False) -> None:
        """Search with a retriever of one's own.

        Args:
            retriever: open; without documents, then the first corpus is added to it and stays there, or with exactly
                the documents that will be searched. It is not closed by this.
            show_progress: draw progress bars on stderr.
        """
        self._retriever = retriever
        self._show_progress = show_progress
        self._temporary: TemporaryRetrievers | None = None
        self._held: str | None = None

    @classmethod
    def create(
        cls,
        *,
        pack: str | Path | None = None,
        base: str | Path | Encoder | None = None,
        chunker: Chunker | None = None,
        device: str | None = None,
        download: bool = False,
        show_progress: bool = False,
    ) -> Self:
        """Search with a pack; every corpus gets an index in a temporary folder, which goes when this is closed.

        These indexes are searched exactly, so that what is compared is the model.

        Args:
            pack: experts and router, by name or folder; ``"minilm-domains"`` where neither pack nor base is given.
            base: a base model by name or path, or an encoder; beside a pack, where the pack's base is.
            chunker: cuts documents into spans; by default a document is one span.
            device: where a model runs, for example ``"cuda:0"``.
            download: fetch a model that is not on this machine.
            show_progress: draw progress bars on stderr.

        Raises:
            InputError: there is no such pack.
            ModelNotFoundError: the base model is nowhere on this machine.
            SpaceMismatchError: the pack was made for another base.
        """
        temporary = TemporaryRetrievers(pack=pack, base=base, chunker=chunker, device=device, download=download)
        try:
            search = cls(temporary.new(), show_progress=show_progress)
        except BaseException:
            temporary.close()
            raise
        search._temporary = temporary
        return search

    @property
    def retriever(self) -> Retriever:
        """What searches now; of a temporary one, another after every new corpus."""
        return self._retriever

    def close(self) -> None:
        """Remove what is temporary; a retriever that was given stays open."""
        if self._temporary is not None:
            self._retriever.close()
            self._temporary.close()

    def __enter__(self) -> Self:
        """The search itself; it is closed when the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the search."""
        self.close()

    def hold(self, documents: Sequence[Document]) -> None:
        """Make these documents what is searched; embeds nothing if they are already.

        Args:
            documents: the whole corpus.

        Raises:
            CorpusError: no document has a text, or one has no id.
            DuplicateIdError: an id comes twice with different texts.
            InputError: a retriever that was given holds further documents, or another text of one.
            UnknownDocumentError: a retriever that was given holds documents, but not all of these.
        """
        findable = [document for document in documents if document.title.strip() or document.text.strip()]
        corpus = Corpus.from_documents(findable, name="corpus")
        if self._temporary is None:
            if len(self._retriever):
                _require_same(self._retriever, findable)
            else:
                self._retriever.add(corpus, total=len(findable), show_progress=self._show_progress)
            return
        fingerprint = corpus_fingerprint(corpus)
        if fingerprint == self._held:
            return
        self._held = None
        if len(self._retriever):
            self._retriever.close()
            self._retriever = self._temporary.new()
        self._retriever.add(corpus, total=len(findable), show_progress=self._show_progress)
        self._held = fingerprint

    def run(self, queries: Mapping[str, str], k: int, *, drop_self_hits: bool = False) -> Run:
        """What is found in the corpus that is held.

        Args:
            queries: text by id.
            k: how many documents of every query; more than there are gives all of them.
            drop_self_hits: leave out hits whose document id equals the query id.

        Returns:
            Scores by query and document id, best first; higher is better.

        Raises:
            InputError: a query is blank, or ``k`` is below 1.
        """
        blank = next((query_id for query_id, text in queries.items() if not text.strip()), None)
        if blank is not None:
            raise InputError(f"query {blank!r} is blank; expected a text to search for: remove it, or give it a text")
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        found = track(
            self._found(list(queries.values()), k + drop_self_hits),
            description="searching",
            total=len(queries),
            unit="queries",
            show=self._show_progress,
        )
        run: Run = {}
        for query_id, hits in zip(queries, found, strict=True):
            kept = [hit for hit in hits if not (drop_self_hits and hit.id == query_id)]
            run[query_id] = {hit.id: hit.score for hit in kept[:k]}
        return run

    def _found(self, texts: Sequence[str], k: int) -> Iterator[Hits]:
        """The hits of one query after the other; only those of some queries are in memory."""
        for start in range(0, len(texts), _QUERIES_AT_ONCE):
            yield from self._retriever.search_batch(texts[start : start + _QUERIES_AT_ONCE], k)


def _require_same(retriever: Retriever, documents: Sequence[Document]) -> None:
    """Do nothing if a retriever holds these documents and no others.

    Raises:
        UnknownDocumentError: it lacks some.
        InputError: it holds further ones, or another text of one.
    """
    index = retriever.index
    name = index.folder.name
    step = "give a retriever without documents, or make it hold this corpus: retriever.sync(corpus)"
    ids = [document.id for document in documents]
    missing = [document_id for document_id, found in zip(ids, index.contains(ids), strict=True) if not found]
    if missing:
        raise UnknownDocumentError(
            f"document {missing[0]!r} of the corpus is not in index {name!r} ({len(missing)} of {len(ids)} are not); "
            f"{step}"
        )
    keys = np.array([document.content_key for document in documents], dtype=np.uint64)
    different = np.flatnonzero(index.content_keys(index.numbers(ids)) != keys)
    if len(different):
        raise InputError(
            f"document {ids[different[0]]!r} has another text in index {name!r} than in the corpus "
            f"({len(different)} of {len(ids)} have); {step}"
        )
    if len(retriever) != len(set(ids)):
        raise InputError(f"index {name!r} holds {len(retriever)} documents, the corpus has {len(set(ids))}; {step}")
