"""The measurements: all sides in turn, a few queries each, so that whatever slows the machine hits all alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.benchmarks.process import SideProcess
from routeret.benchmarks.timing import spread
from routeret.benchmarks.turns import blocks_of, turns

BLOCK = 10
"""Queries that a side answers before the next side's turn."""

BATCH = 64

_ROUNDS = 5
_ALONE_SHARE = 10
"""One thread alone is asked one of so many requests."""

Processes = Mapping[str, SideProcess]


@dataclass(slots=True)
class Singles:
    """What one side gave for the queries of all rounds, in order.

    Attributes:
        ms: the time of every query.
        ids: what was found for it.
    """

    ms: list[float] = field(default_factory=list)
    ids: list[list[str]] = field(default_factory=list)


def measure_singles(
    sides: Processes, texts: Sequence[str], *, first: str, seed: int, show_progress: bool
) -> dict[str, Singles]:
    """One query at a time, by side.

    Args:
        sides: open.
        texts: the queries; every side answers each once.
        first: a query that comes before every block, with a number, and does not count; a side may remember queries.
        seed: decides whose turn is first in every round.
        show_progress: draw a progress bar on stderr.
    """
    found = {name: Singles() for name in sides}
    drawn = turns(sides, blocks_of(texts, BLOCK), seed=seed, description="Single queries", show_progress=show_progress)
    for turn, (part, name) in enumerate(drawn):
        answer = sides[name].ask("singles", texts=part, first=f"{first} {turn}")
        found[name].ms += answer["ms"]
        found[name].ids += answer["ids"]
    return found


def measure_batches(
    sides: Processes, batches: Sequence[Sequence[str]], *, first: str, seed: int, show_progress: bool
) -> dict[str, list[float]]:
    """The milliseconds of every batch of queries, by side."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    drawn = turns(sides, batches, seed=seed, description="Batches", show_progress=show_progress)
    for turn, (part, name) in enumerate(drawn):
        found[name].append(sides[name].ask("batch", texts=part, first=f"batch {turn} {first}")["ms"])
    return found


def batch_figures(ms: Sequence[float], plain_ms: Sequence[float], *, sizes: Sequence[int]) -> dict[str, float]:
    """Queries a second by the median batch, beside plain, and how many batches.

    Args:
        ms: of every batch.
        plain_ms: of the same batches by plain.
        sizes: how many queries each has.
    """
    rate, plain = (1000 / median(np.array(one) / np.array(sizes)) for one in (ms, plain_ms))
    return {"queries_per_s": float(rate), "times_plain": float(rate / plain), "n": len(ms)}


def measure_threads(side: SideProcess, texts: Sequence[str], *, threads: int) -> dict[str, Any]:
    """Many threads beside one, in turns: requests a second of both, the spread with many, and all errors.

    Args:
        side: open.
        texts: the requests of the many.
        threads: how many they are.
    """
    alone: list[float] = []
    together: list[float] = []
    ms: list[float] = []
    errors: list[str] = []
    size = max(1, -(-len(texts) // _ROUNDS))
    for part in blocks_of(texts, size):
        few = part[: max(1, len(part) // _ALONE_SHARE)]
        for n_threads, requests, rates in ((1, few, alone), (threads, part, together)):
            answer = side.ask("together", texts=requests, threads=n_threads)
            rates.append(len(requests) / answer["s"])
            errors += answer["errors"]
            ms += answer["ms"] if n_threads > 1 else []
    return {
        "threads": threads,
        "requests": len(texts),
        "distinct_requests": len(set(texts)),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "alone_per_s": median(alone),
        "together_per_s": median(together),
        **spread(ms),
    }


def single_figures(sides: Mapping[str, Singles], *, plain: str, passes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Median and 99th percentile of every side, beside plain, and of the queries with and without an expert.

    Args:
        sides: what each gave.
        plain: the side that others are compared with.
        passes: for the sides that route, how many experts every query met.
    """
    figures: dict[str, Any] = {}
    reference = np.array(sides[plain].ms)
    for name, one in sides.items():
        ms = np.array(one.ms)
        figures[name] = {**_beside(ms, reference), "found": _shared(one.ids, sides[plain].ids)}
        if name in passes:
            met = np.array(passes[name])
            figures[name]["experts_mean"] = float(met.mean())
            for group, is_in in (("with_experts", met > 0), ("without_experts", met == 0)):
                if is_in.any():
                    figures[name][group] = _beside(ms[is_in], reference[is_in])
    return figures


def _beside(ms: NDArray[np.float64], reference: NDArray[np.float64]) -> dict[str, float]:
    """The spread of some times, and the medians' quotient: 0.5 is half the time."""
    return {**spread(ms.tolist()), "of_plain": float(np.median(ms) / np.median(reference))}


def _shared(found: Sequence[Sequence[str]], plain: Sequence[Sequence[str]]) -> float:
    """The mean share of what plain finds that was found too."""
    shares = [len(set(one) & set(other)) / len(other) for one, other in zip(found, plain, strict=True) if other]
    return float(np.mean(shares)) if shares else 1.0
