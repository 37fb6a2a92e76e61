"""What a router keeps of a training corpus beside its summary."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routeret.routing.pilots import PilotCorpus
from routeret.types import IntArray

NO_OWNER = -1
"""Stands for the owner of a corpus whose own expert is not in the pool."""


@dataclass(frozen=True, slots=True)
class TrainingCorpus:
    """A corpus whose pilots a router was fitted on.

    Attributes:
        name: of the corpus.
        home_experts: the experts that were trained on it, the most special first.
        is_index: whether it is the index itself, tuned on labels of its own.
    """

    name: str
    home_experts: tuple[str, ...] = ()
    is_index: bool = False

    @classmethod
    def of(cls, corpus: PilotCorpus) -> "TrainingCorpus":
        """What is kept of some pilots."""
        return cls(corpus.name, corpus.home_experts, corpus.is_index)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"name": self.name, "home_experts": list(self.home_experts), "is_index": self.is_index}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingCorpus":
        """What :meth:`as_dict` gave."""
        return cls(values["name"], tuple(values["home_experts"]), values["is_index"])

    def owner_among(self, experts: Mapping[str, int]) -> int:
        """The column of the most special one of some experts that was trained on it; -1 where there is none.

        Args:
            experts: column by name.
        """
        return next((experts[home] for home in self.home_experts if home in experts), NO_OWNER)


def owners_of(corpora: Sequence[TrainingCorpus], experts: Sequence[str]) -> IntArray:
    """The column of every corpus's own expert, int64, shape (n_corpora,); -1 where the pool has none."""
    columns = {name: column for column, name in enumerate(experts)}
    return np.array([corpus.owner_among(columns) for corpus in corpora], dtype=np.int64)


def breadths_of(corpora: Sequence[TrainingCorpus], experts: Sequence[str]) -> IntArray:
    """On how many corpora every expert was trained, int64, shape (n_experts,).

    One that was trained on none of them counts as broader than any other: nothing says that it is special. The index
    itself is no corpus here.
    """
    known = [corpus for corpus in corpora if not corpus.is_index]
    counts = Counter(name for corpus in known for name in set(corpus.home_experts))
    return np.array([counts[name] or len(known) + 1 for name in experts], dtype=np.int64)
