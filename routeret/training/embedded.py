"""Data sets as arrays: every document and query embedded once, kept in a cache folder if one is given."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import safetensors_of, sha256_of, write_file
from routeret.corpus import Corpus, scan
from routeret.datasets import Dataset
from routeret.errors import ArtifactError
from routeret.lines import beir_file
from routeret.progress import track
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.training.scoring import JudgedQueries
from routeret.training.training_set import TrainingSet
from routeret.types import BoolArray, Document, FloatArray, HashArray, IntArray

_ENCODED_AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedQueries:
    """The judged queries of one split that have a relevant document, in file order.

    Attributes:
        ids: their ids.
        texts: what they ask.
        vectors: float32, shape (n_queries, dim); the base's query embeddings.
        relevant: rows of the relevant documents (grade above 0) of every query, at least one each, rising.
        grades: their grades, float32, in the same order.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: FloatArray
    relevant: tuple[IntArray, ...]
    grades: tuple[FloatArray, ...]

    def __len__(self) -> int:
        """How many queries."""
        return len(self.ids)

    def take(self, numbers: IntArray) -> "EmbeddedQueries":
        """Some of the queries, by their numbers, in the order asked for."""
        chosen = [int(number) for number in numbers]
        return EmbeddedQueries(
            ids=tuple(self.ids[number] for number in chosen),
            texts=tuple(self.texts[number] for number in chosen),
            vectors=self.vectors[chosen],
            relevant=tuple(self.relevant[number] for number in chosen),
            grades=tuple(self.grades[number] for number in chosen),
        )


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedSet:
    """A data set in one base's space.

    Attributes:
        name: of the data set.
        space: of the document vectors.
        query_tower: that embedded the queries.
        document_ids: the ids by row.
        documents: float32, shape (n_documents, dim).
        content_keys: of the documents, uint64, shape (n_documents,).
        n_truncated: how many documents the encoder's token limit cut.
        queries_by_split: the splits that were asked for and exist.
        checksums: SHA-256 by file name, of everything that was read.
        corpus: the documents by row, to be read again.
    """

    name: str
    space: Space
    query_tower: str
    document_ids: tuple[str, ...]
    documents: FloatArray
    content_keys: HashArray
    n_truncated: int
    queries_by_split: Mapping[str, EmbeddedQueries]
    checksums: Mapping[str, str]
    corpus: Corpus

    def training_set(self, queries: EmbeddedQueries) -> TrainingSet:
        """What an expert is fitted to."""
        return TrainingSet(self.name, queries.vectors, self.documents, queries.relevant, query_ids=queries.ids)

    def judged(self, queries: EmbeddedQueries) -> JudgedQueries:
        """What an expert is measured on."""
        return JudgedQueries(self.name, queries.vectors, self.documents, queries.relevant, queries.grades)


def embed_dataset(
    dataset: Dataset,
    encoder: Encoder,
    *,
    splits: Sequence[str] = ("train", "dev"),
    cache: Path | None = None,
    show_progress: bool = False,
) -> EmbeddedSet:
    """Embed the documents and the judged queries of a data set.

    Args:
        dataset: its corpus is read into memory.
        encoder: the base.
        splits: whose queries to embed; a split that the set does not have is left out.
        cache: a folder where vectors are kept by content: the space or query tower, and every text. None keeps none.
        show_progress: draw progress bars on stderr.

    Raises:
        CorpusError: the set cannot be read, or a split judges an unknown query or document.
        DuplicateIdError: a document id comes twice.
        ArtifactError: a file of the cache is damaged.
    """
    present = [split for split in splits if split in dataset.splits]
    scan([dataset.corpus])
    for split in present:
        dataset.check(split)
    documents = dataset.load_documents()
    vectors, truncated = _embedded_documents(dataset.name, documents, encoder, cache=cache, show_progress=show_progress)
    row_by_id = {document.id: row for row, document in enumerate(documents)}
    queries_by_split = {
        split: _embedded_queries(dataset, split, encoder, row_by_id, cache=cache, show_progress=show_progress)
        for split in present
    }
    return EmbeddedSet(
        name=dataset.name,
        space=encoder.space,
        query_tower=encoder.query_tower,
        document_ids=tuple(row_by_id),
        documents=vectors,
        content_keys=np.array([document.content_key for document in documents], dtype=np.uint64),
        n_truncated=int(truncated.sum()),
        queries_by_split={split: queries for split, queries in queries_by_split.items() if len(queries)},
        checksums=_checksums(dataset, present),
        corpus=dataset.corpus,
    )


