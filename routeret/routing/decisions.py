"""What routers decide for a batch of queries: a weight per expert and the base, a strength, a lexical weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from routeret.routing.calibration import NORMAL_95
from routeret.routing.prospects import Prospects
from routeret.routing.restraint import Restraint
from routeret.routing.standing import CorpusStanding
from routeret.types import BASE, LEXICAL, BoolArray, FloatArray, Pilot, QueryBatch, Routing

_SHOWN_CORPORA = 3


@dataclass(frozen=True, slots=True)
class RoutingBatch:
    """Decisions for n_queries queries over a pool of n_experts experts of one space.

    Attributes:
        experts: their names; the columns of the arrays below.
        weights: float32, shape (n_queries, 1 + n_experts); column 0 is the base; rows sum to 1.
        strengths: float32, shape (n_queries, n_experts); how strongly each expert is applied, 0 is the base itself.
        lexical: float32, shape (n_queries,); weight of a query's BM25 score, divided by its best, beside the cosine.
        gains: float32, shape (n_queries, n_experts); predicted change of nDCG@10 against the base.
        corpora: names of the training corpora; the columns of the next array.
        corpus_probabilities: float32, shape (n_queries, n_corpora).
        known: float32, shape (n_queries, n_experts); share of the base's first hits that each expert knows.
        adaptation: float32, shape (n_queries,); how strongly the index's own map turns the query; see
            :func:`routeret.routing.whitening.whitening`.
        standing: what it counts for a document in which training corpora it stands; None where that is nothing.
        prospects: how far the gains are to be believed; None where the router does not say.
        restraint: where experts act less strongly than their gains say; None where the router holds nobody back.
    """

    experts: tuple[str, ...]
    weights: FloatArray
    strengths: FloatArray
    lexical: FloatArray
    gains: FloatArray
    corpora: tuple[str, ...]
    corpus_probabilities: FloatArray
    known: FloatArray
    adaptation: FloatArray
    standing: CorpusStanding | None = None
    prospects: Prospects | None = None
    restraint: Restraint | None = None

    @classmethod
    def constant(
        cls,
        experts: Sequence[str],
        n_queries: int,
        *,
        weights: Mapping[str, float],
        strengths: Mapping[str, float],
        lexical: float = 0.0,
    ) -> "RoutingBatch":
        """The same decision for every query.

        Args:
            experts: the names in the pool.
            n_queries: how many queries.
            weights: by expert name and ``"base"``; what is not named has weight 0. They must sum to 1.
            strengths: by expert name; an expert that is not named has strength 0.
            lexical: weight of the lexical score.
        """
        names = (BASE, *experts)
        n_experts = len(experts)
        row = np.array([weights.get(name, 0.0) for name in names], dtype=np.float32)
        strength_row = np.array([strengths.get(name, 0.0) for name in experts], dtype=np.float32)
        return cls(
            experts=tuple(experts),
            weights=np.tile(row, (n_queries, 1)),
            strengths=np.tile(strength_row, (n_queries, 1)),
            lexical=np.full(n_queries, lexical, dtype=np.float32),
            gains=np.zeros((n_queries, n_experts), dtype=np.float32),
            corpora=(),
            corpus_probabilities=np.zeros((n_queries, 0), dtype=np.float32),
            known=np.zeros((n_queries, n_experts), dtype=np.float32),
            adaptation=np.zeros(n_queries, dtype=np.float32),
        )

    def __len__(self) -> int:
        """How many queries."""
        return len(self.weights)

    @property
    def held_back(self) -> BoolArray:
        """For which queries the router went less far than the predicted gains say, shape (n_queries,)."""
        return np.zeros(len(self), dtype=np.bool_) if self.restraint is None else self.restraint.held_back

    def explain(self, query: int, *, pilots: Sequence[Pilot] = ()) -> Routing:
        """The decision for one query in words and names.

        Args:
            query: its number in the batch.
            pilots: the pilot queries nearest to it.
        """
        gains = self._by_expert(self.gains[query])
        ranked = sorted([0.0, *gains.values()], reverse=True)
        weights = {
            name: float(weight)
            for name, weight in zip((BASE, *self.experts), self.weights[query], strict=True)
            if weight > 0
        }
        if self.lexical[query] > 0:
            weights[LEXICAL] = float(self.lexical[query])
        likeliest = np.argsort(-self.corpus_probabilities[query], kind="stable")[:_SHOWN_CORPORA]
        return Routing(
            weights=dict(sorted(weights.items(), key=lambda item: -item[1])),
            strengths={
                name: float(strength)
                for name, strength in zip(self.experts, self.strengths[query], strict=True)
                if weights.get(name)
            },
            predicted_gains=dict(sorted(gains.items(), key=lambda item: -item[1])),
            margin=ranked[0] - ranked[1] if len(ranked) > 1 else 0.0,
            held_back=bool(self.held_back[query]),
            reason=self._reason(query),
            corpora={self.corpora[i]: float(self.corpus_probabilities[query, i]) for i in likeliest},
            known_documents=self._by_expert(self.known[query]),
            pilots=pilots,
            adaptation=float(self.adaptation[query]),
            gain_intervals=self._gain_intervals(query),
            helps={} if self.prospects is None else self._by_expert(self.prospects.helps[query]),
        )

    def _by_expert(self, values: FloatArray) -> dict[str, float]:
        return dict(zip(self.experts, values.tolist(), strict=True))

    def _gain_intervals(self, query: int) -> dict[str, tuple[float, float]]:
        if self.prospects is None:
            return {}
        reach = NORMAL_95 * self.prospects.errors[query]
        lows, highs = self.gains[query] - reach, self.gains[query] + reach
        return dict(zip(self.experts, zip(lows.tolist(), highs.tolist(), strict=True), strict=True))

    def _reason(self, query: int) -> str:
        """Why the router held back, in words; empty where it did not."""
        if self.restraint is not None and self.restraint.held_back[query]:
            column = int(self.restraint.most[query])
            return (
                f"{self.experts[column]} was trained over {self.known[query, column]:.0%} of the documents that the "
                f"base finds first, too few to act at full strength"
            )
        if len(self.experts) and self.prospects is not None and not self.weights[query, 1:].any():
            return "no expert is expected to gain"
        return ""


@runtime_checkable
class Router(Protocol):
    """Decides, for every query, how much of which expert it gets."""

    @property
    def expert_names(self) -> tuple[str, ...]:
        """The experts that it weighs, in the order of its columns."""

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: float32, shape (n_queries, n_experts); share of the base's first hits that each expert was
                trained over.
        """
