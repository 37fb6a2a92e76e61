"""What an evaluation measures, and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from routeret.chunking import Chunker


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """What is measured, and how; the same for one pack, for several trainings of one, and for an index.

    Attributes:
        split: which queries.
        systems: which systems, and always the base; ``"baselines"`` stands for every router that routing is compared
            with, ``"oracles"`` for all oracles, ``"usual"`` for what None takes: all but those of
            :data:`~routeret.evaluation.systems.ON_REQUEST`.
        merged: with a pack, search one index that holds all corpora instead of one a set; document ids are
            ``<set>/<id>`` there. With an index, only written into the report.
        leave_out: measure every set with a pool that has never seen it: without the training corpora of its name and
            source, and without every expert that was trained on one of them or over more than 1 % of its documents.
        chunker: with a pack, cuts documents into spans; None leaves them whole. An index has its own.
        save_runs: write every run in TREC form as ``<folder>/<set>/<system>.trec``; of several trainings as
            ``<folder>/<number>/<set>/<system>.trec``, numbers from 1.
        cache: keep embeddings in this folder for the next evaluation; several trainings share them.
    """

    split: str = "test"
    systems: Sequence[str] | None = None
    merged: bool = False
    leave_out: bool = False
    chunker: Chunker | None = None
    save_runs: Path | str | None = None
    cache: Path | str | None = None
