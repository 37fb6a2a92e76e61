"""Threads that are kept for passes, since starting one takes about as long as a pass of a query."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from routeret.encoders.graph.opened import Opened
from routeret.types import IntArray

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class KeptThreads:
    """Compute passes of several callers; none waits for those of another one."""

    def __init__(self, n_threads: int) -> None:
        """Start none yet.

        Args:
            n_threads: at most so many compute for one caller, who is one of them.
        """
        self._n_kept = n_threads - 1
        self._pool: Opened[ThreadPoolExecutor] = Opened(self._started, once_a_process=True)

    def each(self, compute: Callable[[IntArray], None], passes: Iterator[IntArray]) -> None:
        """Compute passes by the thread that asks and by those that are kept and free, the longest first.

        Args:
            compute: one pass; several run at once.
            passes: which texts each holds, the shortest first.
        """
        # So that none of the longest is left for the end.
        waiting = deque(list(passes)[::-1])

        def work() -> None:
            while True:
                try:
                    rows = waiting.popleft()
                except IndexError:
                    return
                compute(rows)

        asked = []
        for _ in range(min(self._n_kept, len(waiting) - 1)):
            # A pool takes nothing while its interpreter ends; the thread that asks does without then.
            with suppress(RuntimeError):
                asked.append(cast("ThreadPoolExecutor", self._pool.get()).submit(work))
        try:
            work()
        finally:
            waiting.clear()
            started = [one for one in asked if not one.cancel()]
        for one in started:
            one.result()

    def _started(self) -> "ThreadPoolExecutor":
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(self._n_kept, thread_name_prefix="routeret-pass")
