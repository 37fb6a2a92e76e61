"""Turns: every side does the same few things before the next few come, so that what slows the machine hits all."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from routeret.progress import track

Item = TypeVar("Item")
Block = TypeVar("Block")


def blocks_of(items: Sequence[Item], size: int) -> list[list[Item]]:
    """The items, so many at once."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def turns(
    names: Iterable[str], blocks: Sequence[Block], *, seed: int, description: str, show_progress: bool
) -> Iterator[tuple[Block, str]]:
    """Every block with every side, in a new order for every block.

    Args:
        names: of the sides.
        blocks: what is done at once.
        seed: decides whose turn is first.
        description: the words before the progress bar.
        show_progress: draw it on stderr.
    """
    rng = np.random.default_rng(seed)
    sides = list(names)
    drawn = [(block, sides[number]) for block in blocks for number in rng.permutation(len(sides)).tolist()]
    yield from track(drawn, description=description, unit="turn", show=show_progress)
