"""BM25 over titles and texts: the derived full-text side of an index."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from routeret.artifact import new_folder, read_manifest, write_manifest
from routeret.errors import ArtifactError, InputError
from routeret.index.exact import top_k
from routeret.types import FloatArray, TopK

PARAMETERS: dict[str, Any] = {
    "method": "lucene",
    "k1": 1.2,
    "b": 0.75,
    "token_pattern": r"(?u)\w+",
    "stopwords": "bm25s STOPWORDS_EN_PLUS",
    "stemmer": "Snowball english",
}
"""Everything that decides a score, chosen on dev splits; a saved full-text index with other parameters is stale."""

FORMAT = 1

_KIND = "fulltext"
_TOKEN = re.compile(PARAMETERS["token_pattern"])


class Fulltext:
    """BM25 scores of documents, which are numbered from 0 in the order in which they came."""

    def __init__(self, bm25: Any, *, n_documents: int) -> None:  # noqa: ANN401 - bm25s is imported late
        """Keep a ``bm25s.BM25``, or ``None`` where no document holds a token; :meth:`build` is the way in."""
        self._bm25 = bm25
        self._n_documents = n_documents

    def __len__(self) -> int:
        """How many documents."""
        return self._n_documents

    @classmethod
    def build(cls, texts: Iterable[str]) -> "Fulltext":
        """Read every text once, keeping token numbers only.

        Args:
            texts: title and text of every document, in number order.
        """
        import bm25s

        tokenizer = _Tokenizer()
        number_by_token: dict[str, int] = {}
        token_numbers = [
            [number_by_token.setdefault(token, len(number_by_token)) for token in tokenizer.tokens(text)]
            for text in texts
        ]
        if not number_by_token:
            return cls(None, n_documents=len(token_numbers))
        bm25 = bm25s.BM25(k1=PARAMETERS["k1"], b=PARAMETERS["b"], method=PARAMETERS["method"])
        bm25.index((token_numbers, number_by_token), create_empty_token=False, show_progress=False)
        return cls(bm25, n_documents=len(token_numbers))

    def save(self, folder: Path, *, commit: int) -> None:
        """Write a folder whole or not at all, over an older one.

        Args:
            folder: the folder to write.
            commit: the index's commit counter at which the texts were read.
        """
        with new_folder(folder, replace=True) as temporary:
            if self._bm25 is not None:
                self._bm25.save(temporary, allow_pickle=False, show_progress=False)
            fields = {
                "parameters": PARAMETERS,
                "commit": commit,
                "n_documents": self._n_documents,
                "has_tokens": self._bm25 is not None,
            }
            write_manifest(temporary, kind=_KIND, format_number=FORMAT, fields=fields)

    @classmethod
    def open(cls, folder: Path, *, commit: int, mmap: bool = True) -> "Fulltext":
        """The full-text index that :meth:`save` wrote.

        Args:
            folder: the folder.
            commit: the index's commit counter now.
            mmap: leave the scores on disk as a memory map.

        Raises:
            ArtifactError: it is missing, damaged, or stale (another commit, or other parameters); build it again.
        """
        manifest = read_manifest(folder, kind=_KIND, format_number=FORMAT)
        if manifest["commit"] != commit or manifest["parameters"] != PARAMETERS:
            raise ArtifactError(
                f"{folder} is stale: commit {manifest['commit']}, the index has {commit}; build it again"
            )
        if not manifest["has_tokens"]:
            return cls(None, n_documents=manifest["n_documents"])
        import bm25s

        bm25 = bm25s.BM25.load(folder, mmap=mmap, allow_pickle=False, show_progress=False)
        return cls(bm25, n_documents=manifest["n_documents"])

    def scores(self, query: str) -> FloatArray:
        """BM25 of every document, float32, shape (n_documents,); all zeros where the query has no known token."""
        _require_text(query)
        return self._scores(_Tokenizer().tokens(query))

    def search(self, queries: Sequence[str], k: int) -> TopK:
        """The best documents of every query, best first; equal scores keep the lower document first.

        Args:
            queries: texts.
            k: at least 1; more than the documents gives all of them.

        Returns:
            Document numbers and scores, shape (n_queries, min(k, n_documents)); documents without any token of the
            query score 0.

        Raises:
            InputError: ``k`` is below 1, or ``queries`` is a single text.
        """
        if isinstance(queries, str):
            raise InputError("queries is a string, expected a list of strings; put it in a list")
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        k = min(k, self._n_documents)
        rows = np.zeros((len(queries), k), dtype=np.int64)
        scores = np.zeros((len(queries), k), dtype=np.float32)
        tokenizer = _Tokenizer()
        for number, query in enumerate(queries):
            _require_text(query)
            best = top_k(self._scores(tokenizer.tokens(query))[None, :], k) if k else None
            if best is not None:
                rows[number], scores[number] = best.rows[0], best.scores[0]
        return TopK(rows=rows, scores=scores)

    def _scores(self, tokens: Iterator[str]) -> FloatArray:
        known = [] if self._bm25 is None else self._bm25.get_tokens_ids(list(tokens))
        if not known:
            return np.zeros(self._n_documents, dtype=np.float32)
        scores: FloatArray = self._bm25.get_scores_from_ids(known)
        return scores


class _Tokenizer:
    """Text to stems; one for every thread, since a Snowball stemmer is not shared safely."""

    def __init__(self) -> None:
        import Stemmer
        from bm25s.stopwords import STOPWORDS_EN_PLUS

        self._stem = Stemmer.Stemmer("english").stemWord
        self._stem_by_word: dict[str, str] = dict.fromkeys(STOPWORDS_EN_PLUS, "")

    def tokens(self, text: str) -> Iterator[str]:
        """The stems of the words that are not stop words, in order."""
        for word in _TOKEN.findall(text.lower()):
            stem = self._stem_by_word.get(word)
            if stem is None:
                stem = self._stem_by_word[word] = self._stem(word)
            if stem:
                yield stem


def _require_text(query: object) -> None:
    if not isinstance(query, str):
        raise InputError(f"a query is a {type(query).__name__}, expected a string")
