"""Searching words: BM25 of documents by number, exact, at one commit."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routeret.errors import ArtifactError, InputError
from routeret.index.lexical.engine import Candidates
from routeret.index.lexical.folder import open_folder
from routeret.index.lexical.manifest import State
from routeret.index.lexical.scoring import DoubleArray, Postings, TermCounts, WeightedQuery, rarity, score
from routeret.index.lexical.terms import ABSENT, DocumentTerms
from routeret.index.lexical.tokens import Tokenizer
from routeret.types import BoolArray, FloatArray, HashArray, IntArray

_ROUNDING = 1e-5
_WIDTH_PER_HIT = 2
_LEAST_WIDTH = 64
_WIDENING = 4
_SCORED_PER_CANDIDATE = 3
_SEARCHED_PER_SCORED = 100


@dataclass(frozen=True, slots=True)
class Matches:
    """Documents that hold a term of a query, best first; equal scores have the lower number first.

    Attributes:
        numbers: document numbers, int64, shape (n,).
        scores: BM25, float32, shape (n,), above 0.
    """

    numbers: IntArray
    scores: FloatArray

    def __len__(self) -> int:
        """How many documents."""
        return len(self.numbers)


class _OfThread(threading.local):
    """What every thread has for itself: a tokenizer, and the terms of the query that it asked last.

    Who ranks by words asks for the best documents of a query first, and then for the scores of others.
    """

    def __init__(self) -> None:
        self.tokenizer = Tokenizer()
        self.query: str | None = None
        self.weighted: WeightedQuery | None = None


class Fulltext:
    """BM25 over the living documents of one commit of an index; any number of threads may search at once.

    A score depends on the living documents and the query alone: not on how the documents came, not on what was
    removed, and not on how far tantivy's index reaches.
    """

    def __init__(
        self, terms: DocumentTerms, *, n_documents: int, removed: IntArray, state: State, candidates: Candidates | None
    ) -> None:
        """Keep what :meth:`open` and :meth:`of` read; those are the way in."""
        self._terms = terms
        self._state = state
        self._candidates = candidates
        self._n_documents = n_documents
        self._is_living: BoolArray = terms.tokens[:n_documents] != ABSENT
        self._is_living[removed[removed < n_documents]] = False
        self._own = _OfThread()
        self._lock = threading.Lock()
        self._known: _Statistics | None = None

    @classmethod
    def of(cls, texts: Iterable[tuple[int, str]], *, n_documents: int) -> "Fulltext":
        """A full text in memory.

        Args:
            texts: document numbers, in rising order, and title and text; read once. Numbers may be left out.
            n_documents: the end of the numbers.

        Raises:
            InputError: a number is not above the one before it, or not below ``n_documents``.
        """
        terms = DocumentTerms.of(texts, n_documents=n_documents)
        nothing = np.zeros(0, dtype=np.int64)
        return cls(terms, n_documents=n_documents, removed=nothing, state=State(generation=0), candidates=None)

    @classmethod
    def open(cls, folder: Path, *, generation: int, n_documents: int, removed: IntArray) -> "Fulltext":
        """The full text of a folder, as one commit of the index sees it.

        Args:
            folder: what :func:`~routeret.index.lexical.folder.build` wrote; it may cover more documents.
            generation: of the index at that commit.
            n_documents: the end of the numbers at that commit.
            removed: the numbers of the documents that are dead at that commit, shape (n,), in any order.

        Raises:
            ArtifactError: the folder is missing, damaged, stale, of another generation, or covers fewer documents.
        """
        opened = open_folder(folder)
        covered = opened.state.covered
        if covered.generation != generation or covered.n_documents < n_documents:
            raise ArtifactError(
                f"{folder} covers {covered.n_documents} documents of generation {covered.generation}, the index has "
                f"{n_documents} of generation {generation}; bring it up to date, or build it again"
            )
        is_absent: BoolArray = opened.terms.tokens[:n_documents] == ABSENT
        is_absent[removed[removed < n_documents]] = False
        if is_absent.any():
            # Brought up to date after they were removed, and this commit stands before that.
            raise ArtifactError(
                f"{folder} was never given document {np.flatnonzero(is_absent)[0]}, which this commit holds; "
                f"build it again"
            )
        return cls(
            opened.terms,
            n_documents=n_documents,
            removed=removed,
            state=opened.state,
            candidates=opened.candidates,
        )

    def __len__(self) -> int:
        """The end of the document numbers."""
        return self._n_documents

    def search(self, query: str, k: int, *, allowed: BoolArray | None = None) -> Matches:
        """The best documents that hold a term of a query.

        Args:
            query: any text.
            k: at least 1; more than there are gives all that match.
            allowed: bool by document number: the documents to choose from; numbers behind its end are not allowed.

        Raises:
            InputError: ``query`` is not a string, or ``k`` is below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        weighted = self._weighted(query)
        is_allowed = self._allowed(allowed)
        if weighted is None:
            return _best(np.zeros(0, dtype=np.int64), np.zeros(0), k)
        numbers, scores = self._statistics.tail.matches(weighted)
        kept = is_allowed[numbers]
        found, found_scores = self._engine_matches(weighted, min(k, len(self)), is_allowed[: self._state.n_in_engine])
        return _best(np.concatenate([found, numbers[kept]]), np.concatenate([found_scores, scores[kept]]), k)

    def best(self, query: str, *, allowed: BoolArray | None = None) -> float:
        """The score of the best document, 0 where none holds a term of the query; see :meth:`search`."""
        found = self.search(query, 1, allowed=allowed)
        return float(found.scores[0]) if len(found) else 0.0

    def scores_of(self, query: str, numbers: IntArray) -> FloatArray:
        """BM25 of some documents, the same to the last bit as :meth:`search` gives.

        Args:
            query: any text.
            numbers: document numbers, shape (n,), in any order.

        Returns:
            float32, shape (n,); 0 where no term matches, and for documents that are dead.

        Raises:
            InputError: ``query`` is not a string, or a number is outside.
        """
        weighted = self._weighted(query)
        outside = numbers[(numbers < 0) | (numbers >= len(self))]
        if len(outside):
            raise InputError(f"document number {outside[0]} is outside 0 to {len(self) - 1}")
        if weighted is None:
            return np.zeros(len(numbers), dtype=np.float32)
        scores = score(weighted, self._terms, numbers)
        scores[~self._is_living[numbers]] = 0
        return scores.astype(np.float32)

    def scores(self, query: str) -> FloatArray:
        """BM25 of every document, float32, shape (n_documents,): quick in memory, a full pass in a large folder."""
        if self._candidates is not None:
            return self.scores_of(query, np.arange(len(self)))
        scores = np.zeros(len(self), dtype=np.float32)
        weighted = self._weighted(query)
        if weighted is not None:
            numbers, found = self._statistics.tail.matches(weighted)
            scores[numbers] = found
        return scores

    def _weighted(self, query: str) -> WeightedQuery | None:
        """The terms of a query that some living document holds; None where there is none."""
        if not isinstance(query, str):
            raise InputError(f"a query is a {type(query).__name__}, expected a string")
        own = self._own
        if own.query != query:
            own.query, own.weighted = query, self._weighed(*own.tokenizer.query(query))
        return own.weighted

    def _weighed(self, terms: HashArray, counts: HashArray) -> WeightedQuery | None:
        statistics = self._statistics
        n_with = statistics.tail.n_with(terms)
        if self._candidates is not None:
            n_with += self._candidates.n_with(terms) - statistics.gone.n_with(terms)
        is_known = n_with > 0
        if not is_known.any():
            return None
        weights = counts[is_known] * rarity(n_with[is_known], n_documents=statistics.n_documents)
        return WeightedQuery(terms=terms[is_known], weights=weights, mean_tokens=statistics.mean_tokens)

    @property
    def _statistics(self) -> "_Statistics":
        with self._lock:
            if self._known is None:
                self._known = _Statistics.of(self._terms, self._is_living, n_in_engine=self._state.n_in_engine)
            return self._known

    def _allowed(self, allowed: BoolArray | None) -> BoolArray:
        if allowed is None:
            return self._is_living
        both = self._is_living.copy()
        both[len(allowed) :] = False
        both[: len(allowed)] &= allowed[: len(both)]
        return both

    def _engine_matches(self, query: WeightedQuery, k: int, is_allowed: BoolArray) -> tuple[IntArray, DoubleArray]:
        """Documents among those that tantivy has, the k best allowed ones of them for certain, and their scores."""
        n_allowed = int(np.count_nonzero(is_allowed))
        if self._candidates is None or not n_allowed or not self._state.engine_tokens:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        n_engine = len(self._candidates)
        # tantivy measures lengths by the mean of its own documents, and takes none for longer than it is.
        highest = max(1.0, query.mean_tokens * n_engine / self._state.engine_tokens) * (1 + _ROUNDING)
        width = max(_LEAST_WIDTH, _WIDTH_PER_HIT * k * n_engine // n_allowed)
        while n_allowed > _SCORED_PER_CANDIDATE * width + n_engine // _SEARCHED_PER_SCORED:
            found, rough = self._candidates.best(query.terms, query.weights, width)
            numbers = found[found < len(is_allowed)]
            numbers = numbers[is_allowed[numbers]]
            scores = score(query, self._terms, numbers)
            if len(found) < width or (len(numbers) >= k and np.sort(scores)[-k] > rough[-1] * highest):
                return numbers, scores
            width *= _WIDENING
        numbers = np.flatnonzero(is_allowed)
        return numbers, score(query, self._terms, numbers)


@dataclass(frozen=True, slots=True)
class _Statistics:
    """What makes scores independent of what tantivy holds.

    Attributes:
        n_documents: how many living documents.
        mean_tokens: their mean length.
        tail: the living documents that tantivy does not have.
        gone: the documents that tantivy has and that are not among the living.
    """

    n_documents: int
    mean_tokens: float
    tail: Postings
    gone: TermCounts

    @classmethod
    def of(cls, terms: DocumentTerms, is_living: BoolArray, *, n_in_engine: int) -> "_Statistics":
        n_documents = int(np.count_nonzero(is_living))
        n_tokens = int(terms.tokens[: len(is_living)].sum(where=is_living))
        is_tail = is_living.copy()
        is_tail[:n_in_engine] = False
        is_gone = terms.tokens[:n_in_engine] != ABSENT
        is_gone[: len(is_living)] &= ~is_living[:n_in_engine]
        return cls(n_documents, n_tokens / max(1, n_documents), Postings(terms, is_tail), TermCounts(terms, is_gone))


def _best(numbers: IntArray, scores: DoubleArray, k: int) -> Matches:
    rounded = scores.astype(np.float32)
    order = np.lexsort((numbers, -rounded))[:k]
    order = order[rounded[order] > 0]
    return Matches(numbers=numbers[order], scores=rounded[order])
