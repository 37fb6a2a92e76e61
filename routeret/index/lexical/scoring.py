"""BM25 as Lucene computes it (Robertson and Zaragoza 2009, section 3.4; Kamphuis et al. 2020, table 1), exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routeret.index.lexical.terms import DocumentTerms
from routeret.index.lexical.tokens import COUNT_BITS, MAX_COUNT, PARAMETERS
from routeret.types import BoolArray, HashArray, IntArray

DoubleArray = NDArray[np.float64]

K1: float = PARAMETERS["k1"]
B: float = PARAMETERS["b"]

_SHIFT = np.uint64(COUNT_BITS)
_COUNT = np.uint64(MAX_COUNT)
_SIEVE_BITS = np.uint64((1 << 14) - 1)


@dataclass(frozen=True, slots=True)
class WeightedQuery:
    """What a query asks for.

    Attributes:
        terms: uint64, shape (n_terms,), rising; each is in some document.
        weights: float64, shape (n_terms,); how rare each term is, times how often the query holds it.
        mean_tokens: mean length of the documents.
    """

    terms: HashArray
    weights: DoubleArray
    mean_tokens: float


def rarity(n_with: DoubleArray | IntArray, *, n_documents: int) -> DoubleArray:
    """Lucene's idf of terms, from how many of the documents hold each; above 0."""
    weights: DoubleArray = np.log1p((n_documents - n_with + 0.5) / (n_with + 0.5))
    return weights


def score(query: WeightedQuery, terms: DocumentTerms, numbers: IntArray) -> DoubleArray:
    """BM25 of some documents, float64, shape (n,); 0 where no term matches.

    Args:
        query: at least one term.
        terms: of all documents.
        numbers: document numbers, shape (n,).
    """
    scores = np.zeros(len(numbers))
    # Most entries match no term: low bits of the terms' numbers, which are hashes, tell that fastest.
    sieve = np.zeros(int(_SIEVE_BITS) + 1, dtype=np.bool_)
    sieve[query.terms & _SIEVE_BITS] = True
    for part, entries, owners in terms.parts(numbers):
        found = entries >> _SHIFT
        kept = np.flatnonzero(sieve[found & _SIEVE_BITS])
        places = np.searchsorted(query.terms, found[kept])
        places[places == len(query.terms)] = 0
        is_match = query.terms[places] == found[kept]
        kept, places = kept[is_match], places[is_match]
        tokens = terms.tokens[numbers[part]][owners[kept]]
        gains = query.weights[places] * saturated(entries[kept], tokens, mean_tokens=query.mean_tokens)
        scores[part] = np.bincount(owners[kept], weights=gains, minlength=part.stop - part.start)
    return scores


def saturated(entries: HashArray, tokens: IntArray, *, mean_tokens: float) -> DoubleArray:
    """What entries count for, each 0 to 1: more with a higher count, less in a longer document.

    Args:
        entries: uint64, shape (n,).
        tokens: how many tokens the document of every entry has, shape (n,).
        mean_tokens: mean length of the documents.
    """
    counts = (entries & _COUNT).astype(np.float64)
    gains: DoubleArray = counts / (counts + K1 * (1 - B + B * tokens / mean_tokens))
    return gains


class TermCounts:
    """How many of some documents hold a term, in memory."""

    def __init__(self, terms: DocumentTerms, is_chosen: BoolArray) -> None:
        """Sort the terms of the chosen documents.

        Args:
            terms: of all documents.
            is_chosen: bool, shape (n,), by number; those behind its end are not chosen.
        """
        nothing = np.zeros(0, dtype=np.uint64)
        found = [entries >> _SHIFT for _, entries, _ in terms.parts(np.flatnonzero(is_chosen))]
        self._sorted = np.sort(np.concatenate([nothing, *found]))

    def n_with(self, terms: HashArray) -> IntArray:
        """How many of the documents hold each term, int64, shape (n_terms,)."""
        if len(self._sorted) == 0:
            return np.zeros(len(terms), dtype=np.int64)
        found = np.searchsorted(self._sorted, terms, side="right") - np.searchsorted(self._sorted, terms)
        return found.astype(np.int64)


class Postings:
    """Some documents by term, in memory; quick to ask for a term, and made anew rather than changed."""

    def __init__(self, terms: DocumentTerms, is_chosen: BoolArray) -> None:
        """Sort the entries of the chosen documents.

        Args:
            terms: of all documents.
            is_chosen: bool, shape (n,), by number; those behind its end are not chosen.
        """
        entries, owners = terms.chosen(is_chosen)
        order = np.argsort(entries, kind="stable")
        self._entries = entries[order]
        self._owners = owners[order]
        self._first = int(owners.min(initial=len(terms)))
        self._terms = terms

    def n_with(self, terms: HashArray) -> IntArray:
        """How many of the documents hold each term, int64, shape (n_terms,)."""
        starts, ends = self._bounds(terms)
        return ends - starts

    def matches(self, query: WeightedQuery) -> tuple[IntArray, DoubleArray]:
        """The documents that hold a term of a query, in rising order, and their BM25, shapes (n,)."""
        if len(self._entries) == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        starts, ends = self._bounds(query.terms)
        # Term by term in rising order, as score() adds up, so that both give the same to the last bit.
        entries = np.concatenate([self._entries[a:b] for a, b in zip(starts, ends, strict=True)])
        owners = np.concatenate([self._owners[a:b] for a, b in zip(starts, ends, strict=True)])
        gains = np.repeat(query.weights, ends - starts)
        gains *= saturated(entries, self._terms.tokens[owners], mean_tokens=query.mean_tokens)
        scores = np.bincount(owners - self._first, weights=gains).astype(np.float64)
        places = np.flatnonzero(scores)
        return self._first + places, scores[places]

    def _bounds(self, terms: HashArray) -> tuple[IntArray, IntArray]:
        if len(self._entries) == 0:
            nothing = np.zeros(len(terms), dtype=np.int64)
            return nothing, nothing
        starts = np.searchsorted(self._entries, terms << _SHIFT)
        ends = np.searchsorted(self._entries, (terms << _SHIFT) | _COUNT, side="right")
        return starts.astype(np.int64), ends.astype(np.int64)
