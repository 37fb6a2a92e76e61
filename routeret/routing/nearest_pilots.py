"""Which pilots a query is nearest to: looked for when somebody looks, since no decision needs them."""

from collections.abc import Sequence
from functools import cached_property
from typing import overload

import numpy as np

from routeret.routing.picking import unit
from routeret.routing.pilots import PilotLibrary
from routeret.routing.stored_pilots import StoredPilots, read
from routeret.types import FloatArray, Pilot


class NearestPilots:
    """The pilots of a library side by side; they are read and laid out at the first question."""

    def __init__(self, pilots: PilotLibrary | StoredPilots) -> None:
        """Keep the pilots, in memory or in their folder."""
        self._pilots = pilots

    def of(self, query: FloatArray, n_pilots: int) -> tuple[Pilot, ...]:
        """The pilots most similar to a query, most similar first.

        Args:
            query: float32, shape (dim,); its base embedding.
            n_pilots: how many at most.
        """
        if not self._library.corpora:
            return ()
        length = max(float(np.linalg.norm(query)), float(np.finfo(np.float32).tiny))
        similarity = self._vectors @ query / length
        texts, names = self._labels
        best = np.argsort(-similarity, kind="stable")[:n_pilots].tolist()
        return tuple(Pilot(texts[pilot], names[pilot], float(similarity[pilot])) for pilot in best)

    def later(self, query: FloatArray, n_pilots: int) -> Sequence[Pilot]:
        """What :meth:`of` gives, found when it is first looked at."""
        return _Later(self, query, n_pilots)

    @cached_property
    def _library(self) -> PilotLibrary:
        return read(self._pilots)

    @cached_property
    def _vectors(self) -> FloatArray:
        """All pilots at length 1, float32, shape (n_pilots, dim)."""
        return unit(np.concatenate([corpus.vectors for corpus in self._library.corpora]))

    @cached_property
    def _labels(self) -> tuple[list[str], list[str]]:
        """Text and corpus of every pilot."""
        corpora = self._library.corpora
        return (
            [text for corpus in corpora for text in corpus.texts],
            [corpus.name for corpus in corpora for _ in corpus.texts],
        )


class _Later(Sequence[Pilot]):
    """The nearest pilots of one query, not found yet."""

    def __init__(self, pilots: NearestPilots, query: FloatArray, n_pilots: int) -> None:
        self._pilots = pilots
        self._query = query.copy()  # it may be a line of many
        self._n_pilots = n_pilots

    @cached_property
    def _found(self) -> tuple[Pilot, ...]:
        return self._pilots.of(self._query, self._n_pilots)

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Pilot: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Pilot, ...]: ...
    def __getitem__(self, index: int | slice) -> Pilot | tuple[Pilot, ...]:
        return self._found[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._found == tuple(other)

    def __hash__(self) -> int:
        return hash(self._found)

    def __repr__(self) -> str:
        return repr(self._found)

    def __reduce__(self) -> tuple[type[tuple[Pilot, ...]], tuple[tuple[Pilot, ...]]]:
        """What is kept or copied are the pilots that were found, not all there are."""
        return tuple, (self._found,)
