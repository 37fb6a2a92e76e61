"""Documents out of an index, by ids or by a filter, and what that would take out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from routeret.conditions import Filter
from routeret.errors import CorpusError
from routeret.lines import read_lines
from routeret.retriever import Retriever


@dataclass(frozen=True, slots=True)
class DeleteReport:
    """What a call took out of an index, or would take out.

    Attributes:
        index: the index's folder.
        removed: how many documents were removed, or would be.
        n_documents: how many documents are left, or would be.
        is_dry_run: whether nothing was removed.
    """

    index: str
    removed: int
    n_documents: int
    is_dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def delete_documents(
    path: Path | str,
    ids: Sequence[str] | None = None,
    *,
    filter: Filter | None = None,
    is_dry_run: bool = False,
) -> DeleteReport:
    """Take documents out of an index: all that are named or, if one is unknown, none.

    Args:
        path: the index's folder.
        ids: document ids.
        filter: which documents, by their metadata, instead of ids.
        is_dry_run: only count.

    Raises:
        UnknownDocumentError: an id is not in the index; nothing was removed.
        InputError: neither or both were given, or the filter names a field that no document has.
        IndexLockedError: another process is writing.
    """
    with Retriever.open(path) as retriever:
        if is_dry_run and (ids is None) != (filter is None):
            removed = _n_matching(retriever, ids, filter)
            left = len(retriever) - removed
        else:
            removed = retriever.delete(ids, filter=filter).removed
            left = len(retriever)
    return DeleteReport(str(path), removed=removed, n_documents=left, is_dry_run=is_dry_run)


def read_ids(path: Path | str) -> list[str]:
    """The ids in a file, plain or ``.gz``, one a line; blank lines are left out.

    Raises:
        CorpusError: the file is missing, holds no id, or is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise CorpusError(f"{path} is no file; give a file with one document id a line")
    ids = [line for line, _ in read_lines(path) if line.strip()]
    if not ids:
        raise CorpusError(f"{path} holds no id; write one document id a line")
    return ids


def _n_matching(retriever: Retriever, ids: Sequence[str] | None, filter: Filter | None) -> int:
    index = retriever.index
    if filter is not None:
        return int((index.matching(filter) & index.live_documents).sum())
    return len(set(index.numbers(ids or ()).tolist()))
