"""tantivy: finds the documents that can be among the best ones, fast."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from routeret.errors import ArtifactError
from routeret.index.lexical.scoring import K1, DoubleArray, rarity
from routeret.index.lexical.tokens import COUNT_BITS, MAX_COUNT
from routeret.types import HashArray, IntArray

TERM_BYTES = 6

_NUMBER = "number"
_TERMS = "terms"
_HEAP_BYTES = 128_000_000


class Candidates:
    """An open tantivy index; it keeps what it was opened at, whatever a writer does, even when files vanish."""

    def __init__(self, folder: Path) -> None:
        """Open the folder's last commit.

        Raises:
            ArtifactError: it is missing or damaged.
        """
        import tantivy

        with _damage_named(folder), _readable(folder) as readable:
            index = tantivy.Index.open(str(readable))
            # By itself it would follow every commit, in a thread of its own.
            index.config_reader("manual")
            self._searcher = index.searcher()
        self._folder = folder
        self._schema = index.schema
        self._query = tantivy.Query
        self._should = tantivy.Occur.Should

    def __len__(self) -> int:
        """How many documents."""
        return int(self._searcher.num_docs)

    def n_with(self, terms: HashArray) -> IntArray:
        """How many documents hold each term, int64, shape (n_terms,)."""
        found = [self._searcher.doc_freq(_TERMS, name) for name in _names(terms)]
        return np.array(found, dtype=np.int64)

    def best(self, terms: HashArray, weights: DoubleArray, width: int) -> tuple[IntArray, DoubleArray]:
        """The best documents as tantivy sees them, which takes a document of many tokens for a little shorter.

        Args:
            terms: uint64, shape (n_terms,).
            weights: what every term weighs instead of its rarity among these documents, shape (n_terms,).
            width: at least 1.

        Returns:
            Document numbers and scores, best first; fewer than ``width`` are all that match.

        Raises:
            ArtifactError: tantivy came upon damage.
        """
        n_with = self.n_with(terms)
        # tantivy multiplies by the rarity itself, and by k1 + 1.
        boosts = weights / rarity(n_with, n_documents=len(self)) / (K1 + 1)
        parts = [
            (self._should, self._boosted(name, boost))
            for name, boost, count in zip(_names(terms), boosts.tolist(), n_with.tolist(), strict=True)
            if count
        ]
        if not parts:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        with _damage_named(self._folder):
            hits = self._searcher.search(self._query.boolean_query(parts), width, count=False).hits
            numbers = self._searcher.fast_field_values(_NUMBER, [address for _, address in hits])
        return np.array(numbers, dtype=np.int64), np.array([found for found, _ in hits], dtype=np.float64)

    def _boosted(self, name: str, boost: float) -> Any:  # noqa: ANN401 - tantivy is imported late
        return self._query.boost_query(self._query.term_query(self._schema, _TERMS, name, "freq"), boost)


def add_documents(folder: Path, documents: Iterable[tuple[int, HashArray]]) -> None:
    """Add documents in one commit; returns when the merges that it asks for are done.

    One thread writes, so that the same documents always make the same files; its memory is bounded.

    Args:
        folder: a tantivy index, or an empty folder.
        documents: numbers and entries; see :class:`~routeret.index.lexical.terms.DocumentTerms`.

    Raises:
        ArtifactError: the folder is damaged, cannot be written, or the disk is full; nothing was added.
    """
    import tantivy

    with _damage_named(folder):
        index = tantivy.Index.open(str(folder)) if tantivy.Index.exists(str(folder)) else _created(folder)
        index.config_reader("manual")
        writer = index.writer(_HEAP_BYTES, num_threads=1)
        for number, entries in documents:
            document = tantivy.Document()
            document.add_unsigned(_NUMBER, number)
            document.add_text(_TERMS, _text(entries))
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
    for path in folder.iterdir():
        path.chmod(0o644)


def _created(folder: Path) -> Any:  # noqa: ANN401 - tantivy is imported late
    import tantivy

    schema = tantivy.SchemaBuilder()
    schema.add_unsigned_field(_NUMBER, fast=True)
    # Terms are ready-made and their order does not matter.
    schema.add_text_field(_TERMS, tokenizer_name="whitespace", index_option="freq")
    return tantivy.Index(schema.build(), path=str(folder))


@contextmanager
def _readable(folder: Path) -> Iterator[Path]:
    """The folder itself, or a stand-in for one that cannot be written."""
    if os.access(folder, os.W_OK):
        yield folder
        return
    # tantivy opens lock files for writing. Behind links they stand in a folder of our own; its maps outlive the links.
    with tempfile.TemporaryDirectory() as temporary:
        for path in folder.iterdir():
            if not path.name.endswith(".lock"):
                (Path(temporary) / path.name).symlink_to(path.resolve())
        yield Path(temporary)


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # tantivy stops at some kinds of damage by a Rust panic, which is not an Exception.
        if isinstance(error, OSError | ValueError) or type(error).__name__ == "PanicException":
            raise ArtifactError(
                f"{folder} cannot be used, it is damaged or the disk is full: {error}; build the full text again"
            ) from error
        raise


def _names(terms: HashArray) -> list[str]:
    return [f"{term:0{2 * TERM_BYTES}x}" for term in terms.tolist()]


def _text(entries: HashArray) -> str:
    """Every term as often as it is counted, in hexadecimal digits, with blanks between."""
    counts = (entries & np.uint64(MAX_COUNT)).astype(np.int64)
    terms = np.repeat(entries >> np.uint64(COUNT_BITS), counts).astype(">u8")
    return terms.view(np.uint8).reshape(-1, 8)[:, -TERM_BYTES:].tobytes().hex(" ", TERM_BYTES)
