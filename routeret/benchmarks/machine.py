"""The machine and the versions that numbers come from; nothing that tells where or whose it is."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from routeret.encoders.devices import runs_on_processor

_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PACKAGES = ("routeret", "numpy", "faiss-cpu", "faiss-gpu", "lancedb", "chromadb")


def machine_facts(packages: Sequence[str] = _PACKAGES, *, device: str = "cpu") -> dict[str, Any]:
    """Plain JSON values: processor, cores, memory, system, and versions of what is measured (None: not installed).

    Args:
        packages: the distributions whose versions are told.
        device: where models run; it is named unless it is the processor.
    """
    return {
        "device": device_title(device),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: installed_version(name) for name in packages},
    }


def device_title(device: str) -> str | None:
    """What a device is sold as; None for the processor.

    Args:
        device: there is one of that name.
    """
    if runs_on_processor(device):
        return None
    import torch

    backend = getattr(torch, device.partition(":")[0])
    return str(backend.get_device_name(device)) if hasattr(backend, "get_device_name") else device


def thread_limits() -> dict[str, str | None]:
    """What the environment says of how many threads arithmetic may use; None where it says nothing."""
    return {name: os.environ.get(name) for name in _LIMITS}


def installed_version(name: str) -> str | None:
    """The version of a distribution; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
