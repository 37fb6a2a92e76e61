"""The documents and vectors of an index as plain files, and their way back: nothing is embedded on either."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from routeret.artifact import new_folder, read_manifest, write_manifest
from routeret.corpus import Corpus
from routeret.errors import ArtifactError, InputError
from routeret.index.row_format import RowFormat
from routeret.index.segments import StoredVectors
from routeret.index.store import Store
from routeret.space import Space
from routeret.types import Document, EncodedDocuments, FloatArray, IntArray

KIND = "export"
FORMAT = 1

CORPUS = "corpus.jsonl"
VECTORS = "vectors.npy"
SPANS = "spans.npy"

_ROWS_AT_ONCE = 8192


def export_documents(
    folder: Path, store: Store, *, space: Space, vectors: StoredVectors, row_format: RowFormat, rows: IntArray
) -> None:
    """Write a BEIR folder with the vectors beside it; all or nothing.

    ``corpus.jsonl`` holds the documents; ``vectors.npy`` a vector a span, float16 or float32, shape (n_spans, dim);
    ``spans.npy`` what they belong to, int64, shape (n_spans, 3): place of the document in the corpus, start, end.

    Args:
        folder: the folder to write; must not exist.
        store: the index's.
        space: whose vectors to write.
        vectors: all vectors of the space.
        row_format: how they are stored.
        rows: the rows to write, in order; all rows of every document.

    Raises:
        ArtifactError: something is at ``folder`` already.
    """
    with new_folder(folder) as temporary:
        dtype = np.float16 if row_format.storage == "fp16" else np.float32
        shape = (len(rows), space.dim)
        matrix = np.lib.format.open_memmap(temporary / VECTORS, mode="w+", dtype=dtype, shape=shape)
        spans = np.empty((len(rows), 3), dtype=np.int64)
        n_documents = 0
        last = None
        with (temporary / CORPUS).open("w", encoding="utf-8") as corpus:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = rows[start : start + _ROWS_AT_ONCE]
                matrix[start : start + len(part)] = vectors.take(part)
                found = store.spans(part.tolist())
                documents = store.documents(sorted({number for number, _, _ in found.values()}))
                for place, row in enumerate(part.tolist(), start=start):
                    number, begin, end = found[row]
                    if number != last:
                        corpus.write(_line(documents[number]))
                        last, n_documents = number, n_documents + 1
                    spans[place] = (n_documents - 1, begin, end)
        matrix.flush()
        np.save(temporary / SPANS, spans)
        fields = {
            "space": space.as_dict(),
            "n_documents": n_documents,
            "n_spans": len(rows),
            "chunker": store.chunker(),
        }
        write_manifest(temporary, kind=KIND, format_number=FORMAT, fields=fields)


class Exported:
    """What :func:`export_documents` wrote: a corpus, and an encoder that knows its documents' vectors.

    Giving both to :meth:`Index.add` brings the documents back without embedding them.
    """

    def __init__(self, folder: Path | str) -> None:
        """Open a folder and check every file.

        Raises:
            ArtifactError: it is no export, damaged, or its parts do not fit together.
        """
        self.folder = Path(folder)
        manifest = read_manifest(self.folder, kind=KIND, format_number=FORMAT)
        self.space = Space.from_dict(manifest["space"])
        self.chunker = dict(manifest["chunker"])
        self._vectors = np.load(self.folder / VECTORS, mmap_mode="r")
        self._spans: IntArray = np.load(self.folder / SPANS)
        n_spans = int(manifest["n_spans"])
        self._n_documents = int(manifest["n_documents"])
        expected = ((n_spans, self.space.dim), (n_spans, 3))
        if (self._vectors.shape, self._spans.shape) != expected:
            raise ArtifactError(
                f"{self.folder} has vectors of shape {self._vectors.shape} and spans of shape {self._spans.shape}, "
                f"expected {expected[0]} and {expected[1]}; export the index again"
            )

    def __len__(self) -> int:
        """How many documents."""
        return self._n_documents

    @property
    def corpus(self) -> Corpus:
        """The documents."""
        return Corpus.from_path(self.folder / CORPUS)

    @property
    def query_tower(self) -> str:
        """None: an export encodes no query, so its query tower is 16 zeros."""
        return "0" * 16

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        """The vectors that were exported for these documents or spans of them.

        Raises:
            InputError: a document is not in the export, or its span is not one of those exported.
        """
        vectors = np.stack([self._vectors[self._row(document)] for document in documents]).astype(np.float32)
        return EncodedDocuments(vectors, np.zeros(len(documents), dtype=np.bool_))

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Nothing.

        Raises:
            InputError: always; an export holds vectors of documents only.
        """
        raise InputError(f"{self.folder} holds vectors of documents only; encode the {len(texts)} queries by the model")

    def _row(self, document: Document) -> int:
        """The row of a document, or of a span of one, in the exported arrays."""
        row = self._row_by_content.get(_content(document.id, document.title, document.text))
        if row is None:
            raise InputError(
                f"document {document.id!r} or a span of it is not in export {self.folder} with this title and text; "
                f"import its own documents into an index with the same chunker ({json.dumps(self.chunker)})"
            )
        return row

    @cached_property
    def _row_by_content(self) -> dict[bytes, int]:
        """The row by a hash of document id, title and span."""
        ends = np.searchsorted(self._spans[:, 0], np.arange(len(self)), side="right").tolist()
        rows: dict[bytes, int] = {}
        row = 0
        for document, end in zip(self.corpus, ends, strict=True):
            for start, stop in self._spans[row:end, 1:].tolist():
                rows.setdefault(_content(document.id, document.title, document.text[start:stop]), row)
                row += 1
        return rows


def _content(document_id: str, title: str, text: str) -> bytes:
    return hashlib.blake2b(json.dumps([document_id, title, text]).encode(), digest_size=16).digest()


def _line(document: Document) -> str:
    values = {
        "_id": document.id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
    }
    try:
        line = json.dumps(values, ensure_ascii=False)
        line.encode()
    except UnicodeEncodeError:
        # Metadata may hold half a surrogate pair.
        line = json.dumps(values)
    return line + "\n"
