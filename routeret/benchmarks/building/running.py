"""The whole benchmark of building: every side opened in a process of its own, then asked in turn."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import write_json
from routeret.benchmarks.building.choosing import choose
from routeret.benchmarks.building.material import BuildMaterial, write_build_material
from routeret.benchmarks.building.measuring import (
    block_bounds,
    block_size,
    build_figures,
    measure_blocks,
    measure_builds,
    rates,
)
from routeret.benchmarks.building.page import FORMAT, KIND
from routeret.benchmarks.building.quality import cosine_figures, dataset_quality, judged_queries, ndcg_figures
from routeret.benchmarks.building.sides.registry import PLAIN, SIDES, TITLE_BY_BUILD
from routeret.benchmarks.machine import machine_facts, thread_limits
from routeret.benchmarks.models.facts import ModelFacts
from routeret.benchmarks.models.work import Work
from routeret.benchmarks.opening import chosen_sides, opened_sides, require_interpreter, require_modules
from routeret.benchmarks.process import SideProcess
from routeret.chance import require_seed
from routeret.datasets import Dataset, load_dataset
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.errors import InputError
from routeret.space import NO_TOKEN_LIMIT
from routeret.types import FloatArray

DEFAULT_DOCUMENTS = 512
"""As many as two slow cores embed in all ways in about five minutes."""

_PACKAGES = (
    "routeret",
    "sentence-transformers",
    "transformers",
    "torch",
    "onnxruntime",
    "openvino",
    "numpy",
    "faiss-cpu",
    "faiss-gpu",
)
_WORKER = "routeret.benchmarks.building.worker"
_QUERIES = "queries.npy"


def bench_builds(
    corpora: Sequence[Path],
    *,
    base: str | Path = DEFAULT_BASE,
    sides: Sequence[str] = tuple(SIDES)[1:],
    n_documents: int = DEFAULT_DOCUMENTS,
    device: str = "cpu",
    peak_tflops: float | None = None,
    peers: Path | None = None,
    seed: int = 0,
    output: Path | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Measure what building costs, beside other ways to embed the same texts with the same model, all in one run.

    Args:
        corpora: BEIR folders.
        base: the model, by name or folder.
        sides: what is measured beside plain sentence-transformers, of
            :data:`~routeret.benchmarks.building.sides.registry.SIDES`.
        n_documents: how many documents are embedded, at most; the same number of each corpus.
        device: where models run, for example ``"cuda"``; sides that run on the processor alone are left out elsewhere.
        peak_tflops: floating-point operations a second that the device does at most, in millions of millions; with it
            the report tells the share of them that every side reaches.
        peers: a Python interpreter that runs what cannot be installed beside this library; None runs all by this one.
        seed: where all chance starts.
        output: a JSON file, written after every measurement, so that an interrupted run keeps what it has.
        show_progress: draw progress bars on stderr.

    Returns:
        Plain JSON values: machine, settings, documents, the figures of every side, what is missing and why, the whole
        builds, and quality by data set.

    Raises:
        InputError: an unknown side, fewer than 1 document of a corpus, no interpreter at ``peers``, a peak that is not
            positive, or a device that this machine does not have.
        MissingExtraError: faiss is not installed.
        ModelNotFoundError: the base is nowhere on this machine.
        RouteretError: a side of this library failed; the message holds the last lines that it wrote.
    """
    names = _checked(corpora, sides, n_documents, device=device, peers=peers, seed=seed)
    encoder = TorchEncoder(base, device=device)
    if encoder.max_tokens == NO_TOKEN_LIMIT:
        raise InputError(f"base {str(base)!r} is no transformer, which is what the other sides run; give another one")
    work = Work.of(encoder, peak_tflops=peak_tflops)
    datasets = [load_dataset(one) for one in corpora]
    chosen = choose(datasets, n_documents, seed=seed)
    report: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "machine": machine_facts(_PACKAGES, device=device),
        "settings": {"seed": seed, "device": device, "block": block_size(device), "thread_limits": thread_limits()},
        "corpus": {"datasets": [dataset.name for dataset in datasets], "dim": encoder.dim, **chosen.as_dict()},
    }
    with tempfile.TemporaryDirectory(prefix="routeret-bench-") as folder:
        texts = [encoder.space.joined(title=one.title, text=one.text) for one in chosen.documents]
        material = write_build_material(Path(folder), ModelFacts.of(encoder), chosen.documents, texts)
        ids = [document.id for document in chosen.documents]
        measured = partial(_measured, material, ids, datasets, names, work=work)
        for part in measured(peers=peers, seed=seed, show_progress=show_progress):
            report |= part
            if output is not None:
                write_json(output, report)
    return report


