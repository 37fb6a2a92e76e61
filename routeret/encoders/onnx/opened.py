"""Something that is opened when it is first asked for."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Opened(Generic[T]):
    """What was opened, once; several threads may ask, and one opens."""

    def __init__(self, open_it: Callable[[], T | None]) -> None:
        """Open nothing yet.

        Args:
            open_it: gives None where there is nothing to open.
        """
        self._open_it = open_it
        self._found: T | None = None
        self._has_looked = False
        self._opening = threading.Lock()

    def get(self) -> T | None:
        """What there is; None where there was nothing to open."""
        with self._opening:
            if not self._has_looked:
                self._found = self._open_it()
                self._has_looked = True
            return self._found

    def look_again(self) -> None:
        """Open at the next call, unless it is open."""
        with self._opening:
            self._has_looked = self._found is not None
