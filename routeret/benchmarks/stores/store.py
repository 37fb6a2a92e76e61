"""What a store must do to be measured."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from routeret.benchmarks.data import BenchData, PlaceRange
from routeret.types import FloatArray

Setting = dict[str, int]
"""What a search is asked to try, by the store's own names."""


class BenchedStore(ABC):
    """A store in a folder; documents go by their ids. Making one imports what it needs and opens nothing.

    Attributes:
        requires: modules that it needs, each with the extra that installs it.
        is_tuned: whether searches have settings, to be chosen by their recall.
        ids_are_rows: whether a found id is the document's row in digits, and not its id.
        can_change: whether it has :meth:`upsert` and :meth:`delete`.
        can_compact: whether it has :meth:`compact`.
        most_documents: how many documents it is measured with at most; None where its build time is no obstacle.
    """

    requires: ClassVar[tuple[tuple[str, str], ...]] = ()
    is_tuned: ClassVar[bool] = False
    ids_are_rows: ClassVar[bool] = False
    can_change: ClassVar[bool] = True
    can_compact: ClassVar[bool] = False
    most_documents: ClassVar[int | None] = None

    def __init__(self, folder: Path, data: BenchData) -> None:
        """Keep where it stands and what it holds."""
        self._folder = folder
        self._data = data

    @abstractmethod
    def add(self) -> dict[str, Any]:
        """Make the store with all documents; gives figures of its own to report."""

    def build(self) -> None:  # noqa: B027 - not every store has something to do
        """Make the search structure, where adding does not."""

    @abstractmethod
    def open(self) -> None:
        """Open what :meth:`add` and :meth:`build` made."""

    def settings(self) -> Sequence[Setting]:
        """What a search may be asked to try; nothing where there is nothing to choose."""
        return ()

    def use(self, setting: Setting) -> None:  # noqa: B027 - not every store has something to do
        """Ask this of the searches that follow."""

    @abstractmethod
    def search(self, queries: FloatArray, k: int, *, where: PlaceRange | None = None) -> list[list[str]]:
        """The ids of the best documents of every query, best first.

        Args:
            queries: float32, shape (n_queries, dim).
            k: how many.
            where: which documents may be found.
        """

    def upsert(self, document_id: str, row: int) -> None:  # noqa: B027 - not every store can
        """Give a document the vector of a row; it is committed when the call ends."""

    def delete(self, document_id: str) -> None:  # noqa: B027 - not every store can
        """Take a document out; that is committed when the call ends."""

    def compact(self) -> None:  # noqa: B027 - not every store can
        """Give the room of removed documents back."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain JSON values: what searches it."""
