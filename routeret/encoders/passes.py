"""Which texts go through a model at once, and several passes side by side."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from routeret.types import IntArray


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
    less time than one after the other, each on all cores. PyTorch computes with one thread elsewhere, too, meanwhile.

    Args:
        compute: one pass; several run at once.
        passes: which texts each holds, the shortest first.
        threads: at most so many at once.
    """
    # The longest first, so that none is left for the end.
    waiting = list(passes)[::-1]
    if min(threads, len(waiting)) < 2:
        for rows in waiting:
            compute(rows)
        return
    import torch

    before = torch.get_num_threads()

    def on_one_core(rows: IntArray) -> None:
        torch.set_num_threads(1)
        compute(rows)

    pool = ThreadPoolExecutor(threads, thread_name_prefix="routeret-pass")
    try:
        for _ in pool.map(on_one_core, waiting):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
