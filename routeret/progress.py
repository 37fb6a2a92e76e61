"""Progress bars on long work, always on stderr."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item],
    *,
    description: str,
    total: int | None = None,
    unit: str = "it",
    show: bool = True,
) -> Iterator[Item]:
    """Give the items one by one and draw a progress bar on stderr while they are used.

    Args:
        items: what to go through.
        description: the words before the bar.
        total: how many items come; taken from ``len(items)`` where it has one.
        unit: what one item is called, for example ``"docs"``.
        show: draw the bar at all.
    """
    if not show:
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True)
