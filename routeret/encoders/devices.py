"""Whether a model would run on the processor, told without PyTorch where there is no driver of a GPU; its cores."""

import ctypes
import os
from functools import cache

_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")
"""Of the devices that PyTorch calls cuda."""


def runs_on_processor(device: str | None) -> bool:
    """Whether a device, or its choice by default, is the processor."""
    return device == "cpu" or (device is None and not has_cuda())


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def has_cuda() -> bool:
    """Whether PyTorch can use a CUDA device; imports it only where a driver is there."""
    if not any(_loads(driver) for driver in _DRIVERS):
        return False
    import torch

    return bool(torch.cuda.is_available())


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
