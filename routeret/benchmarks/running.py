"""The whole benchmark: every data set, every store, one process after the other."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from routeret.artifact import write_json
from routeret.benchmarks.clusters import Clusters
from routeret.benchmarks.comparing import growth, times_faster
from routeret.benchmarks.data import BenchData
from routeret.benchmarks.given import open_vectors
from routeret.benchmarks.machine import machine_facts
from routeret.benchmarks.making import make_real, make_synthetic
from routeret.benchmarks.measuring import BATCH, TARGET_RECALL
from routeret.benchmarks.memory import folder_bytes
from routeret.benchmarks.page import FORMAT, KIND
from routeret.benchmarks.stores.registry import OURS, STORES
from routeret.benchmarks.stores.store import Setting
from routeret.encoders import DEFAULT_BASE, load_encoder
from routeret.errors import InputError, RouteretError
from routeret.optional import require
from routeret.progress import track
from routeret.protocols import Encoder

_DATA = "data"
_STORE = "store"
_OPENINGS = 3
_ERROR_LINES = 15


def bench_index(
    sizes: Sequence[int] = (),
    corpora: Sequence[Path] = (),
    *,
    stores: Sequence[str] = tuple(STORES)[1:],
    vectors: Path | None = None,
    encoder: str | Path | Encoder = DEFAULT_BASE,
    seed: int = 0,
    device: str | None = None,
    work: Path | None = None,
    output: Path | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Measure the index, and other stores on the same vectors and queries.

    Args:
        sizes: numbers of synthetic documents, each measured apart.
        corpora: BEIR folders whose documents are measured together, with ids ``<folder>/<id>``.
        stores: what is measured beside the index, of :data:`STORES`.
        vectors: an export or an index with the corpora's vectors; by default the encoder makes them.
        encoder: writes the corpora's queries, and their documents.
        seed: where all chance starts.
        device: where an encoder that is named runs.
        work: a folder for data and stores, made if need be; what was put there is removed. By default a temporary one.
        output: a JSON file, written after every store, so that an interrupted run keeps what it has.
        show_progress: draw a progress bar on stderr.

    Returns:
        Plain JSON values: machine, settings, and for every data set the figures of every store, how many times faster
        the index is than each, and how its costs grow with the synthetic sizes.

    Raises:
        InputError: nothing to measure, a size below 2, or an unknown store.
        MissingExtraError: a store is not installed.
        RouteretError: a measurement failed; the message holds the last lines that it wrote.
    """
    names = _checked(sizes, corpora, stores)
    makers: list[Callable[[Path], BenchData]] = [
        partial(make_synthetic, n_documents=size, clusters=Clusters(seed=seed)) for size in sorted(set(sizes))
    ]
    if corpora:
        makers.append(
            _real(corpora, vectors, load_encoder(encoder, device=device), seed=seed, show_progress=show_progress)
        )
    datasets: list[dict[str, Any]] = []
    report = {
        "kind": KIND,
        "format": FORMAT,
        "machine": machine_facts(),
        "settings": {"seed": seed, "batch": BATCH, "target_recall": TARGET_RECALL, "stores": names},
        "datasets": datasets,
    }
    with _work_folder(work) as folder:
        steps = [(make, name) for make in makers for name in names]
        for make, name in track(steps, description="Benchmark", unit="store", show=show_progress):
            if name == OURS:
                shutil.rmtree(folder / _DATA, ignore_errors=True)
                datasets.append(_facts(make(folder / _DATA)))
            figures = datasets[-1]["stores"]
            if datasets[-1]["documents"] > (STORES[name].most_documents or datasets[-1]["documents"]):
                continue
            figures[name] = _measured(name, folder)
            if name != OURS:
                datasets[-1]["times_faster"][name] = times_faster(figures[OURS], figures[name])
            report["growth"] = growth([one for one in datasets if one["source"]["kind"] == "synthetic"])
            if output:
                write_json(output, report)
    return report


def _checked(sizes: Sequence[int], corpora: Sequence[Path], stores: Sequence[str]) -> list[str]:
    """The names of what is measured, the index first, once all that is given can be used."""
    if not sizes and not corpora:
        raise InputError("neither sizes nor corpora were given; give at least one, for example sizes=[10000]")
    if min(sizes, default=2) < 2:
        raise InputError(f"size {min(sizes)} was given, expected at least 2 documents")
    unknown = [name for name in stores if name not in STORES]
    if unknown:
        raise InputError(f"store {unknown[0]!r} is unknown; give some of: {', '.join(STORES)}")
    for name in stores:
        for module, extra in STORES[name].requires:
            require(module, extra=extra)
    return [OURS, *(name for name in STORES if name != OURS and name in stores)]


def _real(
    corpora: Sequence[Path], vectors: Path | None, encoder: Encoder, *, seed: int, show_progress: bool
) -> Callable[[Path], BenchData]:
    return partial(
        make_real,
        corpora=corpora,
        encoder=encoder,
        vectors=open_vectors(vectors) if vectors else None,
        seed=seed,
        show_progress=show_progress,
    )


@contextmanager
def _work_folder(work: Path | None) -> Iterator[Path]:
    """A folder for data and stores; what was put there goes when the block ends."""
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="routeret-bench-", dir=work) as folder:
        yield Path(folder)


def _facts(data: BenchData) -> dict[str, Any]:
    facts = data.facts
    return {
        "name": facts.name,
        "documents": facts.n_documents,
        "dim": data.space.dim,
        "k": facts.k,
        "queries": len(data.array("queries")),
        "source": dict(facts.source),
        "stores": {},
        "times_faster": {},
    }


def _measured(name: str, folder: Path) -> dict[str, Any]:
    """All figures of a store; it is removed afterwards."""
    run = partial(_run, store=name, folder=folder)
    figures = {**run("add", {}), **run("build", {})}
    figures["bytes"] = folder_bytes(folder / _STORE)
    openings = [run("open", {}) for _ in range(_OPENINGS)]
    figures |= {key: median(one[key] for one in openings) for key in openings[0]}
    setting: Setting = {}
    if STORES[name].is_tuned:
        tuned = run("tune", {})
        setting = tuned["setting"]
        figures["tried"] = tuned["tried"]
    figures |= run("search", setting)
    figures |= run("change", setting)
    shutil.rmtree(folder / _STORE)
    return figures


def _run(task: str, setting: Setting, *, store: str, folder: Path) -> dict[str, Any]:
    """What a task gives in a process of its own."""
    result = folder / "result.json"
    arguments = [task, store, folder / _STORE, folder / _DATA, json.dumps(setting), result]
    command = [sys.executable, "-m", "routeret.benchmarks.worker", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-_ERROR_LINES:])
        raise RouteretError(f"measuring {task!r} of store {store!r} ended with code {done.returncode}:\n{last}")
    values: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return values
