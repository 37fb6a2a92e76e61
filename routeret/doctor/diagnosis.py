"""What a query log says about a pool, as plain values."""

from dataclasses import asdict, dataclass
from typing import Any

from routeret.significance import PairedTest

FEWEST_CLUSTERS = 6
"""Of fewer labelled queries that do not depend on each other no harm is told: a sign test over 5 that all agree gives
p = 2 / 2^5, more than 0.05."""


@dataclass(frozen=True, slots=True)
class ExpertUse:
    """What one expert does for the queries of a log.

    Attributes:
        name: the expert's.
        weight: its mean weight over all queries.
        wins: share of the queries in which its weight is the largest, the base's included.
        acts: share of the queries in which its weight is at least 1 %.
        strength: its mean strength where it acts; None where it never does.
        predicted_gain: the mean gain in nDCG@10 that the router predicts where it acts; None where it never does.
        effect: nDCG@10 of the routed search minus that without this expert, over the labelled queries; None where
            there are none.
    """

    name: str
    weight: float
    wins: float
    acts: float
    strength: float | None
    predicted_gain: float | None
    effect: PairedTest | None = None


@dataclass(frozen=True, slots=True)
class Typical:
    """A query that stands for others.

    Attributes:
        query: the text.
        n_near: for how many queries it stands, itself included.
    """

    query: str
    n_near: int


@dataclass(frozen=True, slots=True)
class Drift:
    """The queries that match no expert: unlike every training corpus, with first hits that no expert knows.

    Attributes:
        n_far: how many.
        share: of all queries.
        typical: some of them that stand for many, up to five.
    """

    n_far: int
    share: float
    typical: tuple[Typical, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """How the pool of an index does on the queries of a log.

    Attributes:
        index: the index's folder.
        n_queries: how many queries.
        n_labelled: of how many of them right documents are known.
        n_clusters: how many clusters these are in; queries with much the same right documents are in one.
        base_weight: mean weight of the base.
        base_wins: share of the queries in which no expert has a larger weight than the base.
        experts: in the order of the pool.
        entropy: of the mean weights of base and experts, from 0 (one has it all) to 1 (all have the same).
        query_entropy: mean over the queries of the entropy of their weights, on the same scale.
        held_back: share of the queries for which the router went less far than the predicted gains say.
        turned: share of the queries that the index's own map turned.
        lexical_weight: mean weight of BM25, relative to a cosine.
        likeness: how many queries have a likeness to the nearest training corpus in each tenth from 0 to 1.
        drift: the queries that match no expert.
    """

    index: str
    n_queries: int
    n_labelled: int
    n_clusters: int
    base_weight: float
    base_wins: float
    experts: tuple[ExpertUse, ...]
    entropy: float
    query_entropy: float
    held_back: float
    turned: float
    lexical_weight: float
    likeness: tuple[int, ...]
    drift: Drift

    @property
    def never_act(self) -> tuple[str, ...]:
        """The experts whose weight is below 1 % for every query."""
        return tuple(expert.name for expert in self.experts if expert.acts == 0)

    @property
    def never_win(self) -> tuple[str, ...]:
        """The experts whose weight is the largest for no query, those that never act included."""
        return tuple(expert.name for expert in self.experts if expert.wins == 0)

    @property
    def harmful(self) -> tuple[str, ...]:
        """The experts without which the search finds more: the whole 95 % interval of their effect is below 0."""
        if self.n_clusters < FEWEST_CLUSTERS:
            return ()
        return tuple(expert.name for expert in self.experts if expert.effect is not None and expert.effect.high < 0)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            **asdict(self),
            "never_act": list(self.never_act),
            "never_win": list(self.never_win),
            "harmful": list(self.harmful),
        }
