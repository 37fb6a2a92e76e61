"""The queries of a log, some of them perhaps with the documents that were right or clicked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routeret.errors import CorpusError, InputError
from routeret.labelled import document_ids_of, read_queries
from routeret.lines import read_objects

_JSON_LINES = (".jsonl", ".jsonl.gz")
_LABELS = ("relevant", "clicked")


@dataclass(frozen=True, slots=True)
class QueryLog:
    """Queries as they were asked, repeated ones as often as they came.

    Attributes:
        texts: at least one, none blank.
        relevant: ids of the documents that are right for each query, or were clicked; empty where none is known.
    """

    texts: tuple[str, ...]
    relevant: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        """Refuse what is no log."""
        if not self.texts:
            raise InputError("the query log is empty; expected at least one query")
        if len(self.relevant) != len(self.texts):
            raise InputError(
                f"the query log has {len(self.texts)} queries and documents for {len(self.relevant)}; expected a tuple "
                f"of ids for every query, an empty one where none is known"
            )
        for number, text in enumerate(self.texts):
            if not text.strip():
                raise InputError(f"query {number} of the log is blank ({text!r}); expected a text")

    @classmethod
    def unlabelled(cls, texts: Sequence[str]) -> "QueryLog":
        """Queries of which no right document is known.

        Raises:
            InputError: there is none, or one is blank.
        """
        return cls(tuple(texts), ((),) * len(texts))


def read_log(path: Path | str) -> QueryLog:
    """The queries of a file, in its order.

    Args:
        path: ``.jsonl`` or ``.jsonl.gz`` with ``query`` or ``text`` in every object, and ``relevant`` or ``clicked``,
            a list of document ids, where some are known; an empty list says that none is. Any other file, plain or
            ``.gz``, holds one query a line. Blank lines are left out.

    Raises:
        CorpusError: the file is missing or empty, or a line cannot be read; the file and line are named.
    """
    path = Path(path)
    texts = read_queries(path)
    if not path.name.endswith(_JSON_LINES):
        return QueryLog.unlabelled(texts)
    return QueryLog(tuple(texts), tuple(_documents_of(values, place) for values, place in read_objects(path)))


def _documents_of(values: Mapping[str, Any], place: str) -> tuple[str, ...]:
    fields = [name for name in _LABELS if name in values]
    if not fields:
        return ()
    if len(fields) > 1:
        raise CorpusError(f"{place} has both 'relevant' and 'clicked'; expected one of them")
    return tuple(dict.fromkeys(document_ids_of(values, fields[0], place)))
