"""How long ``routeret search`` takes from the shell, in a process that has loaded nothing."""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from routeret.benchmarks.timing import seconds, spread

_TOLD = "import sys; from routeret.cli import main; main(sys.argv[1:], standalone_mode=False); " + (
    "print(*sys.modules, file=sys.stderr)"
)


def cold_starts(index_folder: Path, texts: Sequence[str], *, device: str) -> dict[str, Any]:
    """The time of the whole command, once a query, and whether PyTorch was imported for it.

    Args:
        index_folder: an index; on the processor, its base is run by a graph that has been exported.
        texts: the queries, at least one.
        device: where the model runs.
    """
    words = ["search", str(index_folder), "--device", device]
    command = [sys.executable, "-m", "routeret", *words]
    run = partial(subprocess.run, capture_output=True, check=True)
    # The first one finds the files in the system's cache for the others.
    told = run([sys.executable, "-c", _TOLD, *words, texts[0]], text=True)
    times = [1000 * seconds(partial(run, [*command, text])) for text in texts]
    return {**spread(times), "imports_torch": "torch" in told.stderr.split()}
