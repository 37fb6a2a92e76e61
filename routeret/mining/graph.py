"""Graphs between two sets of entities: what is positive for what, in both directions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import new_folder, read_manifest, write_manifest
from routeret.errors import ArtifactError, CorpusError, InputError
from routeret.lines import read_objects
from routeret.types import BoolArray, FloatArray, IntArray

KIND = "bipartite graph"
FORMAT = 1

_LEFT = "left.jsonl"
_RIGHT = "right.jsonl"
_EDGES = "edges.tsv"
_HEADER = "left\tright\tweight"


@dataclass(frozen=True, eq=False)
class BipartiteGraph:
    """Two sets of entities with texts, and the pairs of them that belong together; every entity has an edge.

    Attributes:
        name: what the graph is called among several, for example ``"skill_job"``.
        left_ids: ids on the left, each once; a row of the left is a place in this.
        left_texts: their texts.
        right_ids: ids on the right, each once.
        right_texts: their texts.
        edges: int64, shape (n_edges, 2); a row of the left and a row of the right, sorted, each pair once.
        weights: float32, shape (n_edges,); above 0.
    """

    name: str
    left_ids: tuple[str, ...]
    left_texts: tuple[str, ...]
    right_ids: tuple[str, ...]
    right_texts: tuple[str, ...]
    edges: IntArray
    weights: FloatArray

    def __post_init__(self) -> None:
        """Refuse what is no such graph.

        Raises:
            InputError: texts are missing, an id comes twice, edges are unsorted or lead nowhere, an entity has none.
        """
        left, right = _Side("left", self.left_ids, self.left_texts), _Side("right", self.right_ids, self.right_texts)
        for side in (left, right):
            side.require_whole(self.name)
        if self.weights.shape != (len(self.edges),) or self.edges.shape != (len(self.edges), 2) or not len(self.edges):
            raise InputError(
                f"graph {self.name!r} has edges of shape {self.edges.shape} and weights of shape {self.weights.shape}, "
                f"expected (n, 2) and (n,), n at least 1"
            )
        for side, rows in zip((left, right), self.edges.T, strict=True):
            side.require_edges(self.name, rows)
        if np.any(np.diff(self._keys) <= 0):
            raise InputError(f"the edges of graph {self.name!r} are not sorted, or one comes twice; use from_edges")
        if not np.all(np.isfinite(self.weights) & (self.weights > 0)):
            raise InputError(f"graph {self.name!r} has a weight that is not a finite number above 0")

    @classmethod
    def from_edges(
        cls,
        name: str,
        edges: IntArray,
        *,
        left: Mapping[str, str],
        right: Mapping[str, str],
        weights: FloatArray | None = None,
    ) -> "BipartiteGraph":
        """The graph of some edges, with those entities that have one, in their order.

        Args:
            name: what it is called.
            edges: int64, shape (n, 2); places in ``left`` and ``right``, in any order; repeated ones count once.
            left: text by id.
            right: text by id.
            weights: float32, shape (n,); 1 by default. A repeated edge keeps its first.

        Raises:
            InputError: there is no edge, or one leads nowhere.
        """
        if not len(edges):
            raise InputError(f"graph {name!r} has no edge; it needs at least one")
        if edges.min() < 0 or np.any(edges.max(axis=0) >= (len(left), len(right))):
            raise InputError(
                f"the edges of graph {name!r} hold rows from {edges.min()} to {edges.max(axis=0).tolist()}, expected "
                f"0 to {[len(left) - 1, len(right) - 1]}"
            )
        kept, first = np.unique(edges, axis=0, return_index=True)
        left_rows, left_edges = np.unique(kept[:, 0], return_inverse=True)
        right_rows, right_edges = np.unique(kept[:, 1], return_inverse=True)
        left_ids, left_texts = _chosen(left, left_rows)
        right_ids, right_texts = _chosen(right, right_rows)
        return cls(
            name=name,
            left_ids=left_ids,
            left_texts=left_texts,
            right_ids=right_ids,
            right_texts=right_texts,
            edges=np.stack([left_edges, right_edges], axis=1).astype(np.int64),
            weights=np.ones(len(kept), dtype=np.float32) if weights is None else weights[first].astype(np.float32),
        )

    def positives_of_left(self, row: int) -> IntArray:
        """The rows of the right that belong to a row of the left, rising; at least one."""
        _require_row(row, self.left_ids)
        return self.edges[self._left_starts[row] : self._left_starts[row + 1], 1]

    def positives_of_right(self, row: int) -> IntArray:
        """The rows of the left that belong to a row of the right, rising; at least one."""
        _require_row(row, self.right_ids)
        return self._left_by_right[self._right_starts[row] : self._right_starts[row + 1]]

    def are_positive(self, left_rows: IntArray, right_rows: IntArray) -> BoolArray:
        """Which pairs of a batch belong together; shape (n_left, n_right).

        Args:
            left_rows: int64, shape (n_left,).
            right_rows: int64, shape (n_right,).
        """
        wanted = left_rows[:, None] * len(self.right_ids) + right_rows[None, :]
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        found: BoolArray = self._keys[places] == wanted
        return found

    @cached_property
    def itself_on_right(self) -> IntArray:
        """The row on the right that holds the same entity, by id and text, int64, shape (n_left,); -1 where none does.

        Where both sides hold papers, a paper neither belongs to itself nor tells what does not belong to it.
        """
        row_by_entity = {entity: row for row, entity in enumerate(zip(self.right_ids, self.right_texts, strict=True))}
        entities = zip(self.left_ids, self.left_texts, strict=True)
        return np.array([row_by_entity.get(entity, -1) for entity in entities], dtype=np.int64)

    def save(self, folder: Path | str) -> None:
        """Write a new folder, whole or not at all.

        Args:
            folder: must not exist.

        Raises:
            ArtifactError: something is at ``folder`` already.
        """
        from routeret import __version__

        with new_folder(Path(folder)) as temporary:
            for file, ids, texts in (
                (_LEFT, self.left_ids, self.left_texts),
                (_RIGHT, self.right_ids, self.right_texts),
            ):
                with (temporary / file).open("w", encoding="utf-8") as lines:
                    for one, text in zip(ids, texts, strict=True):
                        lines.write(json.dumps({"_id": one, "text": text}, ensure_ascii=False) + "\n")
            with (temporary / _EDGES).open("w", encoding="utf-8") as lines:
                lines.write(f"{_HEADER}\n")
                for (left, right), weight in zip(self.edges.tolist(), self.weights, strict=True):
                    lines.write(f"{left}\t{right}\t{weight!s}\n")
            fields = {
                "name": self.name,
                "n_left": len(self.left_ids),
                "n_right": len(self.right_ids),
                "n_edges": len(self.edges),
                "routeret": __version__,
            }
            write_manifest(temporary, kind=KIND, format_number=FORMAT, fields=fields)

    @classmethod
    def load(cls, folder: Path | str) -> "BipartiteGraph":
        """The graph that :meth:`save` wrote.

        Raises:
            ArtifactError: the folder is no such graph, or is damaged.
        """
        folder = Path(folder)
        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT)
        try:
            left_ids, left_texts = _read_entities(folder / _LEFT)
            right_ids, right_texts = _read_entities(folder / _RIGHT)
            table = np.loadtxt(folder / _EDGES, delimiter="\t", skiprows=1, ndmin=2)
            edges, weights = table[:, :2].astype(np.int64), table[:, 2].astype(np.float32)
            return cls(str(manifest["name"]), left_ids, left_texts, right_ids, right_texts, edges, weights)
        except (CorpusError, InputError, KeyError, IndexError, ValueError) as error:
            raise ArtifactError(f"{folder} is damaged: {error}; mine the graph again") from error

    @cached_property
    def _keys(self) -> IntArray:
        keys: IntArray = self.edges[:, 0] * len(self.right_ids) + self.edges[:, 1]
        return keys

    @cached_property
    def _left_starts(self) -> IntArray:
        return _starts(self.edges[:, 0])

    @cached_property
    def _right_starts(self) -> IntArray:
        return _starts(self.edges[:, 1])

    @cached_property
    def _left_by_right(self) -> IntArray:
        """The left rows of all edges, sorted by right row and then by left row."""
        rows: IntArray = self.edges[np.argsort(self.edges[:, 1], kind="stable"), 0]
        return rows


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]

    def require_whole(self, graph: str) -> None:
        n_different = len(set(self.ids))
        if len(self.ids) != len(self.texts) or n_different != len(self.ids):
            raise InputError(
                f"graph {graph!r} has {len(self.ids)} ids, {n_different} of them different, and {len(self.texts)} "
                f"texts on the {self.name}; every entity has one id and one text"
            )

    def require_edges(self, graph: str, rows: IntArray) -> None:
        found = np.unique(rows)
        if not np.array_equal(found, np.arange(len(self.ids))):
            raise InputError(
                f"graph {graph!r} has {len(self.ids)} entities on the {self.name}, and edges of {len(found)} rows from "
                f"{found[0]} to {found[-1]}; every entity must have an edge: make the graph with from_edges"
            )


def _starts(rows: IntArray) -> IntArray:
    """Where the edges of every row start, and behind the last one where they end."""
    counts = np.bincount(rows)
    starts: IntArray = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return starts


def _chosen(text_by_id: Mapping[str, str], rows: IntArray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    entities = list(text_by_id.items())
    chosen = [entities[row] for row in rows.tolist()]
    return tuple(one for one, _ in chosen), tuple(text for _, text in chosen)


def _require_row(row: int, ids: tuple[str, ...]) -> None:
    if not 0 <= row < len(ids):
        raise InputError(f"there is no row {row}; the rows of this side are 0 to {len(ids) - 1}")


def _read_entities(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    entities: list[Any] = [values for values, _ in read_objects(path)]
    return tuple(one["_id"] for one in entities), tuple(one["text"] for one in entities)
