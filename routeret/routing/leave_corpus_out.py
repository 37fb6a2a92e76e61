"""Pilots as if their corpus were unknown: what the router would have predicted there, and what came of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from routeret.routing.corpus_guess import CorpusGuess
from routeret.routing.gain_table import GainTable
from routeret.routing.likeness import CorpusLikeness
from routeret.routing.pilots import STRENGTHS, PilotLibrary, measured_rows
from routeret.types import FloatArray

MOST_EXAMPLES = 200_000
"""How many predictions are looked at, at most; from a larger library fewer pilots of every corpus are taken."""

_LEAST_PILOTS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Predicted and measured gains of one expert on the pilots of one corpus.

    Attributes:
        corpus: number of the corpus in the library.
        source: what the corpus was made from.
        expert: column of the expert.
        is_known: whether the expert was trained on the corpus, so that its documents are known.
        predicted: float32, shape (n_pilots, n_strengths).
        rates: float32, shape (n_pilots, n_strengths); how often the expert gains on corpora like this one, not counting
            the pilot itself; 0 where the documents are unknown, since other corpora do not tell.
        measured: float32, shape (n_pilots, n_strengths); change of nDCG@10 against the base.
        relatives: numbers of the corpora that tell of this one, itself among them; see
            :meth:`routeret.routing.pilots.PilotLibrary.relatives`.
    """

    corpus: int
    source: str
    expert: int
    is_known: bool
    predicted: FloatArray
    rates: FloatArray
    measured: FloatArray
    relatives: tuple[int, ...] = ()

    def __len__(self) -> int:
        """How many predictions: one a pilot and strength."""
        return self.predicted.size


def examples(
    library: PilotLibrary,
    experts: Sequence[str],
    *,
    guess: CorpusGuess,
    likeness: CorpusLikeness,
    table: GainTable,
    shrinkage: float,
) -> list[Examples]:
    """What the router would have predicted, and what was measured.

    Every corpus plays the unknown one for the experts that were not trained on it: its own probability, and that of
    all corpora of the same source or that share more than 1 % of its queries, goes to the others. An expert that was
    trained on one of those, but not on the corpus itself, is left out.

    Args:
        library: the pilots.
        experts: the pool.
        guess: fitted on the pilots.
        likeness: fitted on the pilots.
        table: of the same corpora and experts.
        shrinkage: that the table was fitted with.
    """
    pairs = list(_pairs(library, experts))
    most = max(_LEAST_PILOTS, MOST_EXAMPLES // max(len(pairs) * len(STRENGTHS), 1))
    found = []
    for row, column, relatives in pairs:
        corpus = library.corpora[row]
        gains = corpus.gains[experts[column]]
        measured = np.flatnonzero(np.isfinite(gains).all(axis=1))
        chosen = measured[np.linspace(0, len(measured) - 1, min(len(measured), most)).astype(np.int64)]
        vectors, is_known = corpus.vectors[chosen], experts[column] in corpus.home_experts
        own = table.of_experts([column])
        if is_known:
            probabilities = guess.probabilities(vectors)
            predicted = own.expected(probabilities)[:, 0]
            # A rate over n pilots counts as one over n + shrinkage, of which the pilot itself is one.
            n_counted = len(measured) + shrinkage
            others = (own.rates[row, 0] * n_counted - (gains[chosen] > 0)) / max(n_counted - 1, 1)
            rates = own.gaining(probabilities)[:, 0]
            rates += probabilities[:, [row]] * (np.clip(others, 0, 1) - own.rates[row, 0])
        else:
            probabilities = guess.without(relatives).probabilities(vectors)
            predicted = own.expected(probabilities * likeness.of(vectors))[:, 0]
            rates = np.zeros_like(predicted)
        source = corpus.source or corpus.name
        found.append(Examples(row, source, column, is_known, predicted, rates, gains[chosen], tuple(relatives)))
    return found


def _pairs(library: PilotLibrary, experts: Sequence[str]) -> Iterator[tuple[int, int, list[int]]]:
    """Corpus and expert of every pair that teaches something, with the relatives of the corpus."""
    for row, corpus in enumerate(library.corpora):
        relatives = library.relatives(row)
        may_be_strange = len(relatives) < len(library.corpora)
        trained = library.trained_on(relatives)
        for column, expert in enumerate(experts):
            is_known = expert in corpus.home_experts
            teaches = is_known or (may_be_strange and expert not in trained)
            if teaches and len(measured_rows(corpus.gains.get(expert))):
                yield row, column, relatives
