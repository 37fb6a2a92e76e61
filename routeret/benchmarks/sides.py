"""What is measured beside each other: a side, and how a registry holds it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

from routeret.benchmarks.machine import installed_version
from routeret.encoders.devices import runs_on_processor


class Side(ABC):
    """One way to do what is measured. Making one loads nothing."""

    packages: tuple[str, ...] = ()
    """The distributions that it runs on; their versions are reported."""

    @abstractmethod
    def open(self) -> None:
        """Load all that it needs."""

    def describe(self) -> dict[str, Any]:
        """Plain JSON values: what runs it."""
        return {"versions": {name: installed_version(name) for name in self.packages}}


Given = TypeVar("Given")
Made = TypeVar("Made", bound=Side)


@dataclass(frozen=True, slots=True)
class Entry(Generic[Given, Made]):
    """A side in a registry.

    Attributes:
        title: what it is called in tables.
        make: makes it of what it is measured on.
        modules: what must be installed for it.
        is_peer: whether it may be run by another interpreter, since what it needs cannot stand beside the rest.
        is_optional: whether it is left out where it cannot be opened; peers always are.
        elsewhere: what must be installed for it on another device; None where it runs on the processor alone.
    """

    title: str
    make: Callable[[Given], Made]
    modules: tuple[str, ...]
    is_peer: bool = False
    is_optional: bool = False
    elsewhere: tuple[str, ...] | None = None

    def runs_on(self, device: str) -> bool:
        """Whether it can run on a device."""
        return self.elsewhere is not None or runs_on_processor(device)

    def missing(self, device: str) -> str | None:
        """The first module that is not installed; None where all are. Imports the packages that hold them.

        Args:
            device: where it is to run.
        """
        for name in self.modules if runs_on_processor(device) else self.elsewhere or ():
            try:
                found = find_spec(name)
            except ModuleNotFoundError:
                found = None
            if found is None:
                return name
        return None
