"""The whole benchmark: every side opened in a process of its own, then asked in turn."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from routeret.artifact import write_json
from routeret.benchmarks.machine import machine_facts, thread_limits
from routeret.benchmarks.models.work import Work
from routeret.benchmarks.opening import chosen_sides, opened_sides, require_interpreter, require_modules
from routeret.benchmarks.process import SideProcess
from routeret.benchmarks.queries.material import K, Material
from routeret.benchmarks.queries.measuring import (
    BATCH,
    batch_figures,
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
from routeret.benchmarks.turns import blocks_of
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import OnnxEncoder, TorchEncoder
from routeret.encoders.devices import runs_on_processor
from routeret.errors import InputError
from routeret.packs import DEFAULT_PACK, read_pack

_PACKAGES = (
    "routeret",
    "sentence-transformers",
    "transformers",
    "torch",
    "onnxruntime",
    "openvino",
    "peft",
    "numpy",
    "faiss-cpu",
    "faiss-gpu",
)
_WORKER = "routeret.benchmarks.queries.worker"
_STARTS = 15
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
    device: str = "cpu",
    peak_tflops: float | None = None,
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
        device: where models run, for example ``"cuda"``; sides that run on the processor alone are left out elsewhere.
        peak_tflops: floating-point operations a second that the device does at most, in millions of millions; with it
            the report tells the share of them that the batches of every side reach.
        peers: a Python interpreter that runs what cannot be installed beside this library; None runs all by this one.
        seed: where all chance starts.
        output: a JSON file, written after every measurement, so that an interrupted run keeps what it has.
        show_progress: draw progress bars on stderr.

    Returns:
        Plain JSON values: machine, settings, the figures of every side, what is missing and why, threads, cold start,
        the parts of a query; on the processor also memory, and the precisions of a graph beside each other.

    Raises:
        InputError: an unknown side, a number below 1, no interpreter at ``peers``, too few queries, a pack whose
            experts are not linear, a peak that is not positive, or a device that this machine does not have.
        MissingExtraError: faiss is not installed; on the processor, onnxruntime or what exports graphs is not.
        SpaceMismatchError: the index is of another base than the pack's.
        RouteretError: a side of this library failed; the message holds the last lines that it wrote.
    """
    counts = {"n_queries": n_queries, "n_requests": n_requests, "threads": threads}
    names = _checked(corpora, sides, counts, device=device, peers=peers)
    datasets = [load_dataset(one) for one in corpora]
    chosen = read_pack(pack)
    base = base_of(chosen, device=device)
    work = Work.of(base, peak_tflops=peak_tflops)
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
            "machine": machine_facts(_PACKAGES, device=device),
            "settings": {"seed": seed, "k": K, "batch": BATCH, "rank": RANK, "pack": chosen.name}
            | {"device": device, "thread_limits": thread_limits()},
            "corpus": {
                "datasets": [dataset.name for dataset in datasets],
                "documents": len(material.ids()),
                "dim": material.facts.dim,
                "queries": n_queries,
            },
        }
        measured = partial(_measured, material, names, work=work, peers=peers, threads=threads)
        of_graphs = _of_graphs(material, datasets, base) if runs_on_processor(device) else ()
        for part in chain(measured(seed=seed, show_progress=show_progress), of_graphs):
            report |= part
            if output is not None:
                write_json(output, report)
    return report


def _checked(
    corpora: Sequence[Path], sides: Sequence[str], counts: Mapping[str, int], *, device: str, peers: Path | None
) -> list[str]:
    """The names of what is timed, plain first, once all that is given can be used."""
    if not corpora:
        raise InputError("no corpus was given; give at least one BEIR folder")
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name} is {count}, expected at least 1")
    names = chosen_sides(sides, SIDES, plain=PLAIN)
    require_interpreter(peers)
    require_modules(SIDES, (PLAIN, ROUTED), device=device)
    return names


def _measured(
    material: Material,
    names: Sequence[str],
    *,
    work: Work,
    peers: Path | None,
    threads: int,
    seed: int,
    show_progress: bool,
) -> Iterator[dict[str, Any]]:
    """The parts of the report that processes give, one after the other."""
    texts = material.texts()
    first, device = texts["first"][0], material.facts.device
    opening = partial(opened_sides, worker=_WORKER, folder=material.folder, peers=peers, device=device)
    with opening(SIDES, names, show_progress=show_progress) as opened:
        sides, told = opened.processes, opened.told
        singles = measure_singles(sides, texts["singles"], first=first, seed=seed, show_progress=show_progress)
        routing = [name for name in (ROUTED, HYBRID, LORA) if name in sides]
        passes = {name: sides[name].ask("passes", texts=texts["singles"])["passes"] for name in routing}
        figures = single_figures(singles, plain=PLAIN, passes=passes)
        blocks = blocks_of(texts["batches"], BATCH)
        batches = measure_batches(sides, blocks, first=first, seed=seed, show_progress=show_progress)
        tokens = [np.array(sides[PLAIN].ask("tokens", texts=block)["counts"], dtype=np.int64) for block in blocks]
        sizes = [len(block) for block in blocks]
        rates = {
            name: {**batch_figures(ms, batches[PLAIN], sizes=sizes), **work.rates(ms, tokens)}
            for name, ms in batches.items()
        }
        runtimes = {name: side.ask("query_runtime")["name"] for name, side in sides.items()}
        yield {
            "work": work.as_dict(np.concatenate(tokens)),
            "missing": opened.missing,
            "sides": {
                name: {**told[name], "query_runtime": runtimes[name], "single": figures[name], "batch": rates[name]}
                for name in sides
            },
        }
        yield {"parts": {name: _parts(sides[name].ask("parts", texts=texts["parts"])["parts"]) for name in routing}}
        if ROUTED in sides:
            yield {"threads": measure_threads(sides[ROUTED], texts["requests"], threads=threads)}
    yield {"start": cold_starts(material.index_folder(ROUTED), texts["parts"][:_STARTS], device=device)}


def _of_graphs(material: Material, datasets: Sequence[Dataset], base: TorchEncoder) -> Iterator[dict[str, Any]]:
    """The parts of the report that are of interest where a graph runs queries."""
    yield {"memory": _memory(material, material.texts()["parts"][:_HELD])}
    made = partial(OnnxEncoder, base.folder, query_prompt=base.query_prompt)
    encoders = {"float32": made(query_precision="float32"), "int8": made(query_precision="int8")}
    yield {"precision": precision_figures(material.index_folder(WITHOUT), datasets, encoders)}


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
