"""Two runs over the same queries, compared query by query."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from routeret.datasets import load_dataset, read_run
from routeret.errors import InputError
from routeret.evaluation.clusters import query_clusters
from routeret.evaluation.self_hits import without_self_hits
from routeret.measures import MEASURES, NDCG, measure
from routeret.significance import MARGIN, PairedTest, paired_test
from routeret.types import Qrels, Run

CHANGES = 10
"""How many of the queries that changed most a comparison names."""


@dataclass(frozen=True, slots=True)
class Change:
    """A query on which two runs differ.

    Attributes:
        query_id: its id.
        text: its text; empty where that was not given.
        baseline: what the baseline scores on it.
        run: what the run scores on it.
    """

    query_id: str
    text: str
    baseline: float
    run: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a run does against a baseline.

    Attributes:
        measure: what is compared.
        run: mean of the run.
        baseline: mean of the baseline.
        test: the difference run minus baseline, with its interval and p-value.
        wins: on how many queries the run is better.
        ties: on how many both are equal.
        losses: on how many the baseline is better.
        n_clusters: how many clusters the queries are in; the test draws these whole.
        changes: the queries that changed most, up to ten, the largest change first.
    """

    measure: str
    run: float
    baseline: float
    test: PairedTest
    wins: int
    ties: int
    losses: int
    n_clusters: int
    changes: tuple[Change, ...]

    @property
    def non_inferior(self) -> bool:
        """Whether the run is at most 0.01 worse than the baseline, by the one-sided 97.5 % bound of the interval."""
        return self.test.low > -MARGIN

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "non_inferior": self.non_inferior}

    def __str__(self) -> str:
        """One line with everything but single queries."""
        return (
            f"{self.measure} {self.baseline:.3f} -> {self.run:.3f}: {self.test.mean:+.3f} "
            f"[{self.test.low:+.3f}, {self.test.high:+.3f}], p = {self.test.p_value:.4f}, "
            f"{self.wins} wins, {self.ties} ties, {self.losses} losses over {self.test.n} queries"
        )


def compare(
    run: Run,
    baseline: Run,
    *,
    qrels: Qrels,
    texts: Mapping[str, str] | None = None,
    by: str = NDCG,
    drop_self_hits: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare two runs over all judged queries.

    Queries with much the same relevant documents are drawn together
    (:func:`routeret.evaluation.clusters.query_clusters`). A judged query that a run lacks counts 0 there.

    Args:
        run: the run that may be better.
        baseline: the run to compare with.
        qrels: the judgements.
        texts: text by query id, for the queries that changed most.
        by: one of the measures.
        drop_self_hits: drop hits whose document id equals the query id.
        seed: fixes the resamples of the test.

    Raises:
        InputError: an unknown measure, no judged query, or a run that cannot be measured.
    """
    if by not in MEASURES:
        raise InputError(f"unknown measure {by!r}; expected one of {', '.join(MEASURES)}")
    ours, theirs = (
        {query_id: values[by] for query_id, values in measure(one, qrels, drop_self_hits=drop_self_hits).items()}
        for one in (run, baseline)
    )
    if not ours:
        raise InputError("the qrels judge 0 queries; expected at least one")
    differences = np.array([ours[query_id] - theirs[query_id] for query_id in ours])
    clusters = query_clusters(qrels, list(ours))
    changed = [(query_id, ours[query_id]) for query_id in ours if ours[query_id] != theirs[query_id]]
    changed.sort(key=lambda one: (-abs(one[1] - theirs[one[0]]), one[0]))
    return Comparison(
        measure=by,
        run=float(np.mean(list(ours.values()))),
        baseline=float(np.mean(list(theirs.values()))),
        test=paired_test(differences, clusters=clusters, seed=seed),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        n_clusters=len(np.unique(clusters)),
        changes=tuple(
            Change(query_id, (texts or {}).get(query_id, ""), theirs[query_id], value)
            for query_id, value in changed[:CHANGES]
        ),
    )


def compare_files(
    run: Path | str, baseline: Path | str, *, data: Path | str, split: str = "test", by: str = NDCG, seed: int = 0
) -> Comparison:
    """Compare two runs in TREC form over the judgements of a BEIR folder.

    Document ids stand in a run as they are in the data set, or as ``<set>/<id>``, as one index over several sets has
    them. A hit that is the query itself (the same id and the same text) does not count, as in
    :func:`routeret.evaluation.evaluate`.

    Args:
        run: the file of the run that may be better.
        baseline: the file of the run to compare with.
        data: the BEIR folder.
        split: which queries.
        by: one of the measures.
        seed: fixes the resamples of the test.

    Raises:
        CorpusError: a file cannot be read, or the data set lacks the split.
        InputError: an unknown measure, or a run that has nothing to do with the data set.
    """
    dataset = load_dataset(data)
    texts, qrels = dataset.split(split)
    runs = [_read(Path(path), qrels, prefix=f"{dataset.name}/") for path in (run, baseline)]
    ours, theirs = (without_self_hits(one, texts, dataset.corpus) for one in runs)
    return compare(ours, theirs, qrels=qrels, texts=texts, by=by, seed=seed)


def _read(path: Path, qrels: Qrels, *, prefix: str) -> Run:
    """The run of a file, with the ids of the data set.

    Raises:
        CorpusError: the file cannot be read.
        InputError: no judged query is in it, or no document that is judged relevant.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; give a run in TREC form, as routeret eval --save-runs writes it")
    run = read_run(path)
    if run.keys().isdisjoint(qrels):
        raise InputError(
            f"{path} ranks documents for {len(run)} queries, none of them among the {len(qrels)} judged queries "
            f"({next(iter(qrels))!r} and others); give the data set and split that the run was made over"
        )
    found = {document for hits in run.values() for document in hits}
    relevant = {document for grades in qrels.values() for document, grade in grades.items() if grade > 0}
    for form in ("", prefix):
        if not found.isdisjoint(form + document for document in relevant):
            return {
                query_id: {document.removeprefix(form): score for document, score in hits.items()}
                for query_id, hits in run.items()
            }
    raise InputError(
        f"{path} holds none of the {len(relevant)} relevant documents ({min(relevant, default='none')!r} and others), "
        f"neither as they are nor as {prefix}<id>; give the data set that the run was made over"
    )
