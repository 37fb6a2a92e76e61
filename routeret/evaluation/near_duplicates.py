"""Queries that nearly equal others, as those of a test split may equal training queries."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from routeret.errors import InputError
from routeret.types import BoolArray

SIMILARITY = 0.9
"""From this Jaccard similarity on, two queries nearly equal each other."""

_CHARACTERS = 5
_N_FEATURES = 2**20
_BLOCK_VALUES = 20_000_000  # pairs looked for at once; most of them have nothing in common
_BLOCK_PAIRS = 20_000  # pairs compared at once
_ROUNDING = 1e-9


def repeated_queries(
    queries: Mapping[str, str], known: Iterable[str], *, similarity: float = SIMILARITY
) -> frozenset[str]:
    """Give the ids of the queries that nearly equal one of the known queries.

    Case and everything but letters and digits are left out of account. Two queries nearly equal each other if they are
    then the same, or if the sets of all their runs of five characters have at least this Jaccard similarity (those of
    both over those of either: the resemblance of Broder, 1997). Texts of fewer than five characters have no such run,
    so they must be the same.

    Args:
        queries: text by query id.
        known: the texts of the known queries, for example those of the train split.
        similarity: above 0 and at most 1.

    Raises:
        InputError: the similarity is out of range.
    """
    if not 0 < similarity <= 1:
        raise InputError(f"the similarity is {similarity}; expected a number above 0 and at most 1, for example 0.9")
    known_texts = list(dict.fromkeys(_squeezed(text) for text in known))
    same = frozenset(known_texts)
    text_by_id = {query_id: _squeezed(text) for query_id, text in queries.items()}
    others = [query_id for query_id, text in text_by_id.items() if text not in same]
    is_near = _near([text_by_id[query_id] for query_id in others], known_texts, similarity=similarity)
    near = {query_id for query_id, found in zip(others, is_near, strict=True) if found}
    return frozenset(near | (text_by_id.keys() - set(others)))


def _squeezed(text: str) -> str:
    """The letters, marks and digits of a text in one form, with one space for all between them."""
    form = unicodedata.normalize("NFKC", text.casefold())
    return " ".join("".join(one if unicodedata.category(one)[0] in "LMN" else " " for one in form).split())


def _near(texts: Sequence[str], known: Sequence[str], *, similarity: float) -> BoolArray:
    """Which texts have a known one of at least this similarity."""
    is_near = np.zeros(len(texts), dtype=np.bool_)
    if not texts or not known:
        return is_near
    rows, columns = _runs(texts), _runs(known)
    row_sizes, column_sizes = rows.getnnz(axis=1), columns.getnnz(axis=1)
    rare, transposed = _rare_runs(rows, columns, similarity=similarity), columns.T.tocsr()
    step = max(1, _BLOCK_VALUES // len(known))
    for start in range(0, len(texts), step):
        candidates = (rare[start : start + step] @ transposed).tocoo()
        for first in range(0, candidates.nnz, _BLOCK_PAIRS):
            ours = candidates.row[first : first + _BLOCK_PAIRS] + start
            theirs = candidates.col[first : first + _BLOCK_PAIRS]
            common = np.asarray(rows[ours].multiply(columns[theirs]).sum(axis=1)).ravel()
            either = row_sizes[ours] + column_sizes[theirs] - common
            is_near[ours[common >= similarity * either]] = True
    return is_near


def _rare_runs(rows: Any, columns: Any, *, similarity: float) -> Any:  # noqa: ANN401 - sparse arrays
    """The rarest runs of every text, of which any text that is near it must have one.

    A text that shares at least s of n runs misses at most n - s of them, so it has one of any n - s + 1 (the prefix
    filter of Chaudhuri, Ganti and Kaushik, ICDE 2006). Rare ones are in few texts, which then are all to look at.
    """
    from scipy.sparse import csr_array

    sizes = rows.getnnz(axis=1)
    n_kept = sizes - np.ceil(similarity * sizes - _ROUNDING).astype(np.int64) + 1
    row_by_entry = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((np.bincount(columns.indices, minlength=_N_FEATURES)[rows.indices], row_by_entry))
    place = np.arange(len(order)) - rows.indptr[:-1][row_by_entry]
    kept = order[place < n_kept[row_by_entry]]
    ones = np.ones(len(kept), dtype=np.int64)
    return csr_array((ones, (row_by_entry[kept], rows.indices[kept])), shape=rows.shape)


def _runs(texts: Sequence[str]) -> Any:  # noqa: ANN401 - a sparse array
    """A 1 for every run of five characters of every text, int64, hashed."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char",
        ngram_range=(_CHARACTERS, _CHARACTERS),
        n_features=_N_FEATURES,
        lowercase=False,
        norm=None,
        alternate_sign=False,
        binary=True,
        dtype=np.int64,
    )
    return vectorizer.transform(texts)
