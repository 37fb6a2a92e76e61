"""The measurements: blocks of documents and whole builds, by all sides in turn."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.benchmarks.building.parts import PARTS
from routeret.benchmarks.process import SideProcess
from routeret.benchmarks.turns import turns
from routeret.encoders.devices import runs_on_processor
from routeret.types import FloatArray

BLOCK = 128
"""Documents that a side embeds before the next side's turn on the processor."""

BLOCK_ELSEWHERE = 2048
"""The same on another device, which fewer would not fill."""

ROUNDS = 3
"""How often the whole build of each side is made."""

_FILE = "vectors.npy"
_BUILT = "built"


@dataclass(slots=True)
class Embedded:
    """What one side gave for all blocks, in their order.

    Attributes:
        ms: the time of every block.
        vectors: of all documents, float32, shape (n_documents, dim).
    """

    ms: list[float] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)

    def joined(self) -> FloatArray:
        """The vectors of all documents, float32, shape (n_documents, dim)."""
        return np.concatenate(self.vectors)


def block_size(device: str) -> int:
    """How many documents a side embeds before the next side's turn."""
    return BLOCK if runs_on_processor(device) else BLOCK_ELSEWHERE


def block_bounds(n_documents: int, size: int) -> list[tuple[int, int]]:
    """Start and end of every block of so many documents."""
    return [(start, min(start + size, n_documents)) for start in range(0, n_documents, size)]


def measure_blocks(
    sides: Mapping[str, SideProcess],
    folder: Path,
    bounds: Sequence[tuple[int, int]],
    *,
    seed: int,
    show_progress: bool,
) -> dict[str, Embedded]:
    """All documents block by block, by side.

    Args:
        sides: open.
        folder: the material's.
        bounds: start and end of every block.
        seed: decides whose turn is first.
        show_progress: draw a progress bar on stderr.
    """
    found = {name: Embedded() for name in sides}
    for (start, end), name in turns(sides, bounds, seed=seed, description="Embedding", show_progress=show_progress):
        answer = sides[name].ask("encode", start=start, end=end, file=_FILE)
        found[name].ms.append(answer["ms"])
        found[name].vectors.append(np.load(folder / _FILE))
    return found


def rates(ms: Sequence[float], plain_ms: Sequence[float], *, bounds: Sequence[tuple[int, int]]) -> dict[str, float]:
    """The median block's documents a second, and how many times faster than plain blocks are.

    Args:
        ms: of every block.
        plain_ms: of the same blocks by plain.
        bounds: start and end of every block.
    """
    taken = np.array(ms)
    documents = np.array([end - start for start, end in bounds])
    return {
        "documents_per_s": float(np.median(1000 * documents / taken)),
        "blocks": len(ms),
        **times_faster(taken, np.array(plain_ms)),
    }


def measure_builds(
    names: Sequence[str], folder: Path, *, worker: str, n_before: int, seed: int, show_progress: bool
) -> dict[str, list[dict[str, Any]]]:
    """The whole build, :data:`ROUNDS` times in turn, each in a process of its own, by side.

    Args:
        names: of the sides.
        folder: the material's; what is built there is removed.
        worker: the module that runs a side.
        n_before: how many documents every process embeds before its build.
        seed: decides whose turn is first.
        show_progress: draw a progress bar on stderr.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _, name in turns(names, range(ROUNDS), seed=seed, description="Building", show_progress=show_progress):
        process = SideProcess(name, folder, worker=worker)
        try:
            process.opened()
            found[name].append(process.ask("build", name=_BUILT, n_before=n_before))
        finally:
            process.close()
            shutil.rmtree(folder / _BUILT, ignore_errors=True)
    return found


def build_figures(
    builds: Sequence[Mapping[str, Any]], plain: Sequence[Mapping[str, Any]], *, n_documents: int
) -> dict[str, Any]:
    """Medians of the builds of a side, beside plain's.

    Args:
        builds: what every round gave.
        plain: the same by plain.
        n_documents: how many documents each build had.
    """
    taken = np.array([sum(one["ms"].values()) for one in builds])
    shares = {part: median(one["ms"][part] / sum(one["ms"].values()) for one in builds) for part in PARTS}
    last = builds[-1]
    return {
        "seconds": float(np.median(taken)) / 1000,
        "documents_per_s": 1000 * n_documents / float(np.median(taken)),
        "share_by_part": shares,
        "embedded": last["embedded"],
        "bytes": last["bytes"],
        "memory_before_bytes": _median_or_none(builds, "memory_before_bytes"),
        "memory_peak_bytes": _median_or_none(builds, "memory_peak_bytes"),
        "rounds": len(builds),
        **times_faster(taken, np.array([sum(one["ms"].values()) for one in plain])),
    }


def times_faster(ms: NDArray[np.float64], plain_ms: NDArray[np.float64]) -> dict[str, float]:
    """How many times faster than plain: the median of the same turns, and the least and the most of them."""
    times = plain_ms / ms
    return {
        "times_plain": float(np.median(times)),
        "times_plain_least": float(times.min()),
        "times_plain_most": float(times.max()),
    }


def _median_or_none(builds: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """The median of sizes; None where there is no Linux to tell them."""
    sizes = [one[name] for one in builds if one[name] is not None]
    return int(median(sizes)) if sizes else None
