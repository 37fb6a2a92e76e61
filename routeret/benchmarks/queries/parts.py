"""Where the time of one query goes: the parts of a search, each without the parts inside it."""

from collections.abc import Callable, Sequence

from routeret.benchmarks.watching import Watch, watched

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
    ("routeret.encoders.graph.tokens", "Tokens.read", TOKENS),
    ("routeret.encoders.graph.query_graph", "QueryGraph.vectors", BASE),
    (_SEARCHING, "dense_ranking", FIRST),
    (_SEARCHING, "Searcher.route", ROUTING),
    (_SEARCHING, "Searcher.query_vectors", EXPERTS),
    (_SEARCHING, "LexicalScores.fuse", WORDS),
    (_SEARCHING, "Searcher.rank", SEARCH),
    (_RETRIEVER, "explained", HITS),
    ("routeret.retriever.results", "FoundDocuments.hits_of", HITS),
)
"""Module, name in it and part of what is watched."""


def times_by_part(ask: Callable[[str], object], texts: Sequence[str]) -> dict[str, list[float]]:
    """Milliseconds of every part, a number a query.

    Args:
        ask: searches by a :class:`~routeret.retriever.Retriever`.
        texts: the queries.
    """
    found: dict[str, list[float]] = {name: [] for name in PARTS}
    for text in texts:
        # Whatever experts do is theirs, also a pass of the model.
        watch = Watch(PARTS, whole={EXPERTS})
        with watched(watch, _PLACES), watch.part(REST):
            ask(text)
        for name, taken in watch.ms_by_part.items():
            found[name].append(taken)
    return found
