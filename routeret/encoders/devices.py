"""Devices by their names, and the cores of the processor."""

import ctypes
import os
import re
from functools import cache

from routeret.errors import InputError

_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")
"""Of the devices that PyTorch calls cuda."""

_DEVICE = re.compile(r"cpu|mps|(cuda|xpu)(:\d+)?")


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


def checked_name(device: str | None) -> str | None:
    """A device that may be there, by its name.

    Raises:
        InputError: it is none that PyTorch knows.
    """
    if device is not None and _DEVICE.fullmatch(device) is None:
        raise InputError(f"found device {device!r}, expected cpu, cuda, cuda:<number>, mps or xpu")
    return device


def checked_device(device: str | None) -> str:
    """The device to run on.

    Raises:
        InputError: this machine does not have it.
    """
    if device is None:
        return "cuda" if has_cuda() else "cpu"
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return device
    import torch

    backend = getattr(torch, kind)
    count = backend.device_count() if backend.is_available() else 0
    if int(number or 0) >= count:
        raise InputError(f"found device {device!r}, but this machine has {count} of kind {kind}; use device='cpu'")
    return device


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
