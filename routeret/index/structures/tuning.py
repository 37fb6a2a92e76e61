"""The cheapest way to search a structure that still reaches a recall, measured against exact search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np

from routeret.errors import InputError
from routeret.index.structures.best import settle
from routeret.index.structures.exact import StoredScan
from routeret.index.structures.rows import RowVectors
from routeret.types import FloatArray, IntArray

Probes = Mapping[str, FloatArray]
"""Queries by the name of who writes them, float32, shapes (n, dim)."""

DOCUMENTS = "documents"
"""The name of probes made from documents."""

K = 10
"""How many of the best rows must be found again."""

REFINED = (20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 600, 800)
"""How many candidates may be scored exactly for the ten best rows."""

_PROBES_A_SET = 512
_SLACK = 0.75  # of what may be missed: users' queries lie further from the documents than most probes
_REFINING_COST = 200  # one row read and scored exactly costs as much as this many compressed ones
_BATCH = 32
_LIKELIEST = 100  # most queries find their best rows among so many candidates, and further ones need no scores


@dataclass(frozen=True, slots=True)
class Settings:
    """How a structure is searched.

    Attributes:
        effort: how hard it tries, one of the structure's ``efforts``.
        n_refined: how many candidates are scored exactly for the ten best rows.
    """

    effort: int
    n_refined: int

    def width(self, k: int) -> int:
        """How many candidates are scored exactly for the ``k`` best rows.

        Ten times as many hits want five times as many candidates: measured on a million vectors with half a byte for
        every two dimensions, where 200 candidates serve 10 hits, 550 serve 50, 900 serve 100 and 2,000 serve 300. Where
        fewer serve 10 hits, a hit wants three candidates at every depth, measured on 20,000 and 81,422 vectors.
        """
        return max(ceil(self.n_refined * float(max(1.0, k / K) ** 0.7)), 3 * k)


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall of one probe set by how many candidates are refined, shapes (len(REFINED),).

    Attributes:
        mean: over the queries.
        error: its standard error; other queries of the same kind may do so much worse.
    """

    mean: FloatArray
    error: FloatArray


class Structure(Protocol):
    """What finds likely rows, for example a :class:`routeret.index.structures.faiss_structure.FaissStructure`."""

    @property
    def n_rows(self) -> int:
        """How many rows it covers, from 0."""

    @property
    def efforts(self) -> Sequence[int]:
        """How hard a search may try, ascending."""

    def candidates(self, queries: FloatArray, width: int, *, effort: int) -> tuple[IntArray, FloatArray]:
        """The likeliest rows of every query, likeliest first, and their rough scores; -1 where no row is left."""

    def share_read(self, effort: int) -> float:
        """The share of all rows that a search with this effort looks at, roughly."""


class Probing:
    """Probe queries with their exact answers over the rows that a structure covers."""

    def __init__(self, vectors: RowVectors, probes: Probes, *, n_rows: int) -> None:
        """Search exactly, reading all vectors once, in blocks.

        Args:
            vectors: the stored vectors.
            probes: at least one set; of a larger set the first 512 queries count.
            n_rows: how many rows the structure covers; at least 1.

        Raises:
            InputError: there are no probes, or they have another shape than the vectors.
        """
        self._vectors = vectors
        self._sets = {name: queries[:_PROBES_A_SET] for name, queries in probes.items()}
        for name, queries in probes.items():
            if queries.ndim != 2 or queries.shape[1] != vectors.dim or not len(queries):
                raise InputError(f"probes {name!r} have shape {queries.shape}, expected (1 or more, {vectors.dim})")
        if not self._sets:
            raise InputError(
                "there are no probes; give at least one set of queries, or None for ones made of documents"
            )
        self._queries = np.concatenate(list(self._sets.values()))
        exact = settle(StoredScan(vectors, end=n_rows), self._queries, K)
        self._n_best = exact.scores.shape[1]
        self._needed = exact.scores[:, -1]

    @property
    def names(self) -> list[str]:
        """The names of the probe sets."""
        return list(self._sets)

    def recalls(self, structure: Structure, effort: int) -> dict[str, Curve]:
        """Recall of the ten best rows by probe set.

        A row that scores like the tenth counts as well, so copies of one vector stand for each other.
        """
        widths = np.minimum(REFINED, structure.n_rows)
        shares = np.empty((len(self._queries), len(widths)), dtype=np.float32)
        for start in range(0, len(self._queries), _BATCH):
            rows, _ = structure.candidates(self._queries[start : start + _BATCH], int(widths[-1]), effort=effort)
            for number, found in enumerate(rows, start=start):
                shares[number] = self._found(number, found)[widths - 1] / self._n_best
        ends = np.cumsum([len(queries) for queries in self._sets.values()])[:-1]
        parts = np.split(shares, ends)
        return {
            name: Curve(part.mean(axis=0), part.std(axis=0) / np.float32(len(part) ** 0.5))
            for name, part in zip(self._sets, parts, strict=True)
        }

    def _found(self, number: int, rows: IntArray) -> IntArray:
        """How many of the best rows are among the first 1, 2, ... candidates of a query."""
        real = np.flatnonzero(rows >= 0)
        hits = np.zeros(len(rows), dtype=np.int64)
        for part in (real[:_LIKELIEST], real[_LIKELIEST:]):
            hits[part] = self._vectors.scores(rows[part], self._queries[number]) >= self._needed[number]
            if hits.sum() >= self._n_best:
                break
        found: IntArray = np.minimum(hits.cumsum(), self._n_best)
        return found


