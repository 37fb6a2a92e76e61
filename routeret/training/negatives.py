"""Hard negatives: documents that a source of scores takes for answers of a query, and that are none.

Any scores do: cosines of the base, BM25, or the expert that is being trained. A document that scores about as high as
the known answers is left out as a likely answer that nobody marked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import InputError
from routeret.index.lexical import Fulltext
from routeret.index.structures.best import top_k
from routeret.types import FloatArray, IntArray

MARGIN = 0.05
"""How far below the answers' score a negative stays; NV-Retriever's TopK-PercPos (2407.15831) with 95 %."""

_SCORES_AT_ONCE = 1 << 23


@dataclass(frozen=True, slots=True, eq=False)
class HardNegatives:
    """Negatives of every query.

    Attributes:
        rows: of the documents, int64, shape (n_queries, n), the hardest first; -1 where there are no more.
        n_too_close: how many documents of every query were left out as likely answers, int64, shape (n_queries,).
    """

    rows: IntArray
    n_too_close: IntArray

    def __len__(self) -> int:
        """How many queries."""
        return len(self.rows)

    @property
    def n_missing(self) -> int:
        """How many places are empty, over all queries."""
        return int(np.count_nonzero(self.rows < 0))


def hard_negatives(
    scores: FloatArray,
    positives: Sequence[IntArray],
    *,
    n: int,
    margin: float | None = MARGIN,
    above: float = -np.inf,
    excluded: Sequence[IntArray] | None = None,
) -> HardNegatives:
    """Take the best-scored documents of every query that are no answers and not likely to be.

    With p the mean score of the query's known answers, a document that scores more than p - ``margin`` * abs(p) is left
    out. The margin is relative, so it means the same for cosines, BM25 and inner products of any scale.

    Args:
        scores: float32, shape (n_queries, n_documents); higher is better; minus infinity is never taken.
        positives: rows of the known answers of every query, at least one each, each once.
        n: negatives a query, at least 1.
        margin: 0 to 1; None leaves no likely answer out.
        above: only documents that score more are taken: 0 for BM25, where a document without a word of the query is
            not hard.
        excluded: rows that are never taken, for every query: itself, for one that is also a document.

    Returns:
        The negatives, best score first; equal scores keep the lower row first.

    Raises:
        InputError: ``n`` or ``margin`` is outside, a query has no answer, a row is no document, lengths differ, a
            score is not a number, or that of an answer is infinite.
    """
    if scores.ndim != 2 or len(scores) != len(positives):
        raise InputError(
            f"scores of shape {scores.shape} came with answers of {len(positives)} queries; expected a line for each"
        )
    return mine_scored(
        lambda part: scores[part],
        positives,
        n_documents=scores.shape[1],
        n=n,
        margin=margin,
        above=above,
        excluded=excluded,
    )


def mine(
    queries: FloatArray,
    documents: FloatArray,
    positives: Sequence[IntArray],
    *,
    n: int,
    margin: float | None = MARGIN,
    excluded: Sequence[IntArray] | None = None,
) -> HardNegatives:
    """Mine hard negatives by inner products of vectors, in blocks of queries; see :func:`hard_negatives`.

    Args:
        queries: float32, shape (n_queries, dim).
        documents: float32, shape (n_documents, dim).
        positives: rows of the known answers of every query, at least one each, each once.
        n: negatives a query, at least 1.
        margin: 0 to 1; None leaves no likely answer out.
        excluded: rows that are never taken, for every query.

    Raises:
        InputError: as :func:`hard_negatives`; or dimensions differ.
    """
    if queries.ndim != 2 or documents.ndim != 2 or queries.shape[1] != documents.shape[1]:
        raise InputError(
            f"queries have shape {queries.shape}, documents {documents.shape}; expected (n_queries, dim) and "
            f"(n_documents, dim)"
        )
    if len(queries) != len(positives):
        raise InputError(f"{len(queries)} queries came with answers of {len(positives)}; expected one length")
    return mine_scored(
        lambda part: queries[part] @ documents.T,
        positives,
        n_documents=len(documents),
        n=n,
        margin=margin,
        excluded=excluded,
    )


def mine_scored(
    score: Callable[[slice], FloatArray],
    positives: Sequence[IntArray],
    *,
    n_documents: int,
    n: int,
    margin: float | None = MARGIN,
    above: float = -np.inf,
    excluded: Sequence[IntArray] | None = None,
) -> HardNegatives:
    """Mine hard negatives by scores of any source, in blocks of queries; see :func:`hard_negatives`.

    Args:
        score: gives the scores of a part of the queries, float32, shape (n_in_part, n_documents).
        positives: rows of the known answers of every query, at least one each, each once.
        n_documents: how many documents are scored; the more there are, the fewer queries make a part.
        n: negatives a query, at least 1.
        margin: 0 to 1; None leaves no likely answer out.
        above: only documents that score more are taken; 0 for BM25.
        excluded: rows that are never taken, for every query.

    Raises:
        InputError: as :func:`hard_negatives`; or ``score`` gives another shape.
    """
    _require_settings(n, margin)
    nothing = np.zeros(0, dtype=np.int64)
    excluded = [nothing] * len(positives) if excluded is None else excluded
    _require_rows(positives, excluded, n_documents=n_documents)
    rows = np.full((len(positives), n), -1, dtype=np.int64)
    n_too_close = np.zeros(len(positives), dtype=np.int64)
    step = max(1, _SCORES_AT_ONCE // max(1, n_documents))
    for start in range(0, len(positives), step):
        part = slice(start, min(start + step, len(positives)))
        scores = _checked(score(part), part, n_documents=n_documents).copy()
        for query, line in enumerate(scores, start):
            answer = _mean_score(query, line[positives[query]])
            line[positives[query]] = -np.inf
            line[excluded[query]] = -np.inf
            line[line <= above] = -np.inf
            if margin is not None:
                is_too_close = line > answer - margin * abs(answer)
                n_too_close[query] = np.count_nonzero(is_too_close)
                line[is_too_close] = -np.inf
        best = top_k(scores, n)
        rows[part, : best.rows.shape[1]] = np.where(best.scores > -np.inf, best.rows, -1)
    return HardNegatives(rows=rows, n_too_close=n_too_close)


def mine_by_words(
    texts: Sequence[str],
    documents: Sequence[str],
    positives: Sequence[IntArray],
    *,
    n: int,
    margin: float | None = MARGIN,
    excluded: Sequence[IntArray] | None = None,
) -> HardNegatives:
    """Mine by BM25, as an index scores words; a document without a word of the query is never taken.

    Args:
        texts: of the queries.
        documents: their texts, with titles where they have any.
        positives: as for :func:`hard_negatives`.
        n: as there.
        margin: as there.
        excluded: as there.

    Raises:
        InputError: as for :func:`hard_negatives`.
    """
    fulltext = Fulltext.of(enumerate(documents), n_documents=len(documents))

    def score(part: slice) -> FloatArray:
        return np.stack([fulltext.scores(text) for text in texts[part]])

    return mine_scored(score, positives, n_documents=len(documents), n=n, margin=margin, above=0.0, excluded=excluded)


def merged(sources: Sequence[HardNegatives], *, n: int) -> HardNegatives:
    """Take negatives from several sources in turn: the hardest of each, then the second of each.

    Args:
        sources: at least one, of the same queries.
        n: negatives a query, at least 1.

    Returns:
        Every document once a query, where it came first; ``n_too_close`` is the sum over the sources.

    Raises:
        InputError: there is no source, numbers of queries differ, or ``n`` is below 1.
    """
    _require_settings(n, None)
    if len({len(source) for source in sources}) != 1:
        raise InputError(
            f"sources have negatives of {[len(source) for source in sources]} queries; expected at least one source, "
            f"all of the same queries"
        )
    n_queries = len(sources[0])
    deepest = max(source.rows.shape[1] for source in sources)
    in_turn = np.full((n_queries, deepest, len(sources)), -1, dtype=np.int64)
    for number, source in enumerate(sources):
        in_turn[:, : source.rows.shape[1], number] = source.rows
    rows = np.full((n_queries, n), -1, dtype=np.int64)
    for line, offered in zip(rows, in_turn.reshape(n_queries, -1), strict=True):
        there = offered[offered >= 0]
        _, first = np.unique(there, return_index=True)
        taken = there[np.sort(first)][:n]
        line[: len(taken)] = taken
    return HardNegatives(rows=rows, n_too_close=np.sum([source.n_too_close for source in sources], axis=0))


def _require_settings(n: int, margin: float | None) -> None:
    if n < 1 or (margin is not None and not 0 <= margin <= 1):
        raise InputError(f"found n {n} and margin {margin}; expected n of at least 1 and a margin of 0 to 1")


def _require_rows(positives: Sequence[IntArray], excluded: Sequence[IntArray], *, n_documents: int) -> None:
    if len(excluded) != len(positives):
        raise InputError(f"{len(positives)} queries came with rows to exclude of {len(excluded)}; expected one length")
    for query, (answers, others) in enumerate(zip(positives, excluded, strict=True)):
        for what, rows in (("answers", answers), ("excluded rows", others)):
            if len(rows) and not 0 <= rows.min() <= rows.max() < n_documents:
                raise InputError(f"query {query} has {what} {rows.tolist()[:5]}; expected 0 to {n_documents - 1}")
        if len(answers) == 0:
            raise InputError(f"query {query} has no answer; expected at least one, to tell what scores too close")


def _checked(scores: FloatArray, part: slice, *, n_documents: int) -> FloatArray:
    """The scores of a part, if they have its shape and can be ordered."""
    if scores.shape != (part.stop - part.start, n_documents):
        raise InputError(
            f"queries {part.start} to {part.stop - 1} were scored with shape {scores.shape}; expected "
            f"({part.stop - part.start}, {n_documents})"
        )
    is_nan = np.isnan(scores)
    if is_nan.any():
        query, row = np.argwhere(is_nan)[0]
        raise InputError(f"query {part.start + query} scores document {row} with NaN; expected a number")
    return scores


def _mean_score(query: int, scores: FloatArray) -> float:
    mean = float(scores.mean(dtype=np.float64))
    if not np.isfinite(mean):
        raise InputError(f"the answers of query {query} score {scores.tolist()[:5]}; expected finite numbers")
    return mean
