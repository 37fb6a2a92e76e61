"""Queries on which the recall of a search structure is measured: as all write them who search its space.

Adapted queries leave the distribution of the documents, so a structure that finds the base's nearest rows may miss
theirs.
"""

import numpy as np

from routeret.index.reading import Reader
from routeret.retriever.pool import Pool
from routeret.space import Space
from routeret.types import BASE, FloatArray, QueryBatch

_QUERIES = 256
_LEAST_WORDS = 4
_MOST_WORDS = 12


def probe_queries(index: Reader, pool: Pool, *, space: Space, seed: int = 0) -> dict[str, FloatArray]:
    """Runs of 4 to 12 words from documents, drawn by chance, as query vectors of a space.

    Args:
        index: holds the documents.
        pool: base and experts; an expert of the base's space writes at its own strength.
        space: the base's, or one that experts brought.
        seed: of the draw.

    Returns:
        float32, shape (n_queries, dim), by the name of the expert, in the base's space also by ``"base"``. Nothing
        where nobody in the pool writes into the space.
    """
    if space == pool.base.space:
        return _of_first_space(drawn_texts(index, seed=seed), pool)
    towers = [tower for tower in pool.tower_by_name.values() if tower.space == space]
    texts = drawn_texts(index, seed=seed) if towers else ()
    return {tower.name: tower.encode_queries(texts).vectors for tower in towers}


def drawn_texts(index: Reader, *, most: int = _QUERIES, seed: int) -> tuple[str, ...]:
    """Runs of 4 to 12 words from documents, drawn by chance.

    Args:
        index: holds the documents.
        most: how many, at most; every one is from another document.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    numbers = np.flatnonzero(index.live_documents)
    drawn = np.sort(rng.choice(numbers, size=min(most, len(numbers)), replace=False))
    texts = []
    for document in index.documents(drawn):
        words = f"{document.title} {document.text}".split()
        n_words = int(rng.integers(_LEAST_WORDS, _MOST_WORDS + 1))
        start = int(rng.integers(0, max(1, len(words) - n_words + 1)))
        texts.append(" ".join(words[start : start + n_words]))
    return tuple(texts)


def _of_first_space(texts: tuple[str, ...], pool: Pool) -> dict[str, FloatArray]:
    base = pool.base.encode_queries(texts)
    batch = QueryBatch(texts, base)
    probes = {BASE: base}
    for expert in pool.adapter_by_name.values():
        strengths = np.full(len(texts), expert.strength, dtype=np.float32)
        probes[expert.name] = expert.encode_queries(batch, strengths=strengths)
    return probes
