"""Chroma, with its HNSW graph as it makes it by default."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from routeret.benchmarks.data import BenchData, PlaceRange
from routeret.benchmarks.stores.store import BenchedStore, Setting
from routeret.optional import require
from routeret.types import FloatArray

_COLLECTION = "documents"
_WIDTHS = (10, 20, 50, 100, 200, 400, 800, 1600)


class ChromaStore(BenchedStore):
    """A collection of ids, places and vectors; its graph grows while documents are added."""

    requires = (("chromadb", "bench"),)
    is_tuned = True
    most_documents = 100_000  # of a million, building and tuning its graph take most of an hour on two cores

    def __init__(self, folder: Path, data: BenchData) -> None:
        """Keep where it stands and what it holds."""
        super().__init__(folder, data)
        self._chromadb = require("chromadb", extra="bench")
        self._client: Any = None
        self._setting: Setting = {}

    def add(self) -> dict[str, Any]:
        """Add all documents, in the largest batches that it takes."""
        client = self._connect()
        collection = client.create_collection(
            _COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "ip"}}
        )
        documents = iter(self._data.corpus)
        step = client.get_max_batch_size()
        for start in range(0, len(self._data), step):
            vectors = self._data.rows(start, min(start + step, len(self._data)))
            batch = [next(documents) for _ in vectors]
            collection.add(
                ids=[document.id for document in batch],
                embeddings=vectors,
                metadatas=[{"place": document.metadata["place"]} for document in batch],
            )
        return {}

    def open(self) -> None:
        """Open the collection; the graph is read by the first search."""
        self._collection = self._connect().get_collection(_COLLECTION, embedding_function=None)

    def settings(self) -> Sequence[Setting]:
        """How many candidates a search keeps."""
        return [{"ef_search": width} for width in _WIDTHS]

    def use(self, setting: Setting) -> None:
        """Ask this of the searches that follow; the graph is read anew, since an open one keeps its setting."""
        self._client.close()
        self.open()
        self._collection.modify(configuration={"hnsw": dict(setting)})
        self._client.close()
        self.open()
        self._setting = setting

    def search(self, queries: FloatArray, k: int, *, where: PlaceRange | None = None) -> list[list[str]]:
        """The ids of the best documents of every query."""
        wanted = None
        if where is not None:
            wanted = {"$and": [{"place": {"$gte": where.start}}, {"place": {"$lt": where.end}}]}
        found = self._collection.query(query_embeddings=queries, n_results=k, where=wanted, include=[])
        ids: list[list[str]] = found["ids"]
        return ids

    def upsert(self, document_id: str, row: int) -> None:
        """Put one changed vector in."""
        vectors = self._data.rows(row, row + 1)
        self._collection.upsert(ids=[document_id], embeddings=vectors, metadatas=[{"place": 0}])

    def delete(self, document_id: str) -> None:
        """Delete one document."""
        self._collection.delete(ids=[document_id])

    def describe(self) -> dict[str, Any]:
        """What searches it."""
        return {"name": "HNSW", **self._setting}

    def _connect(self) -> Any:  # noqa: ANN401 - an optional library's type
        settings = self._chromadb.config.Settings(anonymized_telemetry=False)
        self._client = self._chromadb.PersistentClient(str(self._folder), settings=settings)
        return self._client
