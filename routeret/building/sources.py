"""Several corpora as one: checked whole before anything is written, and counted while they are read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from routeret.corpus import Corpus, scan
from routeret.types import Document


class Sources:
    """Corpora that go into one index; each is read once to check it and once to bring it."""

    def __init__(self, sources: Sequence[Corpus | Path | str], *, prefix_ids: bool) -> None:
        """Find the corpora and check them.

        Args:
            sources: corpora, or paths to them.
            prefix_ids: make every id ``<corpus>/<id>``.

        Raises:
            CorpusError: a corpus is missing, empty or broken; the file and line are named.
            DuplicateIdError: an id comes twice; both places are named.
        """
        self._corpora = [corpus.with_prefix() if prefix_ids else corpus for corpus in map(Corpus.of, sources)]
        self._counts: Counter[str] = Counter()
        self.ids: list[str] = []
        scan([Corpus(corpus.name, partial(_noting, corpus, self.ids)) for corpus in self._corpora])

    def __len__(self) -> int:
        """How many documents."""
        return len(self.ids)

    @property
    def n_by_corpus(self) -> dict[str, int]:
        """How many documents were read from each corpus when they were brought."""
        return dict(self._counts)

    def joined(self, name: str) -> Corpus:
        """One corpus for all of them, since one call keeps all its documents or none.

        Args:
            name: what it is called in messages.
        """
        return Corpus(name, self._read)

    def _read(self) -> Iterator[tuple[Document, str]]:
        self._counts.clear()
        for corpus in self._corpora:
            for located in corpus.located():
                self._counts[corpus.name] += 1
                yield located


def _noting(corpus: Corpus, ids: list[str]) -> Iterator[tuple[Document, str]]:
    """A corpus's documents, whose ids are noted as they pass."""
    for document, place in corpus.located():
        ids.append(document.id)
        yield document, place
