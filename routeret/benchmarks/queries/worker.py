"""A side in a fresh process; :mod:`routeret.benchmarks.process` starts it and asks it."""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from routeret.benchmarks.memory import resident_bytes
from routeret.benchmarks.queries.material import Material
from routeret.benchmarks.queries.parts import times_by_part
from routeret.benchmarks.queries.sides.registry import HOLDERS, SIDES
from routeret.benchmarks.queries.sides.sentence_transformers import PlainSide
from routeret.benchmarks.queries.sides.side import QuerySide
from routeret.benchmarks.queries.together import ask_together
from routeret.benchmarks.serving import Answer, serve
from routeret.benchmarks.timing import milliseconds


def singles(side: QuerySide, *, texts: Sequence[str], first: str) -> Answer:
    """Milliseconds and ids of every query, one after the other.

    Args:
        side: what answers.
        texts: the queries.
        first: a query before them, which does not count: the process may have slept.
    """
    side.search([first])
    times, found = milliseconds(lambda text: side.search([text])[0], texts, at_least=len(texts), limit_s=math.inf)
    return {"ms": times, "ids": found}


def batch(side: QuerySide, *, texts: Sequence[str], first: str) -> Answer:
    """Milliseconds of all queries in one call."""
    side.search([first])
    times, _ = milliseconds(side.search, [texts], at_least=1, limit_s=math.inf)
    return {"ms": times[0]}


def together(side: QuerySide, *, texts: Sequence[str], threads: int) -> Answer:
    """Several threads ask at once; see :func:`~routeret.benchmarks.queries.together.ask_together`."""
    return ask_together(lambda text: side.search([text]), texts, threads=threads)


def passes(side: QuerySide, *, texts: Sequence[str]) -> Answer:
    """Through how many experts every query goes."""
    return {"passes": [side.passes(text) for text in texts]}


def parts(side: QuerySide, *, texts: Sequence[str]) -> Answer:
    """Milliseconds of every part of every query."""
    return {"parts": times_by_part(lambda text: side.search([text]), texts)}


def tokens(side: PlainSide, *, texts: Sequence[str]) -> Answer:
    """How many tokens of every query the model reads."""
    return {"counts": side.token_counts(texts)}


def query_runtime(side: QuerySide) -> Answer:
    """What runs the model."""
    return {"name": side.query_runtime()}


def memory(side: QuerySide, *, texts: Sequence[str]) -> Answer:
    """Memory once all has been asked."""
    side.use_all(texts)
    return dict(resident_bytes())


TASKS: dict[str, Callable[..., Answer]] = {
    "singles": singles,
    "batch": batch,
    "together": together,
    "passes": passes,
    "parts": parts,
    "tokens": tokens,
    "query_runtime": query_runtime,
    "memory": memory,
}


def main(arguments: Sequence[str]) -> None:
    """Run a side.

    Args:
        arguments: the side's name and the material's folder.
    """
    name, folder = arguments
    material = Material(Path(folder))
    serve({**SIDES, **HOLDERS}[name], material, TASKS, device=material.facts.device)


if __name__ == "__main__":
    main(sys.argv[1:])
