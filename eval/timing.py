"""Seconds of several calls, measured in turns."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

_WARM_UPS = 3


def medians(texts: Sequence[str], *calls: Callable[[str], Any], most: int) -> list[float]:
    """Median seconds of every call over some texts; the calls take turns, so that a busy machine slows all of them.

    Args:
        texts: the first comes three times more, before anything is measured.
        calls: each is given one text at a time.
        most: how many texts are measured at most.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for text in [*[texts[0]] * _WARM_UPS, *texts[:most]]:
        for call, found in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call(text)
            found.append(time.perf_counter() - start)
    return [statistics.median(found[_WARM_UPS:]) for found in seconds]
