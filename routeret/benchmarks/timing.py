"""Clocks: how long repeated calls take."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Given = TypeVar("Given")


def milliseconds(
    call: Callable[[Item], Given], items: Iterable[Item], *, at_least: int, limit_s: float
) -> tuple[list[float], list[Given]]:
    """The time of every call and what it gave.

    Args:
        call: what to time.
        items: what to call it with, one after the other.
        at_least: how many calls are made however long they take.
        limit_s: stop after that many seconds.
    """
    times: list[float] = []
    given: list[Given] = []
    begin = time.perf_counter()
    for item in items:
        start = time.perf_counter()
        given.append(call(item))
        end = time.perf_counter()
        times.append(1000 * (end - start))
        if len(times) >= at_least and end - begin > limit_s:
            break
    return times, given


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds, and of how many; empty for none."""
    if not times:
        return {}
    p50, p99 = np.percentile(times, [50, 99]).tolist()
    return {"p50_ms": round(p50, 4), "p99_ms": round(p99, 4), "n": len(times)}


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
