"""Which texts go through a model at once, and several passes side by side."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from routeret.types import IntArray

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_TOKENS_PER_PASS = {"cpu": 1024}
_TOKENS_PER_PASS_ELSEWHERE = 32_768
_taking_cores = threading.Lock()
"""Held while the number of threads that holds for all of PyTorch is 1; a thread that first asked then would keep it."""


def tokens_per_pass(device: str) -> int:
    """Rows times the longest of them, at most, that PyTorch computes best at once on a kind of device."""
    return _TOKENS_PER_PASS.get(device, _TOKENS_PER_PASS_ELSEWHERE)


def passes_at_once(device: str) -> int:
    """How many passes PyTorch computes best side by side on a kind of device."""
    if device != "cpu":
        return 1
    import torch

    with _taking_cores:
        return torch.get_num_threads()


def passes_of(lengths: IntArray, *, most_tokens: int, most_rows: int | None = None) -> Iterator[IntArray]:
    """The texts of every pass; those of like length share one, so that little is computed on padding.

    Args:
        lengths: of every text, in tokens.
        most_tokens: rows times the longest of them, unless one text alone is longer.
        most_rows: in one pass; None for any number.

    Yields:
        The numbers of the texts of a pass, the shortest text first.
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and end - start != most_rows and lengths[order[end]] * (end + 1 - start) <= most_tokens:
            end += 1
        yield order[start:end]
        start = end


def side_by_side(compute: Callable[[IntArray], None], passes: Iterator[IntArray], *, threads: int) -> None:
    """Compute passes by several threads of PyTorch, each with one core; with one thread, one after the other.

    A pass is too small to keep several cores busy: as many passes as there are cores, each on a core of its own, take
    less time than one after the other, each on all cores. Elsewhere PyTorch computes with as many threads as before.

    Args:
        compute: one pass; several run at once.
        passes: which texts each holds, the shortest first.
        threads: at most so many at once.
    """
    # So that none of the longest is left for the end.
    waiting = list(passes)[::-1]
    n_workers = min(threads, len(waiting))
    if n_workers < 2:
        for rows in waiting:
            compute(rows)
        return
    with _threads_of_one_core(n_workers) as pool:
        for _ in pool.map(compute, waiting):
            pass


@contextmanager
def _threads_of_one_core(n_workers: int) -> Iterator["ThreadPoolExecutor"]:
    """Threads in each of which PyTorch computes with one core."""
    from concurrent.futures import ThreadPoolExecutor

    import torch

    with _taking_cores:
        before = torch.get_num_threads()
    all_there = threading.Barrier(n_workers)

    def take_one_core(_: int) -> None:
        # A thread of PyTorch takes over the number that holds for all when it first asks, and keeps its own from then.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_there.wait()

    pool = ThreadPoolExecutor(n_workers, thread_name_prefix="routeret-pass")
    try:
        with _taking_cores:
            for _ in pool.map(take_one_core, range(n_workers)):
                pass
            # What holds for all is as before again, so that threads that are born meanwhile take it over.
            torch.set_num_threads(before)
        yield pool
    finally:
        all_there.abort()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
