"""Two runs over the same queries, compared query by query."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from routeret.errors import InputError
from routeret.measures import MEASURES, NDCG, measure
from routeret.significance import PairedTest, paired_test
from routeret.types import Qrels, Run


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
    """

    measure: str
    run: float
    baseline: float
    test: PairedTest
    wins: int
    ties: int
    losses: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        """One line with everything."""
        return (
            f"{self.measure} {self.baseline:.3f} -> {self.run:.3f}: {self.test.mean:+.3f} "
            f"[{self.test.low:+.3f}, {self.test.high:+.3f}], p = {self.test.p_value:.4f}, "
            f"{self.wins} wins, {self.ties} ties, {self.losses} losses over {self.test.n} queries"
        )


def compare(
    run: Run, baseline: Run, *, qrels: Qrels, by: str = NDCG, drop_self_hits: bool = False, seed: int = 0
) -> Comparison:
    """Compare two runs over all judged queries.

    Args:
        run: the run that may be better.
        baseline: the run to compare with.
        qrels: the judgements.
        by: one of the measures.
        drop_self_hits: drop hits whose document id equals the query id.
        seed: fixes the resamples of the test.

    Raises:
        InputError: an unknown measure, no judged query, or a run that cannot be measured.
    """
    if by not in MEASURES:
        raise InputError(f"unknown measure {by!r}; expected one of {', '.join(MEASURES)}")
    ours, theirs = (
        np.array([values[by] for values in measure(one, qrels, drop_self_hits=drop_self_hits).values()])
        for one in (run, baseline)
    )
    if len(ours) == 0:
        raise InputError("the qrels judge 0 queries; expected at least one")
    return Comparison(
        measure=by,
        run=float(ours.mean()),
        baseline=float(theirs.mean()),
        test=paired_test(ours - theirs, seed=seed),
        wins=int((ours > theirs).sum()),
        ties=int((ours == theirs).sum()),
        losses=int((ours < theirs).sum()),
    )
