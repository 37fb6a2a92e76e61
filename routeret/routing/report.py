"""What a router has learned, and how far it is to be believed."""

from dataclasses import dataclass
from typing import Any

from routeret.routing.leave_corpus_out import examples
from routeret.routing.pilots import STRENGTHS
from routeret.routing.reliability import Reliability, reliability_of
from routeret.routing.utility import UtilityRouter


@dataclass(frozen=True, slots=True)
class LearnedGain:
    """What an expert gains on a training corpus, at the strength at which it gains most.

    Attributes:
        expert: its name.
        strength: where it gains most.
        mean: change of nDCG@10 against the base, shrunk towards 0.
        error: standard error of the mean.
        rate: share of the pilots on which it gains.
        is_home: whether it was trained on the corpus.
    """

    expert: str
    strength: float
    mean: float
    error: float
    rate: float
    is_home: bool


@dataclass(frozen=True, slots=True)
class LearnedCorpus:
    """What a router knows of a training corpus.

    Attributes:
        name: of the corpus.
        n_pilots: how many queries it was learned from.
        lexical_weight: the weight of BM25 that suits it.
        gains: of every expert, in the order of the pool.
    """

    name: str
    n_pilots: int
    lexical_weight: float
    gains: tuple[LearnedGain, ...]


@dataclass(frozen=True, slots=True)
class RouterReport:
    """What a router has learned.

    Attributes:
        experts: the pool.
        corpora: the training corpora.
        reliability: of what it promises of its experts, every corpus left out once; None where there are no two
            sources of corpora.
    """

    experts: tuple[str, ...]
    corpora: tuple[LearnedCorpus, ...]
    reliability: Reliability | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "experts": list(self.experts),
            "corpora": [
                {
                    "name": corpus.name,
                    "n_pilots": corpus.n_pilots,
                    "lexical_weight": corpus.lexical_weight,
                    "gains": [{name: getattr(gain, name) for name in gain.__slots__} for gain in corpus.gains],
                }
                for corpus in self.corpora
            ],
            "reliability": None if self.reliability is None else self.reliability.as_dict(),
        }


def report_of(router: UtilityRouter) -> RouterReport:
    """Read the pilots of a router and look at what it would have promised on them; seconds.

    Args:
        router: fitted.
    """
    library, table = router.library, router.table
    corpora = []
    for row, corpus in enumerate(library.corpora):
        gains = []
        for column, expert in enumerate(router.expert_names):
            at = int(table.means[row, column].argmax())
            place = (row, column, at)
            gains.append(
                LearnedGain(
                    expert=expert,
                    strength=STRENGTHS[at],
                    mean=float(table.means[place]),
                    error=float(table.errors[place]),
                    rate=float(table.rates[place]),
                    is_home=expert in corpus.home_experts,
                )
            )
        weight = float(router.lexical_weights[row])
        corpora.append(LearnedCorpus(corpus.name, len(corpus.texts), weight, tuple(gains)))
    found = examples(
        library,
        router.expert_names,
        guess=router.guess,
        likeness=router.likeness,
        table=table,
        shrinkage=router.settings.shrinkage,
    )
    return RouterReport(router.expert_names, tuple(corpora), reliability_of(found))
