"""A side in a fresh process; :mod:`routeret.benchmarks.queries.process` starts it and asks it."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from routeret.benchmarks.memory import resident_bytes
from routeret.benchmarks.queries.material import Material
from routeret.benchmarks.queries.parts import times_by_part
from routeret.benchmarks.queries.sides.registry import HOLDERS, SIDES
from routeret.benchmarks.queries.sides.side import Side
from routeret.benchmarks.queries.together import ask_together
from routeret.benchmarks.timing import milliseconds

Answer = dict[str, Any]


def singles(side: Side, *, texts: Sequence[str], first: str) -> Answer:
    """Milliseconds and ids of every query, one after the other.

    Args:
        side: what answers.
        texts: the queries.
        first: a query before them, which does not count: the process may have slept.
    """
    side.search([first])
    times, found = milliseconds(lambda text: side.search([text])[0], texts, at_least=len(texts), limit_s=math.inf)
    return {"ms": times, "ids": found}


def batch(side: Side, *, texts: Sequence[str], first: str) -> Answer:
    """Milliseconds of all queries in one call."""
    side.search([first])
    times, _ = milliseconds(side.search, [texts], at_least=1, limit_s=math.inf)
    return {"ms": times[0]}


def together(side: Side, *, texts: Sequence[str], threads: int) -> Answer:
    """Several threads ask at once; see :func:`~routeret.benchmarks.queries.together.ask_together`."""
    return ask_together(lambda text: side.search([text]), texts, threads=threads)


def passes(side: Side, *, texts: Sequence[str]) -> Answer:
    """Through how many experts every query goes."""
    return {"passes": [side.passes(text) for text in texts]}


def parts(side: Side, *, texts: Sequence[str]) -> Answer:
    """Milliseconds of every part of every query."""
    return {"parts": times_by_part(lambda text: side.search([text]), texts)}


def memory(side: Side, *, texts: Sequence[str]) -> Answer:
    """Memory once all has been asked."""
    side.use_all(texts)
    return dict(resident_bytes())


TASKS: dict[str, Callable[..., Answer]] = {
    "singles": singles,
    "batch": batch,
    "together": together,
    "passes": passes,
    "parts": parts,
    "memory": memory,
}


def main(arguments: Sequence[str]) -> None:
    """Open a side, and do what lines of the standard input ask for until it ends.

    Args:
        arguments: the side's name and the material's folder.
    """
    name, folder = arguments
    entry = {**SIDES, **HOLDERS}[name]
    with _answers() as answers:
        lacking = entry.missing()
        if lacking is not None:
            _write(answers, {"missing": lacking})
            return
        side = entry.make(Material(Path(folder)))
        side.open()
        _write(answers, side.describe())
        for line in sys.stdin:
            asked = json.loads(line)
            _write(answers, TASKS[asked.pop("task")](side, **asked))


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


if __name__ == "__main__":
    main(sys.argv[1:])