def _checked(
    corpora: Sequence[Path], sides: Sequence[str], n_documents: int, *, device: str, peers: Path | None, seed: int
) -> list[str]:
    """The names of what embeds, plain first, once all that is given can be used."""
    if not corpora:
        raise InputError("no corpus was given; give at least one BEIR folder")
    if n_documents < len(corpora):
        raise InputError(
            f"{n_documents} documents of {len(corpora)} corpora were asked for; expected one of each at least"
        )
    require_seed(seed)
    names = chosen_sides(sides, SIDES, plain=PLAIN)
    require_interpreter(peers)
    require_modules(SIDES, (PLAIN,), device=device)
    return names


def _measured(
    material: BuildMaterial,
    ids: Sequence[str],
    datasets: Sequence[Dataset],
    names: Sequence[str],
    *,
    work: Work,
    peers: Path | None,
    seed: int,
    show_progress: bool,
) -> Iterator[dict[str, Any]]:
    """The parts of the report that processes give, one after the other."""
    folder, device = material.folder, material.facts.device
    block = block_size(device)
    bounds = block_bounds(len(ids), block)
    opening = partial(opened_sides, worker=_WORKER, folder=folder, peers=peers, device=device)
    with opening(SIDES, names, show_progress=show_progress) as opened:
        sides = opened.processes
        counted = sides[PLAIN].ask("tokens")
        tokens = np.array(counted["counts"], dtype=np.int64)
        embedded = measure_blocks(sides, folder, bounds, seed=seed, show_progress=show_progress)
        vectors = {name: one.joined() for name, one in embedded.items()}
        quality = _quality(sides[PLAIN], folder, datasets, ids, vectors)
    figures = {
        name: {
            **opened.told[name],
            **rates(one.ms, embedded[PLAIN].ms, bounds=bounds),
            **work.rates(one.ms, [tokens[start:end] for start, end in bounds]),
            **cosine_figures(vectors[name], vectors[PLAIN]),
            **ndcg_figures(quality, name, PLAIN),
        }
        for name, one in embedded.items()
    }
    about = {"median": float(np.median(tokens)), "most": int(tokens.max()), "total": int(tokens.sum())}
    yield {
        "tokens": {**about, "cut_share": float(np.mean(counted["is_cut"]))},
        "work": work.as_dict(tokens),
        "missing": opened.missing,
        "sides": figures,
        "quality": quality,
    }
    built = [name for name in TITLE_BY_BUILD if name in figures]
    building = partial(measure_builds, worker=_WORKER, n_before=block, seed=seed)
    builds = building(built, folder, show_progress=show_progress)
    yield {"builds": {name: build_figures(one, builds[PLAIN], n_documents=len(ids)) for name, one in builds.items()}}


def _quality(
    plain: SideProcess,
    folder: Path,
    datasets: Sequence[Dataset],
    ids: Sequence[str],
    vectors: Mapping[str, FloatArray],
) -> list[dict[str, Any]]:
    """nDCG@10 of every data set that has dev queries for the documents; plain writes the queries."""
    found = []
    for dataset in datasets:
        texts, qrels = judged_queries(dataset, ids)
        if texts:
            plain.ask("queries", texts=list(texts.values()), file=_QUERIES)
            found.append(dataset_quality(dataset.name, qrels, np.load(folder / _QUERIES), ids, vectors))
    return found
