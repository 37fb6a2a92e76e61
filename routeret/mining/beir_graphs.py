"""Graphs from what a BEIR folder holds: judged queries and their documents, sentences and their titles."""

from pathlib import Path
from typing import Protocol

import numpy as np

from routeret.chunking.units import sentence_spans
from routeret.corpus import Corpus
from routeret.errors import CorpusError
from routeret.mining.entities import once_each, text_of
from routeret.mining.graph import BipartiteGraph
from routeret.types import Qrels


class JudgedSet(Protocol):
    """What a data set must offer: :class:`routeret.datasets.Dataset` does."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def corpus(self) -> Corpus:
        """Its documents."""

    def split(self, name: str) -> tuple[dict[str, str], Qrels]:
        """The judged queries of a split and their judgements."""

    def check(self, split: str) -> None:
        """Do nothing if every query and document that a split judges exists."""


def graph_of_qrels(dataset: JudgedSet, split: str, *, name: str | None = None) -> BipartiteGraph:
    """The graph of the queries of a split (left) and their relevant documents (right), grade above 0.

    Args:
        dataset: a data set, see :func:`routeret.datasets.load_dataset`.
        split: for example ``"train"``.
        name: what the graph is called; by default ``<data set>_<split>``.

    Raises:
        CorpusError: the split is missing, judges what is not there, or has no relevant document.
        DuplicateIdError: a document's id comes twice; both places are named.
    """
    dataset.check(split)
    queries, qrels = dataset.split(split)
    relevant = {document_id for grades in qrels.values() for document_id, grade in grades.items() if grade > 0}
    if not relevant:
        raise CorpusError(f"split {split!r} of data set {dataset.name!r} has no relevant document; give another split")
    texts = {document.id: text_of(document) for document, _ in once_each(dataset.corpus) if document.id in relevant}
    row_by_id = {document_id: row for row, document_id in enumerate(texts)}
    edges = [
        (row, row_by_id[document_id])
        for row, query_id in enumerate(queries)
        for document_id, grade in qrels[query_id].items()
        if grade > 0
    ]
    name = name if name is not None else f"{dataset.name}_{split}"
    return BipartiteGraph.from_edges(name, np.array(edges, dtype=np.int64), left=queries, right=texts)


def sentence_graph(corpus: Corpus | Path | str, *, name: str | None = None) -> BipartiteGraph:
    """The graph of the sentences of all documents' texts (left) and the documents' titles (right).

    A sentence that stands in several documents is one entity with several titles, and equal titles are one entity: as
    two, each would be the other's negative. The id of a sentence is ``<document's id>:<start>-<end>`` where it stands
    first, in characters; that of a title is the id of its first document.

    Args:
        corpus: documents with titles; one without text adds nothing.
        name: what the graph is called; by default ``<corpus>_sentences``.

    Raises:
        CorpusError: a document has no title, or no document has a text.
        DuplicateIdError: an id comes twice; both places are named.
    """
    corpus = Corpus.of(corpus)
    sentences, titles = _Entities(), _Entities()
    edges: list[tuple[int, int]] = []
    for document, place in once_each(corpus):
        title = document.title.strip()
        if not title:
            raise CorpusError(f"{place} has no title (document {document.id!r}); every sentence belongs to a title")
        for start, end in sentence_spans(document.text):
            sentence = sentences.row_of(document.text[start:end], f"{document.id}:{start}-{end}")
            edges.append((sentence, titles.row_of(title, document.id)))
    if not edges:
        raise CorpusError(f"corpus {corpus.name!r} has titles and no text; sentences come from the documents' texts")
    return BipartiteGraph.from_edges(
        name if name is not None else f"{corpus.name}_sentences",
        np.array(edges, dtype=np.int64),
        left=sentences.text_by_id,
        right=titles.text_by_id,
    )


class _Entities:
    """Texts that are numbered and named at their first coming."""

    def __init__(self) -> None:
        self._row_by_text: dict[str, int] = {}
        self.text_by_id: dict[str, str] = {}

    def row_of(self, text: str, entity_id: str) -> int:
        row = self._row_by_text.setdefault(text, len(self._row_by_text))
        if row == len(self.text_by_id):
            self.text_by_id[entity_id] = text
        return row
