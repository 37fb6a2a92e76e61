"""Which documents are paired: counted, in one split, and among the best of both."""

import heapq
from collections.abc import Iterator

from routeret.mining.citations import CitationGraph
from routeret.mining.splitting import DocumentSplit
from routeret.progress import track


class Pairing:
    """Goes through the cited documents in the order of their ids, and writes their pairs into the graph.

    The earlier document of a pair proposes it, the later one confirms it, so that one pass is enough.

    Attributes:
        split_by_row: the number of every paper's split, by row.
        found: pairs cited together.
        below_min_count: those that too few papers cite.
        across_splits: of the others, those in two splits.
        eligible: pairs that are left; a limit per document leaves fewer.
    """

    def __init__(
        self, graph: CitationGraph, splits: DocumentSplit | None, *, min_count: int, most_per_document: int | None
    ) -> None:
        """Share the documents out.

        Args:
            graph: with its papers numbered.
            splits: which split a document is in; None puts all in one.
            min_count: the least number of papers that cite both.
            most_per_document: how many pairs a document keeps; None keeps all.
        """
        self._graph = graph
        self._min_count = min_count
        self._most = most_per_document
        self.split_by_row = bytearray(1)
        self.split_by_row.extend(0 if splits is None else splits.number_of(paper_id) for _, paper_id in graph.papers())
        self.found = self.below_min_count = self.across_splits = self.eligible = 0

    def pair_all(self, *, show_progress: bool = False) -> None:
        """Pair every document.

        Args:
            show_progress: draw a progress bar on stderr.

        Raises:
            ArtifactError: the disk is full.
        """
        rows = track(
            self._graph.cited(),
            description="Pairing",
            total=self._graph.n_cited,
            unit="documents",
            show=show_progress,
        )
        for row in rows:
            if self._most is None:
                self._graph.propose(row, self._eligible(row, from_row=row + 1), is_kept=True)
            else:
                self._pair_best(row, self._most)

    def _pair_best(self, row: int, most: int) -> None:
        best = heapq.nsmallest(most, self._eligible(row, from_row=1), key=lambda pair: (-pair[1], pair[0]))
        self._graph.propose(row, [pair for pair in best if pair[0] > row], is_kept=False)
        self._graph.confirm(row, [other for other, _ in best if other < row])

    def _eligible(self, row: int, *, from_row: int) -> Iterator[tuple[int, int]]:
        for other, n in self._graph.cited_with(row, from_row=from_row):
            # A pair seen from its later document was counted before.
            counts = int(other > row)
            self.found += counts
            if n < self._min_count:
                self.below_min_count += counts
            elif self.split_by_row[other] != self.split_by_row[row]:
                self.across_splits += counts
            else:
                self.eligible += counts
                yield other, n
