"""Progress bars on long work, always on stderr."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item],
    *,
    description: str,
    total: int | None = None,
    unit: str = "it",
    count: Callable[[Item], int] | None = None,
    note: Callable[[], str] | None = None,
    show: bool = True,
) -> Iterator[Item]:
    """Give the items one by one and draw a progress bar on stderr while they are used.

    Args:
        items: what to go through.
        description: the words before the bar.
        total: how many there are to count; taken from ``len(items)`` where it has one.
        unit: what one of them is called, for example ``"docs"``.
        count: how many of them an item stands for; None takes every item as one.
        note: gives a few words to stand behind the bar's own figures, once an item was used; ``""`` for none.
        show: draw the bar at all.
    """
    if not show:
        yield from items
        return
    from tqdm import tqdm

    with tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True) as bar:
        # A bar counts what it gives itself; that takes half as long as telling it of every item.
        for item in bar if count is None else items:
            yield item
            if note is not None:
                # The bar is drawn when it is time to, not for every note.
                bar.set_postfix_str(note(), refresh=False)
            if count is not None:
                bar.update(count(item))
