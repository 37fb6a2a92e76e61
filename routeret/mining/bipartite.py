"""Graphs between two sets of entities, from edge lists.

The three of "Unified Work Embeddings" (arXiv 2511.07969) are skill - job, skill - vacancy sentence and skill - alias.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import require_free
from routeret.corpus import Corpus
from routeret.errors import CorpusError, InputError
from routeret.mining.edges import Edge, read_edges
from routeret.mining.entities import once_each, text_of
from routeret.mining.graph import BipartiteGraph
from routeret.progress import track
from routeret.types import IntArray

COLUMNS = ("left", "right")
WEIGHT = "weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class BipartiteReport:
    """A graph that was mined.

    Attributes:
        name: what it is called.
        folder: where it was written.
        read_by_file: number of edges read, by edge list.
        duplicate_edges: edges that came before, in the same list or another.
        edges: edges of the graph.
        left: entities on the left.
        right: entities on the right.
        left_without_edges: documents of the left corpus that no edge names; they are not in the graph.
        right_without_edges: the same on the right.
    """

    name: str
    folder: Path
    read_by_file: Mapping[str, int]
    duplicate_edges: int
    edges: int
    left: int
    right: int
    left_without_edges: int
    right_without_edges: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "folder": str(self.folder), "read_by_file": dict(self.read_by_file)}


def mine_bipartite(
    edges: Sequence[Path | str] | Path | str,
    *,
    left: Corpus | Path | str,
    right: Corpus | Path | str,
    out: Path | str,
    name: str | None = None,
    swap: bool = False,
    show_progress: bool = False,
) -> BipartiteReport:
    """Write the graph of one or more edge lists to a folder, whole or not at all.

    An edge that comes several times counts once. Entities without an edge are left out, and counted; an entity's text
    is its document's title and text.

    Args:
        edges: JSON lines with ``left``, ``right`` and perhaps ``weight``, or CSV with these columns; plain or ``.gz``.
            Several lists make one graph.
        left: the corpus of the left ids.
        right: the corpus of the right ids.
        out: the folder; must not exist.
        name: what the graph is called; by default the folder's name.
        swap: take the column ``left`` as the right ids, and ``right`` as the left ones.
        show_progress: draw a progress bar on stderr.

    Raises:
        CorpusError: a list or a corpus cannot be read, an id is unknown, the sides are swapped, or an edge has two
            weights; the file and line are named.
        InputError: there is no edge list, or the name is blank.
        ArtifactError: something is at ``out`` already.
    """
    out = Path(out)
    paths = [Path(path) for path in ([edges] if isinstance(edges, str | Path) else edges)]
    if not paths or len(set(paths)) < len(paths):
        raise InputError(f"the edge lists are {', '.join(map(str, paths)) or 'none'}; give at least one, each once")
    name = out.name if name is None else name
    if not name.strip():
        raise InputError(f"the graph is called {name!r}; give it a name, or a folder that has one")
    require_free(out)
    sides = _Sides(Corpus.of(left), Corpus.of(right), swap=swap)
    listed = _Listed()
    for path in paths:
        listed.read(path, sides, show_progress=show_progress)
    listed.require_one_weight(paths)
    graph = BipartiteGraph.from_edges(
        name,
        listed.edges,
        left=sides.left,
        right=sides.right,
        weights=np.array(listed.weights, dtype=np.float32),
    )
    graph.save(out)
    return BipartiteReport(
        name=name,
        folder=out,
        read_by_file=listed.read_by_file,
        duplicate_edges=len(listed.weights) - len(graph.edges),
        edges=len(graph.edges),
        left=len(graph.left_ids),
        right=len(graph.right_ids),
        left_without_edges=len(sides.left) - len(graph.left_ids),
        right_without_edges=len(sides.right) - len(graph.right_ids),
    )


class _Sides:
    """The entities that edges may name."""

    def __init__(self, left: Corpus, right: Corpus, *, swap: bool) -> None:
        self.left, self.right = (
            {document.id: text_of(document) for document, _ in once_each(corpus)} for corpus in (left, right)
        )
        self._swap = swap
        self._left_rows, self._right_rows = (
            {entity_id: row for row, entity_id in enumerate(side)} for side in (self.left, self.right)
        )

    def rows_of(self, edge: Edge) -> tuple[int, int]:
        left, right = (edge.second, edge.first) if self._swap else (edge.first, edge.second)
        rows = self._left_rows.get(left), self._right_rows.get(right)
        if rows[0] is None or rows[1] is None:
            raise self._unknown(edge, left, right)
        return rows[0], rows[1]

    def _unknown(self, edge: Edge, left: str, right: str) -> CorpusError:
        if left in self.right and right in self.left:
            remedy = "do without --swap (swap=True)" if self._swap else "give --swap (swap=True)"
            return CorpusError(
                f"{edge.place} has its sides swapped: {right!r} is in the left corpus and {left!r} in the right one; "
                f"{remedy} if all lines are like this, or exchange the two"
            )
        side, one = ("left", left) if left not in self.left else ("right", right)
        return CorpusError(
            f"{edge.place} names {one!r}, which the {side} corpus does not hold; add it there, or remove the line"
        )


@dataclass(slots=True)
class _Listed:
    """The edges of all lists, as rows, in the order they were read."""

    rows: "array[int]" = field(default_factory=lambda: array("q"))
    weights: "array[float]" = field(default_factory=lambda: array("f"))
    read_by_file: dict[str, int] = field(default_factory=dict)

    @property
    def edges(self) -> IntArray:
        return np.array(self.rows, dtype=np.int64).reshape(-1, 2)

    def read(self, path: Path, sides: _Sides, *, show_progress: bool) -> None:
        before = len(self.weights)
        edges = read_edges(path, columns=COLUMNS, weight=WEIGHT)
        for edge in track(edges, description=f"Reading {path.name}", unit="edges", show=show_progress):
            self.rows.extend(sides.rows_of(edge))
            self.weights.append(edge.weight)
        self.read_by_file[str(path)] = len(self.weights) - before

    def require_one_weight(self, paths: Sequence[Path]) -> None:
        weights = np.array(self.weights, dtype=np.float32)
        _, first, group = np.unique(self.edges, axis=0, return_index=True, return_inverse=True)
        differing = np.flatnonzero(weights != weights[first][group])
        if not len(differing):
            return
        number = int(differing[0])
        again = (edge for path in paths for edge in read_edges(path, columns=COLUMNS, weight=WEIGHT))
        edge = next(islice(again, number, None))
        raise CorpusError(
            f"{edge.place} gives the edge {edge.first!r} - {edge.second!r} the weight {edge.weight:g}, an earlier line "
            f"{weights[first][group][number]:g}; keep one of the two"
        )
