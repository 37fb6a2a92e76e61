"""One measurement in a fresh process; :mod:`routeret.benchmarks.running` starts it."""

import json
import sys
from pathlib import Path

from routeret.artifact import write_json
from routeret.benchmarks.data import BenchData
from routeret.benchmarks.measuring import TASKS


def main(arguments: list[str]) -> None:
    """Run a task and write what it gives as JSON.

    Args:
        arguments: task, store, the store's folder, the data folder, the setting as JSON, the file to write.
    """
    task, store, folder, data, setting, result = arguments
    values = TASKS[task](store, Path(folder), BenchData(Path(data)), json.loads(setting))
    write_json(Path(result), values)


if __name__ == "__main__":
    main(sys.argv[1:])
