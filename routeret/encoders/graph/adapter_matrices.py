"""The low-rank matrices that a graph is given for the adapters of a pass."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from routeret.encoders.adapter import Adapter
from routeret.errors import InputError
from routeret.half_precision import in_single_precision
from routeret.types import FloatArray

Layer = tuple[str, int, int]
"""Name, n_inputs and n_outputs of a layer that adapters may change."""

T = TypeVar("T")


class AdapterMatrices(Generic[T]):
    """A and B of every layer for some adapters, as a runtime takes them; kept for adapters that act alone."""

    def __init__(
        self,
        layers: Sequence[Layer],
        convert: Callable[[list[FloatArray], list[FloatArray]], T],
        *,
        scaled: bool = False,
    ) -> None:
        """Keep nothing yet.

        Args:
            layers: of the base.
            convert: makes of A, shape (n_inputs, n_ranks) a layer, and B, shape (n_ranks, n_outputs), what the
                runtime takes.
            scaled: the scale, alpha / rank, is in B.
        """
        self._layers = list(layers)
        self._convert = convert
        self._scaled = scaled
        self._kept: WeakKeyDictionary[Adapter, T] = WeakKeyDictionary()
        self._keeping = threading.Lock()

    def of(self, acting: tuple[Adapter, ...]) -> T:
        """The matrices of adapters side by side, of no columns where there is none.

        Raises:
            InputError: an adapter does not fit the layers of the base.
        """
        if len(acting) != 1:
            return self._made(acting)
        with self._keeping:
            kept = self._kept.get(acting[0])
        if kept is None:
            kept = self._made(acting)
            with self._keeping:
                self._kept[acting[0]] = kept
        return kept

    def _made(self, acting: tuple[Adapter, ...]) -> T:
        for adapter in acting:
            self._require_fit(adapter)
        down, up = [], []
        for name, n_in, n_out in self._layers:
            pairs = [self._pair(adapter, name, n_in, n_out) for adapter in acting]
            down.append(np.concatenate([np.zeros((n_in, 0), np.float32), *(a for a, _ in pairs)], axis=1))
            up.append(np.concatenate([np.zeros((0, n_out), np.float32), *(b for _, b in pairs)], axis=0))
        return self._convert(down, up)

    def _pair(self, adapter: Adapter, name: str, n_in: int, n_out: int) -> tuple[FloatArray, FloatArray]:
        """A and B of an adapter in one layer; 0 where it does not change it."""
        if name not in adapter.targets:
            return np.zeros((n_in, adapter.rank), np.float32), np.zeros((adapter.rank, n_out), np.float32)
        a, b = (in_single_precision(adapter.weights[f"{name}.lora_{letter}.weight"]).T for letter in "AB")
        return a, b * np.float32(adapter.alpha / adapter.rank if self._scaled else 1)

    def _require_fit(self, adapter: Adapter) -> None:
        size_by_layer = {name: (n_in, n_out) for name, n_in, n_out in self._layers}
        for target in adapter.targets:
            expected = size_by_layer.get(target)
            found = (
                adapter.weights[f"{target}.lora_A.weight"].shape[1],
                adapter.weights[f"{target}.lora_B.weight"].shape[0],
            )
            if found != expected:
                raise InputError(
                    f"the adapter changes layer {target!r} from {found[0]} to {found[1]} numbers, the base has "
                    f"{'no such layer' if expected is None else f'{expected[0]} to {expected[1]} there'}; use the base "
                    f"model that it was trained in"
                )


def scales(adapters: Sequence[Adapter | None], acting: tuple[Adapter, ...]) -> FloatArray:
    """What every rank of the acting adapters counts in every row, shape (n_rows, 1, n_ranks)."""
    ends = np.cumsum([0, *(one.rank for one in acting)])
    scale: FloatArray = np.zeros((len(adapters), 1, int(ends[-1])), dtype=np.float32)
    for adapter, start, end in zip(acting, ends, ends[1:], strict=False):
        rows = [row for row, one in enumerate(adapters) if one is adapter]
        scale[rows, :, start:end] = adapter.alpha / adapter.rank
    return scale


def acting_in(adapters: Sequence[Adapter | None]) -> tuple[Adapter, ...]:
    """The adapters of some rows, each once."""
    return tuple(dict.fromkeys(one for one in adapters if one is not None))
