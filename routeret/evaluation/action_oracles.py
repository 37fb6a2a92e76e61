"""The oracles over all that a router may do with a query: every expert at every strength and weight of BM25."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from routeret.evaluation.action_scores import WITHOUT_LEXICAL, scores_of_actions
from routeret.evaluation.actions import Action, dense_actions, routing_of, with_lexical
from routeret.evaluation.judged_documents import JudgedDocuments
from routeret.evaluation.null import null_pool
from routeret.evaluation.oracles import (
    DATASET_ORACLE,
    HYBRID_SUFFIX,
    NULL_SUFFIX,
    ORACLES,
    QUERY_ORACLE,
    STRENGTHS_SUFFIX,
)
from routeret.retriever.ranking import Ranking
from routeret.retriever.searching import Block, Searcher
from routeret.routing import LEXICAL_WEIGHTS
from routeret.significance import DoubleArray

ACTION_ORACLES = tuple(name for name in ORACLES if STRENGTHS_SUFFIX in name or HYBRID_SUFFIX in name)
"""The names of the oracles of this module."""

_WEIGHTS_BY_SUFFIX = {STRENGTHS_SUFFIX: WITHOUT_LEXICAL, HYBRID_SUFFIX: LEXICAL_WEIGHTS}


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The pool, or the random maps in its place.

    Attributes:
        ending: of the oracles' names.
        searcher: with that pool.
        actions: without lexical weights.
        totals: by suffix, the sum of nDCG@10 over the queries so far by action, float64.
    """

    ending: str
    searcher: Searcher
    actions: tuple[Action, ...]
    totals: dict[str, DoubleArray] = field(default_factory=dict)


class ActionOracles:
    """The oracles over all actions on one data set.

    Actions are compared by nDCG@10, of equal ones the first counts: the base, then experts in the pool's order, lower
    strengths and weights first. What is chosen is then searched as a retriever does, so that all measures of an
    oracle are those of rankings that there are.
    """

    def __init__(self, searcher: Searcher, judged: JudgedDocuments, *, wanted: Collection[str]) -> None:
        """Choose the oracles.

        Args:
            searcher: searches the index with the pool.
            judged: the relevant documents of all queries of the data set.
            wanted: which of :data:`ACTION_ORACLES`; may be none.
        """
        self._judged = judged
        self._wanted = [name for name in ACTION_ORACLES if name in wanted]
        self._sides = [_Side("", searcher, dense_actions(searcher.pool))]
        if any(name.endswith(NULL_SUFFIX) for name in self._wanted):
            nulls = null_pool(searcher.pool)
            if nulls is not None:
                self._sides.append(_Side(NULL_SUFFIX, Searcher(searcher.index, nulls), dense_actions(nulls)))

    @property
    def chooses_by_set(self) -> bool:
        """Whether the queries must be searched again, with what is best over all of them."""
        return any(name.startswith(DATASET_ORACLE) for name in self._wanted)

    def rank(self, block: Block, k: int, *, start: int) -> Iterator[tuple[str, Ranking | None]]:
        """What the query oracles find for some queries.

        Args:
            block: the queries.
            k: how many documents.
            start: the number of its first query in the data set.

        Returns:
            Name and ranking; None for random maps where an expert is not linear.
        """
        found: dict[str, Ranking] = {}
        for side in self._sides:
            found |= self._query_oracles(side, block, k, judged=self._judged.part(start, start + len(block)))
        for name in self._wanted:
            if not name.startswith(DATASET_ORACLE):
                yield name, found.get(name)

    def rank_chosen(self, block: Block, k: int) -> Iterator[tuple[str, Ranking]]:
        """What the data-set oracles find for some queries, when :meth:`rank` has seen all of them.

        Args:
            block: the queries.
            k: how many documents.
        """
        (side, *_) = self._sides
        for suffix, weights in _WEIGHTS_BY_SUFFIX.items():
            if DATASET_ORACLE + suffix in self._wanted:
                actions = with_lexical(side.actions, weights)
                best = actions[int(side.totals[suffix].argmax())]
                yield DATASET_ORACLE + suffix, _searched(side.searcher, block, [best] * len(block), k)

    def _query_oracles(self, side: _Side, block: Block, k: int, *, judged: JudgedDocuments) -> dict[str, Ranking]:
        suffixes = [suffix for suffix in _WEIGHTS_BY_SUFFIX if self._needs(suffix, side)]
        if not suffixes:
            return {}
        # The last has most weights, and begins with those of the others.
        widest = _WEIGHTS_BY_SUFFIX[suffixes[-1]]
        scores = scores_of_actions(side.searcher, block, side.actions, judged=judged, lexical=widest)
        found = {}
        for suffix in suffixes:
            weights = _WEIGHTS_BY_SUFFIX[suffix]
            values = scores[:, :, : len(weights)].reshape(len(block), -1)
            side.totals[suffix] = side.totals.get(suffix, 0.0) + values.sum(axis=0, dtype=np.float64)
            name = QUERY_ORACLE + suffix + side.ending
            if name in self._wanted:
                actions = with_lexical(side.actions, weights)
                best = [actions[number] for number in values.argmax(axis=1).tolist()]
                found[name] = _searched(side.searcher, block, best, k)
        return found

    def _needs(self, suffix: str, side: _Side) -> bool:
        names = [QUERY_ORACLE + suffix + side.ending]
        if not side.ending:
            names.append(DATASET_ORACLE + suffix)
        return any(name in self._wanted for name in names)


def _searched(searcher: Searcher, block: Block, actions: Sequence[Action], k: int) -> Ranking:
    return searcher.rank(block, routing_of(actions, searcher.pool.names), k)
