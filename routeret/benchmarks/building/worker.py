"""A side in a fresh process; :mod:`routeret.benchmarks.process` starts it and asks it."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from routeret.benchmarks.building.material import BuildMaterial
from routeret.benchmarks.building.sides.registry import SIDES
from routeret.benchmarks.building.sides.side import EncodingSide
from routeret.benchmarks.building.sides.texts import PlainSide
from routeret.benchmarks.memory import folder_bytes, resident_bytes
from routeret.benchmarks.serving import Answer, serve
from routeret.benchmarks.timing import seconds

_WARMING = 4
"""Documents before a block."""


def encode(side: EncodingSide, *, start: int, end: int, file: str) -> Answer:
    """Milliseconds of a block of documents, whose vectors go into a file.

    A few documents come before it and do not count: the process may have slept.
    """
    side.encode(start, min(end, start + _WARMING))
    found = []
    taken = seconds(lambda: found.append(side.encode(start, end)))
    np.save(side.material.folder / file, found[0])
    return {"ms": 1000 * taken}


def tokens(side: PlainSide) -> Answer:
    """How many tokens of every document the model reads, and which documents it cuts."""
    counts, is_cut = side.token_counts()
    return {"counts": counts, "is_cut": is_cut}


def queries(side: PlainSide, *, texts: Sequence[str], file: str) -> Answer:
    """Write the vectors of queries into a file."""
    np.save(side.material.folder / file, side.queries(texts))
    return {}


def build(side: EncodingSide, *, name: str, n_before: int) -> Answer:
    """What the build of all documents took.

    Some documents are embedded before it and do not count: what is done once a process would be a large share of the
    time of few documents, and is none of many.

    Args:
        side: what builds.
        name: of the folder.
        n_before: how many documents those are.
    """
    folder = side.material.folder / name
    side.encode(0, n_before)
    before = resident_bytes().get("now")
    answer = side.build(folder)
    memory = {"memory_before_bytes": before, "memory_peak_bytes": resident_bytes().get("peak")}
    return {**answer, **memory, "bytes": folder_bytes(folder)}


TASKS: dict[str, Callable[..., Answer]] = {"encode": encode, "tokens": tokens, "queries": queries, "build": build}


def main(arguments: Sequence[str]) -> None:
    """Run a side.

    Args:
        arguments: the side's name and the material's folder.
    """
    name, folder = arguments
    material = BuildMaterial(Path(folder))
    serve(SIDES[name], material, TASKS, device=material.facts.device)


if __name__ == "__main__":
    main(sys.argv[1:])
