"""Labelled queries from a click log: which documents were clicked more often than their places explain."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routeret.errors import CorpusError, InputError
from routeret.labelled import comparable, document_ids_of, drawn, existing_file, query_of, require_some
from routeret.lines import read_objects
from routeret.types import LabelledQuery

_ROUNDING = 1e-9
"""Relative; so little below the expected clicks is as many: six times 1/6, added up, are a little more than 1."""


@dataclass(frozen=True, slots=True)
class ClickRecord:
    """One line of a click log.

    Attributes:
        query: as it was asked, with single blanks.
        shown: ids of the documents that were shown, in their order; None where nobody wrote them down.
        clicked: ids of those that were clicked, each once.
    """

    query: str
    shown: tuple[str, ...] | None
    clicked: tuple[str, ...]


def read_clicks(path: Path | str) -> list[ClickRecord]:
    """The lines of a click log, in order.

    Args:
        path: JSON lines, plain or ``.gz``: ``{"query": "...", "shown": ["id", ...], "clicked": ["id", ...]}``, where
            ``text`` may stand for ``query`` and ``shown`` may be left out. Nothing need be clicked. Other fields are
            left alone.

    Raises:
        CorpusError: the file is missing or empty, or a line cannot be read, shows a document twice, or has a click on a
            document that it did not show; the file and line are named.
    """
    path = existing_file(Path(path))
    records = [_record_of(values, place) for values, place in read_objects(path)]
    require_some(records, path)
    return records


def clicked_queries(
    path: Path | str, *, least_clicks: int = 1, limit: int | None = None, seed: int = 0
) -> list[LabelledQuery]:
    """The queries of a click log with the documents that its clicks speak for, in the order of their first line.

    Args:
        path: see :func:`read_clicks`.
        least_clicks: that a document needs, over all lines of a query.
        limit: keep this many queries, drawn at random; None keeps all.
        seed: for the draw.

    Raises:
        CorpusError: as for :func:`read_clicks`, or no document of any query has enough clicks.
        InputError: ``least_clicks`` or ``limit`` is below 1.
    """
    labelled = labelled_by_clicks(read_clicks(path), least_clicks=least_clicks)
    if not labelled:
        raise CorpusError(
            f"{path} has no document with at least {least_clicks} clicks and as many as its places explain; gather "
            f"more clicks, or lower the least number of clicks"
        )
    return drawn(labelled, limit=limit, seed=seed)


def labelled_by_clicks(records: Iterable[ClickRecord], *, least_clicks: int = 1) -> list[LabelledQuery]:
    """The documents that clicks speak for, by "clicks over expected clicks" (Zhang and Jones, WWW 2007).

    What stands at the top is clicked because it stands there. So the clicks of a document on a query are divided by
    those that an average document would have had at its places: the sum, over the times when it was shown, of the share
    of clicks at that rank in the whole log. A document answers the query where this is at least 1. The share at a rank
    is counted with one more showing of the log's mean share, so that a rank that was hardly ever shown says little.
    Lines without ``shown`` add clicks and expect none.

    Queries that are equal but for case and blanks are one, in the spelling that came first. A query without such a
    document is left out.

    Args:
        records: of a log.
        least_clicks: that a document needs, over all lines of a query.

    Returns:
        A query each, in the order of their first records, with its documents, those with most clicks first.

    Raises:
        InputError: ``least_clicks`` is below 1.
    """
    if least_clicks < 1:
        raise InputError(f"the least number of clicks is {least_clicks}, expected at least 1")
    records = list(records)
    rates = _rates_by_rank(records)
    by_query: dict[str, _Clicks] = {}
    for record in records:
        clicks = by_query.setdefault(comparable(record.query), _Clicks(record.query))
        clicks.add(record, rates)
    found = (clicks.labelled(least_clicks) for clicks in by_query.values())
    return [query for query in found if query.relevant]


@dataclass(slots=True)
class _Clicks:
    """Clicks on the documents of one query, and those that their places would have had of any document."""

    text: str
    clicked: dict[str, int] = field(default_factory=dict)
    expected: dict[str, float] = field(default_factory=dict)

    def add(self, record: ClickRecord, rates: list[float]) -> None:
        for document in record.clicked:
            self.clicked[document] = self.clicked.get(document, 0) + 1
        for document, rate in zip(record.shown or (), rates, strict=False):
            self.expected[document] = self.expected.get(document, 0.0) + rate

    def labelled(self, least_clicks: int) -> LabelledQuery:
        kept = [
            document
            for document, clicks in self.clicked.items()
            if clicks >= max(least_clicks, self.expected.get(document, 0.0) * (1 - _ROUNDING))
        ]
        return LabelledQuery(text=self.text, relevant=tuple(sorted(kept, key=lambda one: -self.clicked[one])))


def _rates_by_rank(records: Iterable[ClickRecord]) -> list[float]:
    """The share of showings at each rank that were clicked, drawn a little to the share at all ranks together."""
    shown: list[int] = []
    clicked: list[int] = []
    for record in records:
        documents = record.shown or ()
        longer = len(documents) - len(shown)
        shown.extend([0] * longer)
        clicked.extend([0] * longer)
        chosen = set(record.clicked)
        for rank, document in enumerate(documents):
            shown[rank] += 1
            clicked[rank] += document in chosen
    mean = sum(clicked) / max(1, sum(shown))
    return [(clicks + mean) / (times + 1) for clicks, times in zip(clicked, shown, strict=True)]


def _record_of(values: Mapping[str, Any], place: str) -> ClickRecord:
    query = " ".join(query_of(values, place).split())
    clicked = tuple(dict.fromkeys(document_ids_of(values, "clicked", place)))
    if values.get("shown") is None:
        return ClickRecord(query, None, clicked)
    shown = document_ids_of(values, "shown", place)
    if len(set(shown)) < len(shown):
        twice = next(document for rank, document in enumerate(shown) if document in shown[:rank])
        raise CorpusError(f"{place} shows document {twice!r} twice; name every document once, at its first place")
    unseen = [document for document in clicked if document not in set(shown)]
    if unseen:
        raise CorpusError(
            f"{place} has a click on {unseen[0]!r}, which is not among the {len(shown)} documents shown; name all that "
            f"were shown, or leave 'shown' out"
        )
    return ClickRecord(query, shown, clicked)
