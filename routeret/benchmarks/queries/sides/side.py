"""What a side must do to be measured."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from routeret.benchmarks.machine import installed_version
from routeret.benchmarks.queries.material import Material


class Side(ABC):
    """A way from texts to the ids of the best documents. Making one loads nothing."""

    packages: tuple[str, ...] = ()
    """The distributions that it runs on; their versions are reported."""

    def __init__(self, material: Material) -> None:
        """Keep what it is measured on."""
        self._material = material

    @abstractmethod
    def open(self) -> None:
        """Load all that a query needs."""

    @abstractmethod
    def search(self, texts: Sequence[str]) -> list[list[str]]:
        """The ids of the best documents of every text, best first."""

    def passes(self, text: str) -> int:  # noqa: ARG002 - for sides that route
        """Through how many experts a query goes."""
        return 0

    def use_all(self, texts: Sequence[str]) -> None:
        """Ask everything that it can be asked, one query at a time, so that all it ever loads is in memory."""
        for text in texts:
            self.search([text])

    def describe(self) -> dict[str, Any]:
        """Plain JSON values: what runs it."""
        return {"versions": {name: installed_version(name) for name in self.packages}}


@dataclass(frozen=True, slots=True)
class Entry:
    """A side in the registry.

    Attributes:
        title: what it is called in tables.
        make: makes it.
        modules: what must be installed for it.
        is_peer: whether it may be run by another interpreter, since what it needs cannot stand beside the rest.
    """

    title: str
    make: Callable[[Material], Side]
    modules: tuple[str, ...]
    is_peer: bool = False

    def missing(self) -> str | None:
        """The first module that is not installed; None where all are. Imports the packages that hold them."""
        for name in self.modules:
            try:
                found = find_spec(name)
            except ModuleNotFoundError:
                found = None
            if found is None:
                return name
        return None