def cheapest(
    structure: Structure, probing: Probing, *, recall: float, least_effort: int = 0
) -> tuple[Settings, dict[str, float]] | None:
    """The settings that reach the recall on the worst probe set at the least cost, and the recall by set.

    Other queries than the probes will do a little worse, so each set must reach, less its standard error, the recall
    and half of what is left to 1. Where even the hardest try does not, the recall itself is enough.

    Costs are counted in rows looked at and not in seconds, so the same vectors give the same settings on a busy
    machine.

    Args:
        structure: what is searched.
        probing: the probes with their exact answers.
        recall: what to reach.
        least_effort: try no less than this.

    Returns:
        None where no settings reach it.
    """
    efforts = [effort for effort in structure.efforts if effort >= least_effort] or [structure.efforts[-1]]
    known: dict[int, dict[str, Curve]] = {}

    def above(effort: int) -> FloatArray:
        """By how much the worst set is above what it must reach, by how many candidates are refined."""
        if effort not in known:
            known[effort] = probing.recalls(structure, effort)
        lowest: FloatArray = np.min([curve.mean - curve.error for curve in known[effort].values()], axis=0)
        return lowest - np.float32(recall + _SLACK * (1 - recall))

    first = _first_reaching(efforts, lambda effort: bool(above(effort)[-1] >= 0))
    if first is None:
        found = recall_at(structure, probing, hardest := Settings(efforts[-1], REFINED[-1]))
        return (hardest, found) if min(found.values()) >= recall else None
    choices = []
    for effort in efforts[first : first + 4]:
        reaching = np.flatnonzero(above(effort) >= 0)
        if len(reaching):
            cost = structure.share_read(effort) * structure.n_rows + _REFINING_COST * REFINED[reaching[0]]
            choices.append((cost, effort, int(reaching[0])))
    _, effort, position = min(choices)
    found = {name: float(curve.mean[position]) for name, curve in known[effort].items()}
    return Settings(effort, REFINED[position]), found


def recall_at(structure: Structure, probing: Probing, settings: Settings) -> dict[str, float]:
    """Recall of the ten best rows by probe set with some settings."""
    position = REFINED.index(settings.n_refined)
    return {name: float(curve.mean[position]) for name, curve in probing.recalls(structure, settings.effort).items()}


def document_probes(vectors: RowVectors, *, seed: int, n_rows: int) -> Probes:
    """Queries made of documents, for want of real ones; 512 of them, named ``documents``.

    A document's own vector would find itself and its neighbours too easily, since a structure is learned from just
    such vectors, and queries lie between the documents. So each gets noise: half the difference of two other
    documents, which keeps to the directions in which documents do differ, while noise in all directions alike is
    orthogonal to nearly everything and changes no ranking.

    Args:
        vectors: the stored vectors.
        seed: of the choice.
        n_rows: how many rows to choose from; at least 1.
    """
    chosen = np.random.default_rng(seed).integers(n_rows, size=(3, _PROBES_A_SET))
    base, plus, minus = (vectors.take(rows) for rows in chosen)
    return {DOCUMENTS: base + (plus - minus) * np.float32(0.5)}


def _first_reaching(efforts: Sequence[int], reaches: Callable[[int], bool]) -> int | None:
    """Position of the least effort that reaches; more effort never finds less."""
    if not reaches(efforts[-1]):
        return None
    low, high = 0, len(efforts) - 1
    while low < high:
        middle = (low + high) // 2
        if reaches(efforts[middle]):
            high = middle
        else:
            low = middle + 1
    return low
