"""The indexes that an evaluation searches: one a data set or one for all, kept in a cache if there is one."""

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from routeret.artifact import new_folder, write_file
from routeret.chunking import Chunker, WholeText
from routeret.corpus import Corpus
from routeret.datasets import Dataset
from routeret.experts import TowerExpert
from routeret.index import Index
from routeret.index.schema import FORMAT
from routeret.index.structures.choosing import EXACT
from routeret.protocols import Encoder
from routeret.space import Space
from routeret.types import Document, EncodedDocuments, FloatArray

_DIGITS = 16
_FORMAT = f"index-{FORMAT}"  # indexes of another format stay where they are


@dataclass(frozen=True, slots=True)
class SearchedIndex:
    """The index that the queries of one data set are searched in.

    Attributes:
        index: the index.
        prefix: what stands before the data set's own document ids there.
        fingerprint: 16 hexadecimal digits of the space, the documents, and what cut them into spans.
    """

    index: Index
    prefix: str
    fingerprint: str


@contextmanager
def indexes_of(
    datasets: Sequence[Dataset],
    base: Encoder,
    *,
    towers: Sequence[TowerExpert] = (),
    chunker: Chunker | None = None,
    merged: bool,
    cache: Path | str | None,
    show_progress: bool,
) -> Iterator[dict[str, SearchedIndex]]:
    """The index of every data set, by its name; they are closed when the block ends.

    Args:
        datasets: with different names.
        base: embeds their documents.
        towers: experts whose encoders embed them too, into spaces of their own, with the tokens that they compare.
        chunker: cuts them into spans; None leaves them whole.
        merged: one index for all of them, with ids ``<data set>/<id>``.
        cache: a folder where indexes are found and kept; None embeds anew, in a temporary folder.
        show_progress: draw progress bars on stderr.
    """
    chunker = chunker or WholeText()
    with ExitStack() as stack:
        folder = Path(cache if cache is not None else stack.enter_context(TemporaryDirectory(prefix="routeret-eval-")))
        space = base.space.fingerprint
        keys = {dataset.name: _key(dataset.corpus, chunker) for dataset in datasets}
        indexes = {}
        for dataset in datasets:
            path = folder / _FORMAT / space / f"{dataset.name}-{keys[dataset.name]}"
            parts: list[tuple[Corpus, Encoder]] = [(dataset.corpus, base)]
            index = _opened(path, base.space, parts, chunker=chunker, show_progress=show_progress)
            indexes[dataset.name] = stack.enter_context(index)
            if not merged:
                _add_spaces(index, towers, show_progress=show_progress)
        if not merged:
            yield {name: SearchedIndex(index, "", _digest([space, keys[name]])) for name, index in indexes.items()}
            return
        parts = [
            (dataset.corpus.with_prefix(), _Copied(base, dataset.name, indexes[dataset.name])) for dataset in datasets
        ]
        key = _digest([part for name in indexes for part in (name, keys[name])])
        path = folder / _FORMAT / space / f"merged-{key}"
        index = stack.enter_context(_opened(path, base.space, parts, chunker=chunker, show_progress=show_progress))
        _add_spaces(index, towers, show_progress=show_progress)
        fingerprint = _digest([space, key])
        yield {name: SearchedIndex(index, f"{name}/", fingerprint) for name in indexes}


def query_vectors(texts: Sequence[str], base: Encoder, *, cache: Path | str | None) -> FloatArray:
    """The base's embeddings of some queries, float32, shape (n_queries, dim), from the cache if they are there.

    Args:
        texts: the queries.
        base: embeds them.
        cache: a folder where they are found and kept; None embeds anew.
    """
    if cache is None:
        return base.encode_queries(texts)
    path = Path(cache) / "queries" / f"{base.query_tower}-{_digest(texts)}.npy"
    if path.is_file():
        vectors: FloatArray = np.load(path, allow_pickle=False)
        return vectors
    vectors = base.encode_queries(texts)
    content = io.BytesIO()
    np.save(content, vectors, allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content.getvalue())
    return vectors


def corpus_fingerprint(corpus: Corpus) -> str:
    """16 hexadecimal digits of all ids, titles and texts, in their order; reads the corpus once."""
    return _digest(part for document in corpus for part in (document.id, document.title, document.text))


class _Copied:
    """Gives documents, or spans of them, the vectors that an index holds already."""

    def __init__(self, base: Encoder, name: str, index: Index) -> None:
        self._base = base
        self._prefix = f"{name}/"
        self._index = index

    @property
    def space(self) -> Space:
        return self._index.space

    @property
    def query_tower(self) -> str:
        return self._base.query_tower

    def encode_documents(self, documents: Sequence[Document]) -> EncodedDocuments:
        index = self._index
        numbers = index.numbers([document.id.removeprefix(self._prefix) for document in documents])
        rows, ends = index.rows_of(numbers)
        # A document in one piece has one row; of several, the text of the span tells which.
        for place in np.flatnonzero(ends - rows > 1).tolist():
            rows[place] += self._span(numbers[place], range(rows[place], ends[place]), documents[place].text)
        return EncodedDocuments(index.vectors(rows), np.zeros(len(documents), dtype=np.bool_))

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        return self._base.encode_queries(texts)

    def _span(self, number: int, rows: range, text: str) -> int:
        """The place of the span with this text among the rows of a document."""
        (document,) = self._index.documents([number])
        return [document.text[start:end] for start, end in self._index.spans(rows)].index(text)


def _opened(
    path: Path, space: Space, parts: Sequence[tuple[Corpus, Encoder]], *, chunker: Chunker, show_progress: bool
) -> Index:
    """The index of a folder, filled now if it is not there."""
    if not path.exists():
        with new_folder(path) as folder, Index.create(folder, space, chunker=chunker) as index:
            # Models are compared, so the search itself must not miss anything.
            index.optimise(factory=EXACT)
            for corpus, encoder in parts:
                index.add(corpus, encoder, show_progress=show_progress)
    return Index.open(path, chunker=chunker)


def _add_spaces(index: Index, towers: Sequence[TowerExpert], *, show_progress: bool) -> None:
    """Give the documents of an index vectors in further spaces; those that are there are not made again.

    Tokens that an earlier evaluation kept in another precision are made anew.

    Raises:
        InputError: two experts compare tokens of one space in different precisions.
    """
    chosen: set[str] = set()
    for tower in towers:
        space, wanted = tower.space.fingerprint, tower.token_storage
        held = index.info()["spaces"].get(space, {"rows": 0})
        storage = held.get("tokens", {}).get("storage")
        if wanted is not None and storage not in (None, wanted) and space not in chosen:
            index.drop_tokens(tower.space)
            storage = None
        if wanted is not None:
            chosen.add(space)
        if held["rows"] < index.n_rows or wanted not in (None, storage):
            index.add_space(tower.encoder, tokens=wanted, show_progress=show_progress)


def _key(corpus: Corpus, chunker: Chunker) -> str:
    """16 hexadecimal digits of a corpus and of what cuts it; of the corpus alone where its documents stay whole."""
    key = corpus_fingerprint(corpus)
    return key if chunker.fingerprint == WholeText().fingerprint else _digest([key, chunker.fingerprint])


def _digest(parts: Mapping[str, str] | Sequence[str] | Iterator[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode()
        # The length before every part, so that no two lists give the same bytes.
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:_DIGITS]
