"""What is measured of a store; every function runs in a process of its own."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from routeret.benchmarks.data import BenchData, PlaceRange
from routeret.benchmarks.memory import resident_bytes
from routeret.benchmarks.stores.registry import STORES
from routeret.benchmarks.stores.store import BenchedStore, Setting
from routeret.benchmarks.timing import milliseconds, seconds, spread
from routeret.benchmarks.truth import recall
from routeret.types import FloatArray, IntArray

BATCH = 32
TARGET_RECALL = 0.99

_QUERIES_S, _TUNING_S, _FILTER_S = 20.0, 3.0, 5.0
"""Seconds after which one figure has been measured long enough."""

_AT_LEAST = 20
_FIRST_FILTERS = 5
_WARMING = 10

Result = dict[str, Any]


def add(store_name: str, folder: Path, data: BenchData, setting: Setting) -> Result:  # noqa: ARG001 - as all tasks
    """Make the store with all documents: seconds, and memory before and at its peak."""
    store = STORES[store_name](folder, data)
    before = resident_bytes().get("now")
    start = time.perf_counter()
    own = store.add()
    taken = time.perf_counter() - start
    return {"add_s": taken, "memory_before_bytes": before, "memory_peak_bytes": resident_bytes().get("peak"), **own}


def build(store_name: str, folder: Path, data: BenchData, setting: Setting) -> Result:  # noqa: ARG001 - as all tasks
    """Make the search structure: seconds."""
    return {"build_s": seconds(STORES[store_name](folder, data).build)}


def open_(store_name: str, folder: Path, data: BenchData, setting: Setting) -> Result:  # noqa: ARG001 - as all tasks
    """Open the store in a fresh process and search once: milliseconds; libraries are imported before."""
    query = data.array("queries")[:1]
    store = STORES[store_name](folder, data)
    opening = 1000 * seconds(store.open)
    searching = 1000 * seconds(lambda: store.search(query, data.facts.k))
    return {"open_ms": opening, "first_search_ms": opening + searching}


def tune(store_name: str, folder: Path, data: BenchData, setting: Setting) -> Result:  # noqa: ARG001 - as all tasks
    """The fastest setting that reaches the recall on the tuning queries, or the one with the best recall."""
    store = STORES[store_name](folder, data)
    store.open()
    row_by_id = _row_by_id(store, data)
    queries, bounds = data.array("tuning_queries"), data.array("tuning_bounds")
    tried: list[Result] = []
    for one in store.settings():
        store.use(one)
        _warm(store, data)
        times, found = _singles(store, queries, data.facts.k, limit_s=_TUNING_S)
        share = _recall(found, queries, bounds, row_by_id, data)
        tried.append({"setting": dict(one), "recall": round(share, 4), "p50_ms": round(float(np.median(times)), 4)})
    reached = [one for one in tried if one["recall"] >= TARGET_RECALL]
    best = min(reached, key=lambda one: one["p50_ms"]) if reached else max(tried, key=lambda one: one["recall"])
    return {"setting": best["setting"], "tried": tried}


def search(store_name: str, folder: Path, data: BenchData, setting: Setting) -> Result:
    """Single queries, batches, filters, recall of each, and memory while searching."""
    store = _opened(store_name, folder, data, setting)
    k, queries, bounds = data.facts.k, data.array("queries"), data.array("bounds")
    _warm(store, data)
    single_times, singles = _singles(store, queries, k, limit_s=_QUERIES_S)
    batches = [queries[start : start + BATCH] for start in range(0, len(queries) - BATCH + 1, BATCH)] or [queries]
    store.search(batches[0], k)
    batch_times, batched = milliseconds(lambda one: store.search(one, k), batches, at_least=5, limit_s=_QUERIES_S)
    memory = resident_bytes()
    per_query = [taken / len(one) for taken, one in zip(batch_times, batches, strict=False)]
    filters = [_filtered(store, data, number) for number in range(len(data.array("filters")))]
    row_by_id = _row_by_id(store, data)
    flattened = [ids for one in batched for ids in one]
    return {
        "structure": store.describe(),
        "single": {**spread(single_times), "recall": _recall(singles, queries, bounds, row_by_id, data)},
        "batch": {**spread(per_query), "recall": _recall(flattened, queries, bounds, row_by_id, data)},
        "filters": [_judged(one, number, row_by_id, data) for number, one in enumerate(filters)],
        "searching_memory_bytes": memory.get("now"),
        "searching_own_memory_bytes": memory.get("own"),
    }


def change(store_name: str, folder: Path, data: BenchData, setting: Setting) -> Result:
    """Single changes, the search after each, and giving the room back."""
    store = _opened(store_name, folder, data, setting)
    if not store.can_change:
        return {}
    _warm(store, data)
    n_documents, n_changes = len(data), data.facts.n_changes
    ids = data.ids()
    drawn = np.random.default_rng(n_documents).permutation(n_documents)[: 2 * n_changes].tolist()
    changed, removed = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
    pairs = [(ids[row], n_documents + number) for number, row in enumerate(changed)]
    upserts = _changes(store, data, pairs, lambda pair: store.upsert(*pair))
    deletes = _changes(store, data, [(ids[row], row) for row in removed], lambda pair: store.delete(pair[0]))
    return {
        "upsert": {**upserts[0], "found_at_once": upserts[2]},
        "upsert_then_search": upserts[1],
        "delete": {**deletes[0], "gone_at_once": len(removed) - deletes[2]},
        "delete_then_search": deletes[1],
        "compact_s": seconds(store.compact) if store.can_compact else None,
    }


TASKS: dict[str, Callable[[str, Path, BenchData, Setting], Result]] = {
    "add": add,
    "build": build,
    "open": open_,
    "tune": tune,
    "search": search,
    "change": change,
}


def _opened(store_name: str, folder: Path, data: BenchData, setting: Setting) -> BenchedStore:
    store = STORES[store_name](folder, data)
    store.open()
    if setting:
        store.use(setting)
    return store


def _warm(store: BenchedStore, data: BenchData) -> None:
    for query in data.array("tuning_queries")[:_WARMING]:
        store.search(query[None], data.facts.k)


def _singles(
    store: BenchedStore, queries: FloatArray, k: int, *, limit_s: float, where: PlaceRange | None = None
) -> tuple[list[float], list[list[str]]]:
    return milliseconds(
        lambda query: store.search(query[None], k, where=where)[0], queries, at_least=_AT_LEAST, limit_s=limit_s
    )


def _filtered(store: BenchedStore, data: BenchData, number: int) -> tuple[Result, list[list[str]]]:
    """One filter: for the first time, with ranges that were not asked for before, and repeatedly."""
    start, end = data.array("filters")[number].tolist()
    queries, k = data.array("queries"), data.facts.k
    others = [PlaceRange(other, other + end - start) for other in _other_starts(start, end)]
    first, _ = milliseconds(
        lambda where: store.search(queries[:1], k, where=where), others, at_least=len(others), limit_s=_FILTER_S
    )
    n_filtered = data.array("filter_bounds").shape[1]
    store.search(queries[:1], k, where=PlaceRange(start, end))
    repeated, found = _singles(store, queries[:n_filtered], k, limit_s=_FILTER_S, where=PlaceRange(start, end))
    return {"first": spread(first), "repeated": spread(repeated)}, found


def _other_starts(start: int, end: int) -> Iterable[int]:
    """Where ranges of the same width begin, to both sides of one."""
    step = max(1, (end - start) // 10)
    below = [start - step * number for number in range(1, _FIRST_FILTERS + 1) if start >= step * number]
    above = [start + step * number for number in range(1, _FIRST_FILTERS + 1)]
    return (below + above)[:_FIRST_FILTERS]


def _judged(
    one: tuple[Result, list[list[str]]], number: int, row_by_id: dict[str, int] | None, data: BenchData
) -> Result:
    figures, found = one
    where = PlaceRange(*data.array("filters")[number].tolist())
    matching = where.matches(data.array("places"))
    n_matching = int(matching.sum())
    rows = _rows(found, row_by_id)
    bounds = data.array("filter_bounds")[number][: len(found)]
    share = recall(
        [one[matching[one]] for one in rows],
        data.array("queries")[: len(found)],
        vectors=data.vectors,
        bounds=bounds,
        k=min(data.facts.k, n_matching),
    )
    return {
        "share": n_matching / len(data),
        "documents": n_matching,
        **figures,
        "recall": share,
        "outside": sum(int((~matching[one]).sum()) for one in rows),
    }


def _changes(
    store: BenchedStore, data: BenchData, pairs: Sequence[tuple[str, int]], make: Callable[[tuple[str, int]], None]
) -> tuple[Result, Result, int]:
    """Times of the changes and of the searches right after them, and how often the document came first then."""
    times, searches, n_found = [], [], 0
    for pair in pairs:
        times.append(1000 * seconds(partial(make, pair)))
        query = data.rows(pair[1], pair[1] + 1)
        start = time.perf_counter()
        found = store.search(query, data.facts.k)[0]
        searches.append(1000 * (time.perf_counter() - start))
        n_found += pair[0] in found
    return spread(times), spread(searches), n_found


def _row_by_id(store: BenchedStore, data: BenchData) -> dict[str, int] | None:
    """None where a store answers with rows."""
    return None if store.ids_are_rows else {document_id: row for row, document_id in enumerate(data.ids())}


def _rows(found: Sequence[Sequence[str]], row_by_id: dict[str, int] | None) -> list[IntArray]:
    return [
        np.array([int(one) if row_by_id is None else row_by_id[one] for one in ids], dtype=np.int64) for ids in found
    ]


def _recall(
    found: Sequence[Sequence[str]],
    queries: FloatArray,
    bounds: FloatArray,
    row_by_id: dict[str, int] | None,
    data: BenchData,
) -> float:
    n = len(found)
    k = min(data.facts.k, len(data))
    return recall(_rows(found, row_by_id), queries[:n], vectors=data.vectors, bounds=bounds[:n], k=k)
