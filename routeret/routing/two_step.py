"""The router that guesses a query's training corpus, and looks up which expert gains most there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from routeret.protocols import PoolMember
from routeret.routing.classifiers import REGULARISATION
from routeret.routing.corpus_guess import CorpusGuess
from routeret.routing.decisions import RoutingBatch
from routeret.routing.picking import best_action, gain_table, names_of, picked
from routeret.routing.pilots import PilotLibrary
from routeret.types import FloatArray, IntArray, QueryBatch


@dataclass(frozen=True, slots=True)
class TwoStepRouter:
    """One expert a query: that of the likeliest training corpus, or the base where none gains there.

    The two steps of Composition of Experts (arXiv 2412.01868): from the query to its category, from the category to an
    expert by a table. Here the categories are the training corpora, a logistic regression on the base's query
    embedding tells them apart, and the table holds the expert and strength with the highest mean gain on each corpus.
    There is no budget for experts. The utility router mixes over the same table instead of looking up one row.

    Attributes:
        expert_names: the pool, in the order of its columns.
        corpora: names of the training corpora.
        guess: from query to training corpus.
        columns: int64, shape (n_corpora,); the expert of each corpus, -1 for the base.
        strengths: float32, shape (n_corpora,); of that expert, 0 for the base.
        gains: float32, shape (n_corpora, n_experts); the mean gain of each expert at its best strength.
    """

    expert_names: tuple[str, ...]
    corpora: tuple[str, ...]
    guess: CorpusGuess
    columns: IntArray
    strengths: FloatArray
    gains: FloatArray

    @classmethod
    def fit(
        cls, library: PilotLibrary, experts: Sequence[PoolMember], *, regularisation: float = REGULARISATION
    ) -> "TwoStepRouter":
        """Learn from the pilots; seconds.

        Args:
            library: all pilots teach the guess; the table has gain 0 where an expert was not measured on a corpus.
            experts: the pool.
            regularisation: inverse strength C of the regression.

        Raises:
            InputError: no expert was measured on any pilot.
        """
        table = gain_table(library, experts)
        actions = [best_action(row) for row in table]
        return cls(
            expert_names=names_of(experts),
            corpora=tuple(corpus.name for corpus in library.corpora),
            guess=CorpusGuess.fit([corpus.vectors for corpus in library.corpora], regularisation=regularisation),
            columns=np.array([column for column, _ in actions], dtype=np.int64),
            strengths=np.array([strength for _, strength in actions], dtype=np.float32),
            gains=table.max(axis=2),
        )

    def route(self, queries: QueryBatch, *, known: FloatArray) -> RoutingBatch:
        """The decisions for some queries.

        Args:
            queries: with their base embeddings.
            known: reported in the result; this router does not look at it.
        """
        probabilities = self.guess.probabilities(queries.base)
        likeliest = probabilities.argmax(axis=1)
        decided = picked(
            self.columns[likeliest],
            expert_names=self.expert_names,
            strengths=self.strengths[likeliest][:, None],
            known=known,
        )
        return replace(decided, gains=self.gains[likeliest], corpora=self.corpora, corpus_probabilities=probabilities)
