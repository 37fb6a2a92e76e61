"""The whole benchmark: every side opened in a process of its own, then asked in turn."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from routeret.artifact import write_json
from routeret.benchmarks.machine import machine_facts, thread_limits
from routeret.benchmarks.opening import chosen_sides, opened_sides, require_interpreter
from routeret.benchmarks.process import SideProcess
from routeret.benchmarks.queries.material import K, Material
from routeret.benchmarks.queries.measuring import (
    BATCH,
    measure_batches,
    measure_singles,
    measure_threads,
    single_figures,
)
from routeret.benchmarks.queries.page import FORMAT, KIND
from routeret.benchmarks.queries.pools import N_MANY, RANK
from routeret.benchmarks.queries.precision import precision_figures
from routeret.benchmarks.queries.preparing import base_of, make_material
from routeret.benchmarks.queries.sides.registry import HOLDERS, HYBRID, LORA, MANY, PLAIN, ROUTED, SIDES, WITHOUT
from routeret.benchmarks.queries.starting import cold_starts
from routeret.datasets import load_dataset
from routeret.encoders import OnnxEncoder
from routeret.errors import InputError, MissingExtraError
from routeret.packs import DEFAULT_PACK, read_pack

_PACKAGES = ("routeret", "sentence-transformers", "transformers", "torch", "onnxruntime", "peft", "numpy", "faiss-cpu")
_WORKER = "routeret.benchmarks.queries.worker"
_STARTS = 5
_HELD = 50
"""Queries that are asked before memory is looked at."""


def bench_queries(
    corpora: Sequence[Path],
    *,
    pack: str | Path = DEFAULT_PACK,
    index: Path | None = None,
    sides: Sequence[str] = tuple(SIDES)[1:],
    n_queries: int = 300,
    n_requests: int = 2000,
    threads: int = 8,
    peers: Path | None = None,
    seed: int = 0,
    output: Path | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Measure what one query costs, beside other ways to run the same model, all in one run.

    Args:
        corpora: BEIR folders whose queries are asked and whose documents are searched.
        pack: experts and router, by name or folder; all of its experts are linear.
        index: an index of the pack's base that holds the corpora's documents with ids ``<corpus>/<id>``; it is only
            read. None builds one.
        sides: what is measured beside plain sentence-transformers, of
            :data:`~routeret.benchmarks.queries.sides.registry.SIDES`.
        n_queries: how many different queries every side answers one by one.
        n_requests: how many requests several threads make.
        threads: how many threads ask at once.
        peers: a Python interpreter that runs what cannot be installed beside this library; None runs all by this one.
        seed: where all chance starts.
        output: a JSON file, written after every measurement, so that an interrupted run keeps what it has.
        show_progress: draw progress bars on stderr.

    Returns:
        Plain JSON values: machine, settings, the figures of every side, what is missing and why, threads, memory,
        cold start, the parts of a query, and the precisions beside each other.

    Raises:
        InputError: an unknown side, a number below 1, no interpreter at ``peers``, too few queries, or a pack whose
            experts are not linear.
        MissingExtraError: faiss, onnxruntime, or what exports graphs is not installed.
        SpaceMismatchError: the index is of another base than the pack's.
        RouteretError: a side of this library failed; the message holds the last lines that it wrote.
    """
    counts = {"n_queries": n_queries, "n_requests": n_requests, "threads": threads}
    names = _checked(corpora, sides, counts, peers=peers)
    datasets = [load_dataset(one) for one in corpora]
    chosen = read_pack(pack)
    base = base_of(chosen)
    with tempfile.TemporaryDirectory(prefix="routeret-bench-") as folder:
        material = make_material(
            Path(folder),
            datasets,
            pack=chosen,
            base=base,
            index=index,
            n_queries=n_queries,
            n_requests=n_requests,
            seed=seed,
            show_progress=show_progress,
        )
        report: dict[str, Any] = {
            "kind": KIND,
            "format": FORMAT,
            "machine": machine_facts(_PACKAGES),
            "settings": {"seed": seed, "k": K, "batch": BATCH, "rank": RANK, "pack": chosen.name}
            | {"thread_limits": thread_limits()},
            "corpus": {
                "datasets": [dataset.name for dataset in datasets],
                "documents": len(material.ids()),
                "dim": material.facts.dim,
                "queries": n_queries,
            },
        }
        for part in _measured(material, names, peers=peers, threads=threads, seed=seed, show_progress=show_progress):
            report |= part
            _keep(report, output)
        encoders = {
            "float32": OnnxEncoder(base.folder, query_precision="float32", query_prompt=base.query_prompt),
            "int8": OnnxEncoder(base.folder, query_precision="int8", query_prompt=base.query_prompt),
        }
        report["precision"] = precision_figures(material.index_folder(WITHOUT), datasets, encoders)
        _keep(report, output)
    return report


