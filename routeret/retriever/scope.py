"""What may be found: an index, the documents of it that a filter leaves, and how spans make a document's score."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from routeret.chunking import Aggregation
from routeret.conditions import Filter
from routeret.index import Index
from routeret.types import BoolArray


@dataclass(frozen=True, eq=False)
class Scope:
    """Where queries are searched.

    Attributes:
        index: holds the documents.
        documents: shape (n_numbers,); which document numbers may be found. None is all that are there.
        aggregation: how the scores of a document's spans make its own.
    """

    index: Index
    documents: BoolArray | None = None
    aggregation: Aggregation = "best"

    @classmethod
    def of(
        cls, index: Index, *, filter: Filter | Mapping[str, Any] | None, aggregation: Aggregation = "best"
    ) -> "Scope":
        """The documents of an index that match a filter; all where there is none.

        Raises:
            InputError: the filter is malformed, or names a field that no document has.
        """
        return cls(index, None if filter is None else index.matching(filter), aggregation)

    @cached_property
    def allowed(self) -> BoolArray | None:
        """Which document numbers may be found, for full text: None only where every number may."""
        if self.documents is not None:
            return self.documents & self.index.live_documents
        return None if len(self.index) == self.index.n_numbers else self.index.live_documents

    @property
    def has_one_span_a_document(self) -> bool:
        """Whether every document of the index is one span."""
        return self.index.n_rows == self.index.n_numbers

    @cached_property
    def _n_documents(self) -> int:
        return len(self.index) if self.allowed is None else int(np.count_nonzero(self.allowed))

    def __len__(self) -> int:
        """How many documents may be found."""
        return self._n_documents