def _embedded_documents(
    name: str, documents: Sequence[Document], encoder: Encoder, *, cache: Path | None, show_progress: bool
) -> tuple[FloatArray, BoolArray]:
    space = encoder.space

    def encode() -> dict[str, Any]:
        vectors = np.empty((len(documents), space.dim), dtype=np.float32)
        truncated = np.zeros(len(documents), dtype=np.bool_)

        def encode_part(part: slice) -> None:
            encoded = encoder.encode_documents(documents[part])
            vectors[part], truncated[part] = encoded.vectors, encoded.truncated

        _in_parts(encode_part, len(documents), description=f"{name}: documents", unit="docs", show=show_progress)
        return {"vectors": vectors, "truncated": truncated}

    texts = (space.joined(title=document.title, text=document.text) for document in documents)
    arrays = cached(cache, ["documents", space.fingerprint, *texts], make=encode)
    return arrays["vectors"], arrays["truncated"]


def _embedded_queries(
    dataset: Dataset,
    split: str,
    encoder: Encoder,
    row_by_id: Mapping[str, int],
    *,
    cache: Path | None,
    show_progress: bool,
) -> EmbeddedQueries:
    text_by_id, qrels = dataset.split(split)
    judgements = {
        query_id: sorted((row_by_id[document_id], grade) for document_id, grade in qrels[query_id].items() if grade > 0)
        for query_id in text_by_id
    }
    ids = tuple(query_id for query_id in text_by_id if judgements[query_id])
    texts = tuple(text_by_id[query_id] for query_id in ids)

    def encode() -> dict[str, Any]:
        vectors = np.empty((len(texts), encoder.space.dim), dtype=np.float32)

        def encode_part(part: slice) -> None:
            vectors[part] = encoder.encode_queries(texts[part])

        description = f"{dataset.name}: {split} queries"
        _in_parts(encode_part, len(texts), description=description, unit="queries", show=show_progress)
        return {"vectors": vectors}

    vectors = cached(cache, ["queries", encoder.query_tower, *texts], make=encode)["vectors"]
    return EmbeddedQueries(
        ids=ids,
        texts=texts,
        vectors=vectors,
        relevant=tuple(np.array([row for row, _ in judgements[one]], dtype=np.int64) for one in ids),
        grades=tuple(np.array([grade for _, grade in judgements[one]], dtype=np.float32) for one in ids),
    )


def _in_parts(encode_part: Callable[[slice], None], n_texts: int, *, description: str, unit: str, show: bool) -> None:
    """Encode block by block, while the bar counts texts."""
    rows = range(n_texts)
    parts = [rows[start : start + _ENCODED_AT_ONCE] for start in rows[::_ENCODED_AT_ONCE]]
    for part in track(parts, description=description, total=n_texts, unit=unit, count=len, show=show):
        encode_part(slice(part.start, part.stop))


def cached(cache: Path | None, key: Sequence[str], *, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The arrays of a key, from a cache if they are there, otherwise made and kept.

    Args:
        cache: a folder; None keeps nothing.
        key: what the arrays depend on; a word for them, and then the space or query tower and every text.
        make: gives the arrays by name.

    Raises:
        ArtifactError: the file of the key is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if cache is None:
        return make()
    digest = hashlib.sha256()
    for part in key:
        # The length before each part keeps ["ab", "c"] and ["a", "bc"] apart.
        encoded = part.encode()
        digest.update(f"{len(encoded)} ".encode() + encoded)
    file = cache / f"{key[0]}-{digest.hexdigest()[:32]}.safetensors"
    if not file.exists():
        arrays = make()
        cache.mkdir(parents=True, exist_ok=True)
        write_file(file, safetensors_of(arrays))
        return arrays
    try:
        return dict(load_file(file))
    except SafetensorError as error:
        raise ArtifactError(f"{file} is damaged ({error}); remove it, and it is made anew") from error


def _checksums(dataset: Dataset, splits: Sequence[str]) -> dict[str, str]:
    files = [beir_file(dataset.folder, stem) for stem in ("corpus", "queries")]
    files += [beir_file(dataset.folder / "qrels", split, suffix=".tsv") for split in splits]
    return {file.relative_to(dataset.folder).as_posix(): sha256_of(file) for file in files if file is not None}
