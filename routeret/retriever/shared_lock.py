"""A lock that many searches share and one change takes alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Many holders together, or one alone; who waits to be alone goes before new sharers."""

    def __init__(self) -> None:
        """Make a free lock."""
        self._changed = threading.Condition()
        self._n_sharing = 0
        self._n_waiting = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it together with others; do not take it again inside the block."""
        with self._changed:
            while self._alone or self._n_waiting:
                self._changed.wait()
            self._n_sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_sharing -= 1
                if not self._n_sharing:
                    self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it while nobody else does."""
        with self._changed:
            self._n_waiting += 1
            try:
                self._changed.wait_for(lambda: not self._alone and not self._n_sharing)
            finally:
                self._n_waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
