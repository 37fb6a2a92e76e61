"""What a process does that runs one side: it opens the side and answers what it is asked, by lines of JSON."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from routeret.benchmarks.sides import Entry, Given, Made

Answer = dict[str, Any]


def serve(entry: Entry[Given, Made], given: Given, tasks: Mapping[str, Callable[..., Answer]], *, device: str) -> None:
    """Open a side, and do what lines of the standard input ask for until it ends.

    The first answer is ``missing``, a module, or what the side tells of itself.

    Args:
        entry: of the side.
        given: what it is made of.
        tasks: by name; each takes the side and the values that came with the name.
        device: where the side runs.
    """
    with _answers() as answers:
        lacking = entry.missing(device)
        if lacking is not None:
            _write(answers, {"missing": lacking})
            return
        side = entry.make(given)
        side.open()
        _write(answers, side.describe())
        for line in sys.stdin:
            asked = json.loads(line)
            _write(answers, tasks[asked.pop("task")](side, **asked))


@contextmanager
def _answers() -> Iterator[IO[str]]:
    """Where answers go; what libraries print goes to the errors meanwhile."""
    kept = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(kept, "w", encoding="utf-8") as answers:
        yield answers


def _write(answers: IO[str], answer: Answer) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
