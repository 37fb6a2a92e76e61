"""This library's index."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret.benchmarks.data import BenchData, PlaceRange
from routeret.benchmarks.memory import resident_bytes
from routeret.benchmarks.stores.store import BenchedStore
from routeret.corpus import Corpus
from routeret.errors import InputError
from routeret.index import Index
from routeret.index.lexical import Fulltext
from routeret.index.structures.ann import RECALL
from routeret.optional import is_installed
from routeret.space import Space
from routeret.types import Document, EncodedDocuments, FloatArray


class Lookup:
    """An encoder that reads vectors from the benchmark's file, by the row in a document's metadata."""

    query_tower = "0" * 16

    def __init__(self, data: BenchData) -> None:
        """Keep where the vectors are."""
        self._data = data
        self.space = data.space

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """The vectors of the documents' rows."""
        rows = np.array([document.metadata["row"] for document in documents], dtype=np.int64)
        first = int(rows.min())
        vectors = self._data.rows(first, int(rows.max()) + 1)[rows - first]
        return EncodedDocuments(vectors, np.zeros(len(documents), dtype=np.bool_))

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Nothing.

        Raises:
            InputError: always; the benchmark's queries are vectors.
        """
        raise InputError(f"the benchmark's queries are vectors, found {len(texts)} texts")


class RouteretStore(BenchedStore):
    """This library's index, with its texts, its metadata and its full text: more than the other stores are given."""

    can_compact = True

    def __init__(self, folder: Path, data: BenchData) -> None:
        """Keep where it stands and what it holds."""
        super().__init__(folder, data)
        # The index imports it when it opens a structure; the other stores have imported theirs by now too.
        is_installed("faiss")

    def add(self) -> dict[str, Any]:
        """Add all documents; tells apart documents with vectors, the search structure and full text."""
        with _Watched.create(self._folder, self._data.space) as index:
            report = index.add(self._data.corpus, Lookup(self._data), total=len(self._data))
            vectors_bytes = index.info()["spaces"][self._data.space.fingerprint]["vectors_bytes"]
            return {
                "documents_s": report.seconds,
                "structure_s": _Watched.notes.structure_s,
                "fulltext_s": _Watched.notes.fulltext_s,
                "documents_peak_bytes": _Watched.notes.peak_bytes,
                "vectors_bytes": vectors_bytes,
            }

    def open(self) -> None:
        """Open the index."""
        self._index = Index.open(self._folder)

    def search(self, queries: FloatArray, k: int, *, where: PlaceRange | None = None) -> list[list[str]]:
        """The ids of the best documents of every query."""
        index = self._index
        documents = None if where is None else index.matching({"place": {"gte": where.start, "lt": where.end}})
        rows = index.search(queries, k, space=self._data.space, documents=documents).rows
        ids = index.ids(index.row_documents[rows.ravel()])
        width = rows.shape[1]
        return [ids[start : start + width] for start in range(0, len(ids), width)] if width else [[] for _ in queries]

    def upsert(self, document_id: str, row: int) -> None:
        """Put a changed document in."""
        document = Document(id=document_id, text=f"changed {row}", metadata={"row": row, "place": 0})
        self._index.upsert(Corpus.from_documents([document]), Lookup(self._data))

    def delete(self, document_id: str) -> None:
        """Take a document out."""
        self._index.delete([document_id])

    def compact(self) -> None:
        """Give the room of removed documents back."""
        self._index.compact()

    def describe(self) -> dict[str, Any]:
        """What the index tells of its structure."""
        structure: dict[str, Any] = self._index.info()["structure"]
        return structure


@dataclass
class _Notes:
    """How long structure and full text take, and the peak of memory before either."""

    structure_s: float = 0.0
    fulltext_s: float = 0.0
    peak_bytes: int | None = None


class _Watched(Index):
    """An index that notes what it does while documents are added; one a process."""

    notes = _Notes()

    def optimise(
        self,
        *,
        recall: float = RECALL,
        factory: str | None = None,
        probes: Mapping[str, FloatArray] | None = None,
        space: Space | None = None,
        seed: int = 0,
    ) -> dict[str, Any]:
        self._note_peak()
        start = time.perf_counter()
        built = super().optimise(recall=recall, factory=factory, probes=probes, space=space, seed=seed)
        self.notes.structure_s += time.perf_counter() - start
        return built

    @property
    def fulltext(self) -> Fulltext:
        self._note_peak()
        start = time.perf_counter()
        opened = super().fulltext
        self.notes.fulltext_s += time.perf_counter() - start
        return opened

    def _note_peak(self) -> None:
        if self.notes.peak_bytes is None:
            self.notes.peak_bytes = resident_bytes().get("peak")
