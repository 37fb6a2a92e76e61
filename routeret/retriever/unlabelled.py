"""Tuning an index without labels: its pseudo-queries, searched by base and BM25, and what they teach."""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TypeVar

import numpy as np

from routeret.index.structures.best import exact_scores
from routeret.progress import track
from routeret.ranges import expanded
from routeret.retriever.index_map import LOOKED_AT, MOST_ROWS, evenly
from routeret.retriever.ranking import score_documents
from routeret.retriever.searching import Block, Searcher
from routeret.routing import RouterSettings, UtilityRouter
from routeret.routing.whitening import LEAST_VECTORS
from routeret.training.pseudo_queries import pseudo_queries
from routeret.training.unlabelled import (
    LEAST_QUERIES,
    NO_ROW,
    UnlabelledOutcome,
    UnlabelledReport,
    UnlabelledTask,
    fit_unlabelled,
)
from routeret.types import FloatArray, IntArray

MOST_QUERIES = 2000
"""How many pseudo-queries are drawn, at most."""

Values = TypeVar("Values", IntArray, FloatArray)

_CANDIDATES = 100
"""How many documents of either kind are candidates of a pseudo-query."""


def tuned_without_labels(
    searcher: Searcher, *, seed: int = 0, show_progress: bool = False
) -> tuple[UnlabelledReport, FloatArray | None]:
    """Learn a map of an index from its documents that no expert knows, and decide whether it is worth having.

    Args:
        searcher: what searches the index now.
        seed: of the draw of pseudo-queries, and of the half of the documents that the map is measured on.
        show_progress: draw a progress bar on stderr.

    Returns:
        The report, and the map, float32, shape (dim, dim), where it is worth having.
    """
    start = perf_counter()
    router = searcher.pool.router
    settings = router.settings if isinstance(router, UtilityRouter) else RouterSettings()
    numbers = unknown_documents(searcher)

    def report(reason: str, *, n_queries: int = 0, outcome: UnlabelledOutcome | None = None) -> UnlabelledReport:
        return UnlabelledReport(
            installed=outcome is not None and outcome.is_better,
            reason=reason,
            before=outcome.before if outcome else 0.0,
            after=outcome.after if outcome else 0.0,
            strength=settings.index_strength,
            n_pseudo_queries=n_queries,
            n_documents=len(numbers),
            seconds=perf_counter() - start,
        )

    if settings.index_strength == 0:
        return report("the router's index_strength is 0, so that no map of the index acts"), None
    if len(numbers) < LEAST_VECTORS:
        few = f"{len(numbers)} documents were found that no expert knows, needed: at least {LEAST_VECTORS}"
        return report(few), None
    task = unlabelled_task(searcher, numbers, seed=seed, show_progress=show_progress)
    if task is None:
        return report(f"the documents give fewer than {LEAST_QUERIES} sentences, titles and runs of words"), None
    outcome = fit_unlabelled(task, strength=settings.index_strength, seed=seed)
    told = (
        f"on held-out documents, rankings of their sentences and titles agree with those of cosine and BM25 together "
        f"by {outcome.after:.3f} nDCG@10, with the map that is computed of the documents by {outcome.before:.3f}"
    )
    reason = told if outcome.is_better else f"no better than the map that is computed of the documents: {told}"
    return report(reason, n_queries=len(task.queries), outcome=outcome), outcome.weight if outcome.is_better else None


def unknown_documents(searcher: Searcher) -> IntArray:
    """The numbers of documents that no expert of the pool knows, of at most 16,000 that are looked at."""
    numbers = evenly(np.flatnonzero(searcher.index.live_documents), most=LOOKED_AT)
    if not searcher.pool.experts or len(numbers) == 0:
        return numbers
    return numbers[~searcher.known_documents.by(numbers).any(axis=1)]


def unlabelled_task(
    searcher: Searcher, numbers: IntArray, *, most: int = MOST_QUERIES, seed: int = 0, show_progress: bool = False
) -> UnlabelledTask | None:
    """Draw pseudo-queries from some documents and search them.

    Args:
        searcher: what searches the index now.
        numbers: of the documents that pseudo-queries are taken from.
        most: how many pseudo-queries, at most.
        seed: of the draw.
        show_progress: draw a progress bar on stderr.

    Returns:
        None where the documents give fewer than 200 pseudo-queries.
    """
    index = searcher.index
    asked = evenly(numbers, most=most)
    drawn = pseudo_queries(index.documents(asked), most=most, seed=seed)
    if len(drawn) < LEAST_QUERIES:
        return None
    sources = asked[drawn.documents]
    found: list[tuple[IntArray, FloatArray, int]] = []
    bases = []
    blocks = searcher.blocks(drawn.texts, depth=_CANDIDATES)
    for block in track(blocks, description="pseudo-queries", unit="blocks", show=show_progress):
        bases.append(block.batch.base)
        own = sources[len(found) : len(found) + len(block)].tolist()
        found += [_candidates(block, query, source) for query, source in enumerate(own)]
    width = max(len(candidates) for candidates, _, _ in found)
    first, end = index.rows_of(numbers)
    rows = expanded(first, end - first)
    return UnlabelledTask(
        queries=np.concatenate(bases),
        sources=np.array([source for _, _, source in found], dtype=np.int64),
        candidates=_lines([candidates for candidates, _, _ in found], width=width, filling=NO_ROW),
        lexical=_lines([lexical for _, lexical, _ in found], width=width, filling=0),
        documents=index.vectors(evenly(rows, most=MOST_ROWS)),
        vectors=index.vectors,
        unit_length=index.space.unit_length,
    )


def _candidates(block: Block, query: int, source: int) -> tuple[IntArray, FloatArray, int]:
    """The candidates of a pseudo-query: the rows of their best spans and their BM25 over the best, and its source."""
    index, text = block.scope.index, block.batch.texts[query]
    matches = block.lexical.matching(query, _CANDIDATES)
    nearest = block.base.documents[query, :_CANDIDATES]
    numbers = np.unique(np.concatenate([nearest[nearest >= 0], matches.numbers, [source]]))
    found = score_documents(block.scope, numbers, score=partial(_cosines, index.vectors, block.batch.base[query]))
    lexical = index.fulltext.scores_of(text, numbers)
    if len(matches):
        lexical /= matches.scores[0]
    return found.rows, lexical, int(found.rows[np.searchsorted(numbers, source)])


def _cosines(vectors: Callable[[IntArray], FloatArray], query: FloatArray, rows: IntArray) -> FloatArray:
    return exact_scores(vectors(rows), query)


def _lines(lines: Sequence[Values], *, width: int, filling: int) -> Values:
    """Lists of values as the lines of one array, filled up to the same width."""
    return np.stack([np.pad(line, (0, width - len(line)), constant_values=filling) for line in lines])
