"""What figures of several stores and sizes say side by side."""

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Any

from routeret.benchmarks.stores.registry import OURS

Figures = Mapping[str, Any]


def build_seconds(figures: Figures) -> float:
    """How long documents take until they are searched as fast as they can be."""
    return float(figures["add_s"] + figures["build_s"])


COSTS: dict[str, Callable[[Figures], float | None]] = {
    "build_s": build_seconds,
    "open_ms": lambda figures: figures["open_ms"],
    "first_search_ms": lambda figures: figures["first_search_ms"],
    "single_p50_ms": lambda figures: figures["single"]["p50_ms"],
    "single_p99_ms": lambda figures: figures["single"]["p99_ms"],
    "batch_p50_ms": lambda figures: figures["batch"]["p50_ms"],
    "upsert_p50_ms": lambda figures: figures["upsert"]["p50_ms"] if "upsert" in figures else None,
    "delete_p50_ms": lambda figures: figures["delete"]["p50_ms"] if "delete" in figures else None,
}
"""Costs of a store, by name; None where it cannot do it."""


def costs(figures: Figures) -> dict[str, float]:
    """All costs of a store, with those of its filters (``filter_50%_p50_ms``)."""
    known = {name: cost(figures) for name, cost in COSTS.items()}
    found = {name: value for name, value in known.items() if value is not None}
    for one in figures["filters"]:
        found[f"filter_{percent(one['share'])}%_p50_ms"] = one["repeated"]["p50_ms"]
    return found


def percent(share: float) -> str:
    """A share in percent, to one digit that counts: ranges of places are not of an exact share for every size."""
    return f"{float(f'{100 * share:.1g}'):g}"


def times_faster(ours: Figures, other: Figures) -> dict[str, float]:
    """How many times faster the index is than another store, by cost; below 1 it is slower."""
    own, others = costs(ours), costs(other)
    return {name: round(others[name] / own[name], 3) for name in own if name in others}


def growth(datasets: Sequence[Figures]) -> dict[str, float]:
    """The exponents by which the index's costs grow with the documents, from the smallest to the largest size.

    1 is linear, 0 constant; empty for fewer than two sizes.

    Args:
        datasets: synthetic ones of the report that hold figures of the index.
    """
    if len(datasets) < 2:
        return {}
    first, last = datasets[0], datasets[-1]
    ratio = log(last["documents"] / first["documents"])
    small, large = costs(first["stores"][OURS]), costs(last["stores"][OURS])
    return {name: round(log(large[name] / small[name]) / ratio, 3) for name in small if name in large}
