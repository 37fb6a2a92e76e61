"""How much memory this process holds, as Linux counts it."""

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FIELD_BY_NAME = {"now": "VmRSS", "peak": "VmHWM", "own": "RssAnon"}


def resident_bytes() -> dict[str, int]:
    """Resident memory: ``now``, the ``peak`` since the process began, and what is ``own``, not mapped from files.

    The peak is that of the program itself; ``getrusage`` would count the process that started it too. Empty where
    there is no Linux.
    """
    if sys.platform != "linux":
        return {}
    lines = (line.split() for line in _STATUS.read_text(encoding="ascii").splitlines())
    kib_by_field = {words[0].rstrip(":"): words[1] for words in lines if len(words) > 1}
    return {name: 1024 * int(kib_by_field[field]) for name, field in _FIELD_BY_NAME.items()}


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
