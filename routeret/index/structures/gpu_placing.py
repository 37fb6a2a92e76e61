"""Which structure suits vectors on a GPU, filled from the stored vectors, and measured where it may overlook rows."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import ceil, inf, log2
from typing import Any, Protocol

import numpy as np

from routeret.errors import InputError
from routeret.index.structures.gpu import SCRATCH_BYTES
from routeret.index.structures.gpu_structure import CAGRA, WIDEST, WIDEST_WALK, GpuStructure
from routeret.index.structures.rows import RowVectors, longest
from routeret.index.structures.tuning import Probes, Probing, Settings, cheapest, document_probes
from routeret.types import FloatArray

GPU_FACTORIES = (CAGRA,)
"""What a user may name that is built on a GPU only."""

_FLAT = "Flat"
_FLAT_SHARE = 0.4  # of the free memory: growing copies all vectors into a new place, so both are there for a moment
_HALF_BYTES = 2
_HALF_MOST = 65_504.0
_HALF_ROUNDING = 2.0**-11  # of a number, by float16
_HALF_STEP = 2.0**-25  # likewise where numbers are so small that float16 has fewer digits
_SINGLE_ROUNDING = 2.0**-24
_CODES = (96, 64, 56, 48, 40, 32, 28, 24, 20, 16, 12, 8, 4, 3, 2, 1)  # FAISS has GPU code for no others
_LIST_SAMPLE = 50
_LEAST_SAMPLE = 20_000
_ROWS_AT_ONCE = 65_536
_UNMEASURED = Settings(1, 20)

_logger = logging.getLogger(__name__)


class Device(Protocol):
    """Makes FAISS indexes; see :class:`routeret.index.structures.gpu.CudaDevice`."""

    name: str

    def free_bytes(self) -> int | None:
        """How much memory is free; None where nobody knows."""

    def flat(self, dim: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """An empty index that keeps vectors as float16."""

    def lists(self, dim: int, *, n_lists: int, n_codes: int, seed: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """An untrained index of inverted lists with product codes."""

    def list_parameters(self, n_read: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """What makes a search read so many lists."""

    def graph(self, dim: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """An empty graph."""

    def graph_parameters(self, n_kept: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """What makes a search keep so many candidates."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What came of putting vectors on a GPU.

    Attributes:
        structure: None where the CPU has to search.
        settings: how the structure is searched.
        recall: what each probe set reaches; empty where all rows are looked at.
        reason: why there is no structure, or why not the one tried first; empty if all is as it should be.
    """

    structure: GpuStructure | None
    settings: Settings = _UNMEASURED
    recall: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def info(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "factory": "" if self.structure is None else self.structure.factory,
            "recall": dict(self.recall),
            "reason": self.reason,
        }


def place(
    vectors: RowVectors,
    device: Device,
    *,
    factory: str | None = None,
    recall: float,
    probes: Callable[[], Probes | None],
    seed: int = 0,
) -> Placement:
    """Put all vectors on a GPU.

    While they fit into four tenths of its free memory as float16, all are looked at in every search; more are kept as
    product codes in inverted lists. Codes and graphs are measured on probes, and searched as hard as the recall takes.

    Args:
        vectors: the stored vectors.
        device: where to put them.
        factory: ``"CAGRA"`` for a graph; None chooses by size.
        recall: what every probe set's ten best rows must reach, where not all rows are looked at.
        probes: gives queries by the name of who writes them, asked for only if they are needed; None for ones made of
            documents.
        seed: of training and sampling.

    Raises:
        InputError: FAISS cannot make a graph here, there is no such factory, or recall or probes are out of range.
    """
    if factory is not None and factory not in GPU_FACTORIES:
        raise InputError(f"factory is {factory!r}, expected one of {', '.join(GPU_FACTORIES)} for a GPU")
    if not 0 < recall <= 1:
        raise InputError(f"recall is {recall}, expected above 0 and at most 1")
    if not vectors.n_rows:
        return Placement(None, reason="there are no rows")
    reason = ""
    for make in _makers(vectors, device, factory=factory, seed=seed):
        try:
            structure = make()
            placement = _measured(structure, vectors, recall=recall, probes=probes, seed=seed, reason=reason)
        except (RuntimeError, MemoryError) as error:
            reason = f"{device.name} cannot hold {vectors.n_rows} vectors of {vectors.dim} numbers: {error}"
            _logger.warning("%s", reason)
            continue
        if placement.structure is not None:
            return placement
        reason = placement.reason
    return Placement(None, reason=reason)


def _makers(
    vectors: RowVectors, device: Device, *, factory: str | None, seed: int
) -> Iterator[Callable[[], GpuStructure]]:
    """Ways to make a structure, the best first."""
    if factory == CAGRA:
        yield lambda: _graph(vectors, device)
        return
    if fits(vectors.n_rows, vectors.dim, device.free_bytes()):
        yield lambda: _flat(vectors, device)
    yield lambda: _lists(vectors, device, seed=seed)


def fits(n_rows: int, dim: int, free_bytes: int | None) -> bool:
    """Whether vectors can be kept whole, as float16; an unknown size is tried."""
    if free_bytes is None:
        return True
    return n_rows * dim * _HALF_BYTES <= _FLAT_SHARE * (free_bytes - SCRATCH_BYTES)


def half_error(dim: int, longest_row: float) -> float:
    """How far an inner product by float16 may be from the exact one, for a query of length 1.

    Rounding changes query and row by at most a 2048th of their lengths, or, where their numbers are tiny, by a step of
    float16 in every number; products are summed in float32.

    Args:
        dim: length of a vector.
        longest_row: the largest length of a row.
    """
    if longest_row > _HALF_MOST:
        return inf
    relative = 2.001 * _HALF_ROUNDING + dim * _SINGLE_ROUNDING
    return float(relative * longest_row + dim**0.5 * _HALF_STEP * (1 + longest_row))


def _flat(vectors: RowVectors, device: Device) -> GpuStructure:
    index = device.flat(vectors.dim)
    longest_row = 0.0
    for block in _large_blocks(vectors.blocks(0, vectors.n_rows)):
        index.add(block)
        longest_row = max(longest_row, longest(block))
    error = half_error(vectors.dim, longest_row)
    return GpuStructure(index, _FLAT, n_rows=vectors.n_rows, efforts=[1], error=error)


def _lists(vectors: RowVectors, device: Device, *, seed: int) -> GpuStructure:
    n_rows, dim = vectors.n_rows, vectors.dim
    n_lists = 2 ** round(log2(n_rows) / 2)
    n_codes = next(n_codes for n_codes in _CODES if dim % n_codes == 0)
    index = device.lists(dim, n_lists=n_lists, n_codes=n_codes, seed=seed)
    n_sampled = min(n_rows, max(_LEAST_SAMPLE, _LIST_SAMPLE * n_lists))
    sampled = np.random.default_rng(seed).choice(n_rows, size=n_sampled, replace=False)
    index.train(vectors.take(np.sort(sampled)))
    for block in _large_blocks(vectors.blocks(0, n_rows)):
        index.add(block)
    most = min(n_lists, WIDEST)
    efforts = sorted({min(most, ceil(2 ** (step / 2))) for step in range(2 * most.bit_length() + 1)})
    factory = f"IVF{n_lists},PQ{n_codes}"
    return GpuStructure(index, factory, n_rows=n_rows, efforts=efforts, parameters=device.list_parameters)


def _graph(vectors: RowVectors, device: Device) -> GpuStructure:
    index = device.graph(vectors.dim)
    # A graph is built in one call, from all vectors.
    together = np.empty((vectors.n_rows, vectors.dim), dtype=np.float32)
    start = 0
    for block in vectors.blocks(0, vectors.n_rows):
        together[start : start + len(block)] = block
        start += len(block)
    index.train(together)
    efforts = [64, 128, 256, WIDEST_WALK]
    return GpuStructure(index, CAGRA, n_rows=vectors.n_rows, efforts=efforts, parameters=device.graph_parameters)


def _measured(
    structure: GpuStructure,
    vectors: RowVectors,
    *,
    recall: float,
    probes: Callable[[], Probes | None],
    seed: int,
    reason: str,
) -> Placement:
    if structure.error is not None:
        return Placement(structure, reason=reason)
    given = probes() or document_probes(vectors, seed=seed, n_rows=vectors.n_rows)
    tuned = cheapest(structure, Probing(vectors, given, n_rows=vectors.n_rows), recall=recall)
    if tuned is None:
        return Placement(None, reason=f"{structure.factory} cannot reach recall {recall} on the GPU")
    return Placement(structure, tuned[0], tuned[1], reason)


def _large_blocks(blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """The same rows in fewer blocks: each that is added moves all that are there."""
    waiting: list[FloatArray] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= _ROWS_AT_ONCE:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
