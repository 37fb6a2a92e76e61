"""Queries that nobody asked: sentences and titles of documents, which stand for queries where there are none."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.chunking.units import sentence_spans
from routeret.types import Document, IntArray

MOST_WORDS = 64
"""A pseudo-query is cut behind so many words."""

_LEAST_WORDS = 4
_FEWEST_WORDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class PseudoQueries:
    """Texts that were taken out of documents.

    Attributes:
        texts: none is blank.
        documents: the place of the document that each was taken from, shape (n_queries,).
    """

    texts: tuple[str, ...]
    documents: IntArray

    def __len__(self) -> int:
        """How many."""
        return len(self.texts)


def pseudo_queries(documents: Sequence[Document], *, most: int, seed: int = 0) -> PseudoQueries:
    """Take sentences and titles out of documents, in turns, so that every document gives as many as another.

    A document gives one of its sentences, then its title if it has a text beside it, then its other sentences, by
    chance. Sentences have at least four words. A document with fewer than two of them gives a run of a third of its
    words in their place, if it has three words.

    Args:
        documents: in order.
        most: how many texts, at most.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    offered = [_offered(document, rng) for document in documents]
    turns = itertools.zip_longest(*offered)
    taken = [(text, place) for turn in turns for place, text in enumerate(turn) if text is not None][:most]
    return PseudoQueries(
        texts=tuple(text for text, _ in taken), documents=np.array([place for _, place in taken], dtype=np.int64)
    )


def _offered(document: Document, rng: np.random.Generator) -> list[str]:
    """What a document gives, the first thing first, each once."""
    text = document.text
    found = [text[start:end].split() for start, end in sentence_spans(text)]
    sentences = [" ".join(words[:MOST_WORDS]) for words in found if len(words) >= _LEAST_WORDS]
    if len(sentences) > 1:
        drawn = [sentences[place] for place in rng.permutation(len(sentences))]
    else:
        drawn = _run(f"{document.title} {text}".split(), rng)
    title = " ".join(document.title.split()[:MOST_WORDS]) if text.strip() else ""
    return list(dict.fromkeys([*drawn[:1], *([title] if title else []), *drawn[1:]]))


def _run(words: list[str], rng: np.random.Generator) -> list[str]:
    """A third of some words, at least two, from a place by chance; nothing where there are too few."""
    if len(words) < _FEWEST_WORDS:
        return []
    n_words = min(max(2, len(words) // 3), MOST_WORDS)
    start = int(rng.integers(0, len(words) - n_words + 1))
    return [" ".join(words[start : start + n_words])]
