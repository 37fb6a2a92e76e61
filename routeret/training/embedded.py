"""A data set as arrays: its documents and the queries of its train and dev splits, embedded once by the base."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routeret.artifact import new_folder, read_manifest, write_manifest
from routeret.datasets import Dataset
from routeret.errors import ArtifactError
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.types import Document, FloatArray, HashArray, IntArray

KIND = "embedded"
FORMAT = 1

_BLOCK = 256


@dataclass(frozen=True, slots=True)
class EmbeddedSplit:
    """The queries of one split.

    Attributes:
        texts: n_queries queries.
        queries: float32, shape (n_queries, dim); the base's query embeddings.
        positives: for every query the sorted rows of its relevant documents, at least one.
        grades: for every query the grades of these.
    """

    texts: tuple[str, ...]
    queries: FloatArray
    positives: tuple[IntArray, ...]
    grades: tuple[FloatArray, ...]

    def __len__(self) -> int:
        """How many queries."""
        return len(self.texts)

    def take(self, chosen: IntArray) -> "EmbeddedSplit":
        """Some of the queries, in the order asked for."""
        return EmbeddedSplit(
            texts=tuple(self.texts[i] for i in chosen),
            queries=self.queries[chosen],
            positives=tuple(self.positives[i] for i in chosen),
            grades=tuple(self.grades[i] for i in chosen),
        )


@dataclass(frozen=True, slots=True)
class EmbeddedDataset:
    """A data set as arrays.

    Attributes:
        name: of the data set.
        fingerprint: 16 hexadecimal digits of the documents, queries and judgements that were read.
        documents: float32, shape (n_documents, dim).
        document_texts: title and text of every document as one text, for lexical search.
        content_keys: uint64, shape (n_documents,).
        splits: by name; only the splits that were asked for and exist.
    """

    name: str
    fingerprint: str
    documents: FloatArray
    document_texts: tuple[str, ...]
    content_keys: HashArray
    splits: dict[str, EmbeddedSplit]


def embed_dataset(
    dataset: Dataset,
    encoder: Encoder,
    *,
    splits: Sequence[str] = ("train", "dev"),
    cache: Path | None = None,
    show_progress: bool = False,
) -> EmbeddedDataset:
    """Embed the documents of a data set and the queries of some splits.

    Args:
        dataset: in BEIR form.
        encoder: the base.
        splits: names; those that the data set lacks are left out.
        cache: folder in which vectors are kept by content and space, so that a second call reads them.
        show_progress: draw a progress bar on stderr.

    Raises:
        CorpusError: something in the data set cannot be read, or its parts do not fit together.
    """
    documents = dataset.load_documents()
    row_by_id = {document.id: row for row, document in enumerate(documents)}
    asked = {}
    for name in (name for name in splits if name in dataset.splits):
        dataset.check(name)
        asked[name] = dataset.split(name)
    texts = {query_id: text for queries, _ in asked.values() for query_id, text in queries.items()}
    contents = [*(document.content_key for document in documents), *sorted(texts.items()), *sorted(asked)]
    judged = [
        (name, sorted((q, sorted(grades.items())) for q, grades in qrels.items())) for name, (_, qrels) in asked.items()
    ]
    fingerprint = hashlib.sha256(repr((contents, judged)).encode()).hexdigest()[:16]
    document_vectors, query_vectors = _vectors(
        documents, list(texts.values()), encoder, name=dataset.name, cache=cache, key=fingerprint, show=show_progress
    )
    number = {query_id: i for i, query_id in enumerate(texts)}
    embedded = {}
    for name, (queries, qrels) in asked.items():
        relevant = {
            query_id: sorted(
                (row_by_id[document_id], grade) for document_id, grade in qrels[query_id].items() if grade > 0
            )
            for query_id in queries
        }
        kept = [query_id for query_id in queries if relevant[query_id]]
        embedded[name] = EmbeddedSplit(
            texts=tuple(queries[query_id] for query_id in kept),
            queries=query_vectors[[number[query_id] for query_id in kept]],
            positives=tuple(np.array([row for row, _ in relevant[query_id]], dtype=np.int64) for query_id in kept),
            grades=tuple(np.array([grade for _, grade in relevant[query_id]], dtype=np.float32) for query_id in kept),
        )
    return EmbeddedDataset(
        name=dataset.name,
        fingerprint=fingerprint,
        documents=document_vectors,
        document_texts=tuple(f"{document.title} {document.text}".strip() for document in documents),
        content_keys=np.array([document.content_key for document in documents], dtype=np.uint64),
        splits=embedded,
    )


def _vectors(
    documents: Sequence[Document],
    queries: Sequence[str],
    encoder: Encoder,
    *,
    name: str,
    cache: Path | None,
    key: str,
    show: bool,
) -> tuple[FloatArray, FloatArray]:
    from safetensors.numpy import load_file, save_file

    folder = None if cache is None else cache / f"{name}-{key}-{encoder.space.fingerprint}-{encoder.query_tower}"
    if folder is not None and folder.is_dir():
        try:
            read_manifest(folder, kind=KIND, format_number=FORMAT)
        except ArtifactError as error:
            raise ArtifactError(f"{error}; it is a cache and may be removed") from error
        arrays = load_file(folder / "vectors.safetensors")
        return arrays["documents"], arrays["queries"]
    # Texts of like length stand together, so that little of a batch is padding.
    order = sorted(range(len(documents)), key=lambda row: len(documents[row].text))
    document_vectors = np.zeros((len(documents), encoder.space.dim), dtype=np.float32)
    starts = range(0, len(order), _BLOCK)
    for start in track(starts, description=f"embedding {name}", unit="blocks", show=show):
        rows = order[start : start + _BLOCK]
        document_vectors[rows] = encoder.encode_documents([documents[row] for row in rows]).vectors
    query_vectors = encoder.encode_queries(queries)
    if folder is not None:
        with new_folder(folder) as temporary:
            save_file({"documents": document_vectors, "queries": query_vectors}, temporary / "vectors.safetensors")
            write_manifest(temporary, kind=KIND, format_number=FORMAT, fields={})
    return document_vectors, query_vectors
