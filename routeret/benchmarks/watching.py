"""Where time goes: the parts of a call, each without the parts inside it."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

Place = tuple[str, str, str]
"""Module, name in it and part of what is watched."""


class Watch:
    """Adds up the time of parts, each without those inside it; of one thread."""

    def __init__(
        self,
        parts: Sequence[str],
        *,
        whole: Collection[str] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Start with nothing.

        Args:
            parts: their names.
            whole: parts whose time is that of all inside them, too.
            clock: gives seconds.
        """
        self._whole = whole
        self._clock = clock
        self._within: list[str] = []
        self._since = 0.0
        self.ms_by_part: dict[str, float] = dict.fromkeys(parts, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block for a part."""
        self._count()
        around = self._within[-1] if self._within else None
        self._within.append(name if around is None or around not in self._whole else around)
        try:
            yield
        finally:
            self._count()
            self._within.pop()

    def _count(self) -> None:
        """Give the time since the last change to the part that is going on."""
        now = self._clock()
        if self._within:
            self.ms_by_part[self._within[-1]] += 1000 * (now - self._since)
        self._since = now


@contextmanager
def watched(watch: Watch, places: Sequence[Place]) -> Iterator[None]:
    """Let a watch count what some places take, inside the block.

    Args:
        watch: knows their parts.
        places: functions, and methods of classes.
    """
    before = []
    try:
        for module, path, part in places:
            owner: Any = import_module(module)
            *outer, name = path.split(".")
            for one in outer:
                owner = getattr(owner, one)
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, _counted(getattr(owner, name), watch, part))
        yield
    finally:
        for owner, name, call in reversed(before):
            setattr(owner, name, call)


def _counted(call: Callable[..., Any], watch: Watch, part: str) -> Callable[..., Any]:
    @wraps(call)
    def counted(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as what is wrapped
        with watch.part(part):
            return call(*arguments, **named)

    return counted