def _checked(
    corpora: Sequence[Path], sides: Sequence[str], counts: Mapping[str, int], *, peers: Path | None
) -> list[str]:
    """The names of what is timed, plain first, once all that is given can be used."""
    if not corpora:
        raise InputError("no corpus was given; give at least one BEIR folder")
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}, expected at least 1")
    names = chosen_sides(sides, SIDES, plain=PLAIN)
    require_interpreter(peers)
    lacking = SIDES[PLAIN].missing() or SIDES[ROUTED].missing()
    if lacking is not None:
        raise MissingExtraError(f"module {lacking!r} is not installed; run: pip install 'routeret[cpu]'")
    return names


def _measured(
    material: Material, names: Sequence[str], *, peers: Path | None, threads: int, seed: int, show_progress: bool
) -> Iterator[dict[str, Any]]:
    """The parts of the report that processes give, one after the other."""
    texts = material.texts()
    first = texts["first"][0]
    with opened_sides(
        SIDES, names, worker=_WORKER, folder=material.folder, peers=peers, show_progress=show_progress
    ) as opened:
        sides, told = opened.processes, opened.told
        singles = measure_singles(sides, texts["singles"], first=first, seed=seed, show_progress=show_progress)
        routing = [name for name in (ROUTED, HYBRID, LORA) if name in sides]
        passes = {name: sides[name].ask("passes", texts=texts["singles"])["passes"] for name in routing}
        figures = single_figures(singles, plain=PLAIN, passes=passes)
        batches = measure_batches(sides, texts["batches"], first=first, seed=seed, show_progress=show_progress)
        plain = batches[PLAIN]["queries_per_s"]
        for one in batches.values():
            one["times_plain"] = one["queries_per_s"] / plain
        yield {
            "missing": opened.missing,
            "sides": {name: {**told[name], "single": figures[name], "batch": batches[name]} for name in sides},
        }
        yield {"parts": {name: _parts(sides[name].ask("parts", texts=texts["parts"])["parts"]) for name in routing}}
        if ROUTED in sides:
            yield {"threads": measure_threads(sides[ROUTED], texts["requests"], threads=threads)}
    yield {"start": cold_starts(material.index_folder(ROUTED), texts["parts"][:_STARTS])}
    yield {"memory": _memory(material, texts["parts"][:_HELD])}


def _parts(ms_by_part: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median milliseconds of every part."""
    return {name: median(ms) for name, ms in ms_by_part.items()}


def _memory(material: Material, texts: Sequence[str]) -> dict[str, Any]:
    """Memory without experts and with many, once all of them have been asked; empty where there is no Linux."""
    found = {}
    # An index keeps what the first process computes of its documents; the second one reads it, as all later ones do.
    for name in (*HOLDERS, *HOLDERS):
        process = SideProcess(name, material.folder, worker=_WORKER)
        process.opened()
        found[name] = process.ask("memory", texts=texts)
        process.close()
    without, many = found[WITHOUT], found[MANY]
    above = {key: many[key] - without[key] for key in ("now", "own") if key in many}
    return {"experts_of_each_kind": N_MANY, **found, "above": above}


def _keep(report: dict[str, Any], output: Path | None) -> None:
    if output is not None:
        write_json(output, report)
