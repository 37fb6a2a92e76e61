"""Something that is opened when it is first asked for."""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Opened(Generic[T]):
    """What was opened, once; several threads may ask, and one opens."""

    def __init__(self, open_it: Callable[[], T | None], *, once_a_process: bool = False) -> None:
        """Open nothing yet.

        Args:
            open_it: gives None where there is nothing to open.
            once_a_process: a process that is forked opens its own, since what waits for threads of the parent waits
                for ever.
        """
        self._open_it = open_it
        self._once_a_process = once_a_process
        self._process = os.getpid()
        self._of_parents: list[T | None] = []
        self._found: T | None = None
        self._has_looked = False
        self._opening = threading.Lock()

    def get(self) -> T | None:
        """What there is; None where there was nothing to open."""
        with self._opening:
            if self._once_a_process and self._process != os.getpid():
                # Closing it would wait for threads of the parent, too.
                self._of_parents.append(self._found)
                self._process, self._found, self._has_looked = os.getpid(), None, False
            if not self._has_looked:
                self._found = self._open_it()
                self._has_looked = True
            return self._found

    def look_again(self) -> None:
        """Open at the next call, unless it is open."""
        with self._opening:
            self._has_looked = self._found is not None
