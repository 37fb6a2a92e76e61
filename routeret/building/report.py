"""What bringing corpora to an index did."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from routeret.index import ChangeReport
from routeret.training.unlabelled import UnlabelledReport


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport(ChangeReport):
    """What a call changed in an index, and what the index holds now.

    Attributes:
        index: the index's folder.
        n_documents: how many documents it holds now.
        n_by_corpus: how many documents were read from each corpus.
        tuned: what tuning without labels gave; None where it was not asked for.
        unprepared: why this machine could not be prepared for searching the index, which is whole all the same; None
            where it was, or where that was not asked for.
    """

    index: str
    n_documents: int
    n_by_corpus: Mapping[str, int]
    tuned: UnlabelledReport | None = None
    unprepared: str | None = None

    @classmethod
    def of(
        cls, change: ChangeReport, *, index: Path, n_documents: int, n_by_corpus: Mapping[str, int]
    ) -> "BuildReport":
        """The report of a change.

        Args:
            change: what the index says about it.
            index: the index's folder.
            n_documents: how many documents the index holds now.
            n_by_corpus: how many documents were read from each corpus.
        """
        rounded = replace(change, seconds=round(change.seconds, 3))
        return cls(index=str(index), n_documents=n_documents, n_by_corpus=dict(n_by_corpus), **rounded.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        change = {name: getattr(self, name) for name in ChangeReport.__dataclass_fields__}
        return {
            "index": self.index,
            "n_documents": self.n_documents,
            "n_by_corpus": dict(self.n_by_corpus),
            **change,
            **({} if self.tuned is None else {"tuned": self.tuned.as_dict()}),
            **({} if self.unprepared is None else {"unprepared": self.unprepared}),
        }
