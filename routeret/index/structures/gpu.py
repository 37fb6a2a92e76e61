"""The calls that reach a CUDA device through FAISS; everything that decides something is elsewhere."""

from typing import Any

from routeret.errors import InputError, MissingExtraError
from routeret.optional import is_installed, require

SCRATCH_BYTES = 512 << 20
"""What FAISS keeps on the device for intermediate results, for each index."""

_CPU = "cpu"
_CUDA = "cuda"


class CudaDevice:
    """One CUDA device, on which FAISS indexes can be made.

    Each index gets resources of its own, so that two of them may be searched at once; one of them may not.

    Attributes:
        name: for example ``"cuda:0"``.
    """

    def __init__(self, number: int) -> None:
        """Take the device; :func:`open_device` is the way in."""
        self._faiss = require("faiss", extra="gpu")
        self._number = number
        self.name = f"{_CUDA}:{number}"

    def free_bytes(self) -> int | None:
        """How much of its memory is free now; None where torch, which tells it, was built without CUDA."""
        import torch

        if not torch.cuda.is_available():
            return None
        return int(torch.cuda.mem_get_info(self._number)[0])

    def flat(self, dim: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """An empty index that keeps vectors as float16 and looks at all of them."""
        config = self._configured(self._faiss.GpuIndexFlatConfig())
        config.useFloat16 = True
        return self._faiss.GpuIndexFlatIP(self._resources(), dim, config)

    def lists(self, dim: int, *, n_lists: int, n_codes: int, seed: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """An untrained index of inverted lists with one byte for each of ``n_codes`` parts of a vector."""
        config = self._configured(self._faiss.GpuIndexIVFPQConfig())
        # Tables of 32-bit numbers do not fit a block's shared memory for more than 48 codes.
        config.useFloat16LookupTables = True
        metric = self._faiss.METRIC_INNER_PRODUCT
        index = self._faiss.GpuIndexIVFPQ(self._resources(), dim, n_lists, n_codes, 8, metric, config)
        index.cp.seed = seed
        index.pq.cp.seed = seed
        return index

    def list_parameters(self, n_read: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """What makes a search read so many lists."""
        return self._faiss.SearchParametersIVF(nprobe=n_read)

    def graph(self, dim: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """An empty CAGRA graph; training it puts the vectors into it.

        Raises:
            InputError: this FAISS was built without cuVS.
        """
        if not hasattr(self._faiss, "GpuIndexCagra") or "CUVS" not in self._faiss.get_compile_options():
            raise InputError(
                f"factory 'CAGRA' needs a FAISS with cuVS, and faiss {self._faiss.__version__} was built without; "
                "install faiss-gpu-cuvs in place of faiss-gpu, or leave the factory out"
            )
        config = self._faiss.GpuIndexCagraConfig()
        config.device = self._number
        return self._faiss.GpuIndexCagra(self._resources(), dim, self._faiss.METRIC_INNER_PRODUCT, config)

    def graph_parameters(self, n_kept: int) -> Any:  # noqa: ANN401 (FAISS has no types)
        """What makes a search keep so many candidates while it walks."""
        return self._faiss.SearchParametersCagra(itopk_size=n_kept)

    def _resources(self) -> Any:  # noqa: ANN401 (FAISS has no types)
        resources = self._faiss.StandardGpuResources()
        resources.setTempMemory(SCRATCH_BYTES)
        return resources

    def _configured(self, config: Any) -> Any:  # noqa: ANN401 (FAISS has no types)
        config.device = self._number
        # The same code in every build: the limits of cuVS for lists and codes are others.
        config.use_cuvs = False
        return config


def open_device(name: str) -> CudaDevice | None:
    """The device of a name, as torch writes it; None for ``"cpu"``.

    Args:
        name: ``"cpu"``, ``"cuda"``, which is the first one, or ``"cuda:<number>"``.

    Raises:
        InputError: it is the name of something else, or FAISS sees no such device.
        MissingExtraError: faiss is not installed, or without its part for GPUs.
    """
    if name == _CPU:
        return None
    number = _number(name)
    if number is None:
        raise InputError(f"device is {name!r}, expected 'cpu', 'cuda' or one like 'cuda:0'")
    faiss = require("faiss", extra="gpu")
    if not hasattr(faiss, "StandardGpuResources"):
        raise MissingExtraError(
            f"device is {name!r}, and faiss {faiss.__version__} is the one for CPUs; both are the same module, so run: "
            "pip uninstall faiss-cpu, then: pip install 'routeret[gpu]'"
        )
    n_devices = int(faiss.get_num_gpus())
    if number >= n_devices:
        raise InputError(
            f"device is {name!r}, FAISS sees {n_devices} CUDA devices here; look at CUDA_VISIBLE_DEVICES and the "
            "driver, name another device, or take 'cpu'"
        )
    return CudaDevice(number)


def searching_device(name: str | None) -> str | None:
    """The same name where FAISS can search on that device; None where searches stay on the CPU.

    Args:
        name: where a model runs; None and every name that torch knows will do.
    """
    number = None if name is None else _number(name)
    if number is None or not is_installed("faiss"):
        return None
    faiss = require("faiss", extra="gpu")
    has_device = hasattr(faiss, "StandardGpuResources") and number < int(faiss.get_num_gpus())
    return name if has_device else None


def _number(name: str) -> int | None:
    """The number of a CUDA device; None for the name of something else."""
    kind, _, number = name.partition(":")
    if kind != _CUDA or (":" in name and not (number.isascii() and number.isdigit())):
        return None
    return int(number or 0)
