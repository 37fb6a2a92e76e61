"""The edges of a citation list that count, and how many of the others there are."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from routeret.corpus import Corpus
from routeret.errors import CorpusError, InputError
from routeret.mining.edges import Edge, read_edges
from routeret.mining.entities import once_each
from routeret.progress import track

COLUMNS = ("citing", "cited")


class Sieve:
    """Reads a citation list once; the counts are whole when all edges have passed.

    Attributes:
        edges: lines read.
        held_out_edges: lines with a held-out id.
        held_out_papers: how many of the held-out ids were met.
        self_citations: lines in which a paper cites itself.
        unknown_edges: lines that cite a document which the corpus does not hold.
    """

    def __init__(
        self, path: Path, *, corpus: Corpus | Path | str | None, hold_out: Iterable[str], skip_unknown: bool
    ) -> None:
        """Read the ids that the list is compared with.

        Args:
            path: the list.
            corpus: what the cited documents must be in; None takes every id.
            hold_out: ids whose edges do not count.
            skip_unknown: count unknown documents instead of stopping.

        Raises:
            CorpusError: the corpus cannot be read.
            InputError: ``hold_out`` is one text, or there is no corpus to know the documents by.
        """
        if isinstance(hold_out, str):
            raise InputError(
                f"hold_out is one text {hold_out[:40]!r}, expected several ids; write [id] for a single one"
            )
        if skip_unknown and corpus is None:
            raise InputError("unknown documents can only be skipped beside a corpus: give --corpus (corpus=)")
        self._path = path
        self._corpus = None if corpus is None else Corpus.of(corpus)
        documents = () if self._corpus is None else once_each(self._corpus)
        self._known = frozenset(document.id for document, _ in documents)
        self._held_out = frozenset(hold_out)
        self._met: set[str] = set()
        self._skip_unknown = skip_unknown
        self.edges = self.held_out_edges = self.self_citations = self.unknown_edges = 0

    @property
    def held_out_papers(self) -> int:
        """How many of the held-out ids were met."""
        return len(self._met)

    @property
    def n_passed(self) -> int:
        """How many edges count, repeated ones among them."""
        return self.edges - self.held_out_edges - self.self_citations - self.unknown_edges

    def passed(self, *, show_progress: bool = False) -> Iterator[tuple[str, str]]:
        """Citing and cited id of every edge that counts, in file order.

        Args:
            show_progress: draw a progress bar on stderr.

        Raises:
            CorpusError: the list cannot be read, or a document is unknown; the file and line are named.
            InputError: no held-out id was met, so that nothing would be held out.
        """
        edges = read_edges(self._path, columns=COLUMNS)
        for edge in track(edges, description="Reading citations", unit="edges", show=show_progress):
            self.edges += 1
            if self._counts(edge):
                yield edge.first, edge.second
        if self._held_out and not self._met:
            one = min(self._held_out)
            raise InputError(
                f"none of the {len(self._held_out)} held-out ids is in {self._path}, the first of them {one!r}; "
                f"nothing would be held out: give ids as the list writes them"
            )

    def _counts(self, edge: Edge) -> bool:
        if not self._held_out.isdisjoint((edge.first, edge.second)):
            self._met |= self._held_out.intersection((edge.first, edge.second))
            self.held_out_edges += 1
        elif edge.first == edge.second:
            self.self_citations += 1
        elif self._corpus is not None and edge.second not in self._known:
            self._unknown(edge, self._corpus.name)
        else:
            return True
        return False

    def _unknown(self, edge: Edge, name: str) -> None:
        if not self._skip_unknown:
            raise CorpusError(
                f"{edge.place} cites {edge.second!r}, which corpus {name!r} does not hold; add the document, remove "
                f"the line, or leave such lines out: --skip-unknown (skip_unknown=True)"
            )
        self.unknown_edges += 1
