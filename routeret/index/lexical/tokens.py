"""From text to terms: which words count, and the number that stands for each."""

import re
from collections import Counter
from hashlib import blake2b
from typing import Any

import numpy as np

from routeret.index.lexical.stop_words import stop_words
from routeret.types import HashArray

PARAMETERS: dict[str, Any] = {
    "engine": "tantivy candidates, exact scores",
    "method": "lucene",
    "k1": 1.2,
    "b": 0.75,
    "token_pattern": r"(?u)\w+",
    "stopwords": "bm25s STOPWORDS_EN_PLUS",
    "stemmer": "Snowball english",
    "term": "blake2b, 48 bits",
}
"""Everything that decides a score; a saved full-text index with other parameters is stale. k1 and b are those that
tantivy has built in."""

COUNT_BITS = 16
"""An entry is a term's number, shifted by this, plus how often the document holds it."""

MAX_COUNT = (1 << COUNT_BITS) - 1
"""Counts above this are kept as this; BM25 hardly moves there."""

_TOKEN = re.compile(PARAMETERS["token_pattern"])
_STOP_WORD = 0
_MAX_KNOWN_WORDS = 400_000


class Tokenizer:
    """Text to terms; one for every thread, since a Snowball stemmer is not shared safely."""

    def __init__(self) -> None:
        """Load the stop words and the stemmer."""
        self._term_by_word = _TermByWord()

    def entries(self, text: str) -> tuple[list[int], int]:
        """The terms of a text with their counts.

        Args:
            text: any text.

        Returns:
            The entries in rising order, one a term, and how many tokens the text has.
        """
        count_by_term = self._count_by_term(text)
        n_tokens = sum(count_by_term.values())
        if n_tokens > MAX_COUNT:
            count_by_term = {term: min(count, MAX_COUNT) for term, count in count_by_term.items()}
        return sorted([(term << COUNT_BITS) | count for term, count in count_by_term.items()]), n_tokens

    def query(self, text: str) -> tuple[HashArray, HashArray]:
        """The terms of a query in rising order and how often each comes, both uint64, shape (n_terms,)."""
        count_by_term = self._count_by_term(text)
        terms = sorted(count_by_term)
        counts = [count_by_term[term] for term in terms]
        return np.array(terms, dtype=np.uint64), np.array(counts, dtype=np.uint64)

    def _count_by_term(self, text: str) -> dict[int, int]:
        self._term_by_word.forget_many()
        count_by_term = Counter(map(self._term_by_word.__getitem__, _TOKEN.findall(text.lower())))
        del count_by_term[_STOP_WORD]
        return count_by_term


class _TermByWord(dict[str, int]):
    """The term of every word, worked out when the word is first seen."""

    def __init__(self) -> None:
        import Stemmer

        self._stem = Stemmer.Stemmer("english").stemWord
        self._stop_words = stop_words()
        super().__init__(dict.fromkeys(self._stop_words, _STOP_WORD))

    def __missing__(self, word: str) -> int:
        term = self[word] = _term_of(self._stem(word))
        return term

    def forget_many(self) -> None:
        """Start anew when there are so many words that keeping them would cost memory."""
        if len(self) > _MAX_KNOWN_WORDS:
            self.clear()
            self.update(dict.fromkeys(self._stop_words, _STOP_WORD))


def _term_of(stem: str) -> int:
    number = int.from_bytes(blake2b(stem.encode(), digest_size=6).digest(), "big")
    return max(number, _STOP_WORD + 1)
