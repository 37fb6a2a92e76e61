"""A side in a process of its own, which waits until it is asked for something."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from routeret.errors import RouteretError

_PACKAGE_FOLDER = Path(__file__).parents[2]
_ERROR_LINES = 15


class SideProcess:
    """Talks by lines of JSON to a module that calls :func:`routeret.benchmarks.serving.serve`."""

    def __init__(self, name: str, folder: Path, *, worker: str, python: Path | None = None) -> None:
        """Start the process; :meth:`opened` waits until it is ready.

        Args:
            name: of the side.
            folder: the material's; the process writes its errors into a file there.
            worker: the module, which is given name and folder.
            python: the interpreter; None takes this one.
        """
        self._name = name
        self._log = folder / f"{name}.log"
        environment = dict(os.environ)
        if python is not None:
            environment["PYTHONPATH"] = str(_PACKAGE_FOLDER)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(python or sys.executable), "-m", worker, name, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=environment,
            )

    def opened(self) -> dict[str, Any]:
        """What the side tells of itself once it is open: ``missing``, a module; else what describes it.

        Raises:
            RouteretError: it could not be opened; the message holds the last lines that it wrote.
        """
        return self._answer("opening")

    def ask(self, task: str, **values: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        """What a task of the worker gives.

        Args:
            task: its name.
            values: its arguments, as JSON values.

        Raises:
            RouteretError: the process has ended; the message holds the last lines that it wrote.
        """
        pipe = _open(self._process.stdin)
        try:
            pipe.write(json.dumps({"task": task, **values}) + "\n")
            pipe.flush()
        except BrokenPipeError:
            raise self._ended(task) from None
        return self._answer(task)

    def close(self) -> None:
        """End the process."""
        _open(self._process.stdin).close()
        self._process.wait()
        _open(self._process.stdout).close()

    def last_line(self) -> str:
        """The last line that the process wrote as an error."""
        return (self._log.read_text(encoding="utf-8").strip().splitlines() or [""])[-1]

    def _answer(self, task: str) -> dict[str, Any]:
        line = _open(self._process.stdout).readline()
        if not line:
            raise self._ended(task)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self, task: str) -> RouteretError:
        code = self._process.wait()
        last = "\n".join(self._log.read_text(encoding="utf-8").strip().splitlines()[-_ERROR_LINES:])
        return RouteretError(f"{task} of side {self._name!r} ended with code {code}:\n{last}")


def _open(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RouteretError("the process has no pipe; start it by SideProcess")
    return pipe
