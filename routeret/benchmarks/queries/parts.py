"""Where the time of one query goes: the parts of a search, each without the parts inside it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

TOKENS, BASE, FIRST, ROUTING, EXPERTS, WORDS, SEARCH, HITS, REST = PARTS = (
    "tokens",
    "base pass",
    "first search",
    "routing",
    "experts",
    "BM25",
    "search",
    "hits",
    "rest",
)
"""The parts in the order in which a query meets them."""

_SEARCHING = "routeret.retriever.searching"
_RETRIEVER = "routeret.retriever.retriever"
_PLACES = (
    ("routeret.encoders.onnx.tokens", "Tokens.read", TOKENS),
    ("routeret.encoders.onnx.query_graph", "QueryGraph.vectors", BASE),
    (_SEARCHING, "dense_ranking", FIRST),
    (_SEARCHING, "Searcher.route", ROUTING),
    (_SEARCHING, "Searcher.query_vectors", EXPERTS),
    (_SEARCHING, "LexicalScores.fuse", WORDS),
    (_SEARCHING, "Searcher.rank", SEARCH),
    (_RETRIEVER, "explained", HITS),
    (_RETRIEVER, "hits_of", HITS),
)
"""Module, name in it and part of what is watched."""


class Watch:
    """Adds up the time of parts, each without those inside it; of one thread."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Start with nothing.

        Args:
            clock: gives seconds.
        """
        self._clock = clock
        self._within: list[str] = []
        self._since = 0.0
        self.ms_by_part: dict[str, float] = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block for a part. Whatever experts do is theirs, also a pass of the model."""
        self._count()
        self._within.append(EXPERTS if EXPERTS in self._within else name)
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


def times_by_part(ask: Callable[[str], object], texts: Sequence[str]) -> dict[str, list[float]]:
    """Milliseconds of every part, a number a query.

    Args:
        ask: searches by a :class:`~routeret.retriever.Retriever`.
        texts: the queries.
    """
    found: dict[str, list[float]] = {name: [] for name in PARTS}
    for text in texts:
        watch = Watch()
        with _watched(watch), watch.part(REST):
            ask(text)
        for name, taken in watch.ms_by_part.items():
            found[name].append(taken)
    return found


@contextmanager
def _watched(watch: Watch) -> Iterator[None]:
    """Let a watch count what the places of a search take, inside the block."""
    before = []
    try:
        for module, path, part in _PLACES:
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
