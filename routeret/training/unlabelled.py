"""A map of queries for one index without a label: what its documents and its own full text say of each other."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.errors import InputError
from routeret.experts.strength import applied
from routeret.fusion import TEACHER_WEIGHT
from routeret.routing.whitening import ridged, turned_against, whitening
from routeret.training.scoring import DEPTH, ndcg_of_scores
from routeret.types import BoolArray, FloatArray, IntArray

_Doubles = NDArray[np.float64]

NO_ROW = -1
"""Stands for no candidate, behind the last one of a pseudo-query."""

LEAST_QUERIES = 200
"""Fewer pseudo-queries tell noise rather than a direction."""

_TEMPERATURE = 0.05
_PULL = 0.5
_NOTHING = 1e-3
_BLOCK = 64


@dataclass(frozen=True, slots=True, eq=False)
class UnlabelledTask:
    """Pseudo-queries with the documents that vectors and full text find for them.

    Attributes:
        queries: float32, shape (n_queries, dim); the base's embeddings of the pseudo-queries.
        sources: the row of the document that each was taken from, int64, shape (n_queries,).
        candidates: rows of documents, int64, shape (n_queries, n_candidates); :data:`NO_ROW` where there are fewer.
        lexical: float32, same shape; BM25 of the candidates over that of the pseudo-query's best document, 0 to 1.
        documents: float32, shape (n_documents, dim); some documents, whose spread counts.
        vectors: gives the document vectors of some rows, float32, shape (n_rows, dim).
        unit_length: whether vectors of the space have length 1.
    """

    queries: FloatArray
    sources: IntArray
    candidates: IntArray
    lexical: FloatArray
    documents: FloatArray
    vectors: Callable[[IntArray], FloatArray]
    unit_length: bool = True

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together.

        Raises:
            InputError: the shapes do not fit, or there are fewer than two pseudo-queries.
        """
        n_queries = len(self.queries)
        if n_queries < 2:  # noqa: PLR2004 - one half is measured with what the other one taught
            raise InputError(f"found {n_queries} pseudo-queries, expected at least 2")
        if self.sources.shape != (n_queries,) or len(self.candidates) != n_queries:
            raise InputError(
                f"{n_queries} pseudo-queries came with {len(self.sources)} sources and {len(self.candidates)} lines of "
                f"candidates; expected one each"
            )
        if self.candidates.shape != self.lexical.shape:
            raise InputError(f"candidates have shape {self.candidates.shape}, their BM25 {self.lexical.shape}")

    def blocks(self, numbers: IntArray) -> Iterator[tuple[IntArray, FloatArray, BoolArray]]:
        """Some pseudo-queries in parts that fit into memory.

        Args:
            numbers: of pseudo-queries.

        Yields:
            Numbers; the vectors of their candidates, shape (n_in_block, n_candidates, dim); whether each is one.
        """
        for start in range(0, len(numbers), _BLOCK):
            part = numbers[start : start + _BLOCK]
            rows, places = np.unique(self.candidates[part], return_inverse=True)
            vectors = self.vectors(np.maximum(rows, 0))
            yield part, vectors[places.reshape(len(part), -1)], self.candidates[part] != NO_ROW


@dataclass(frozen=True, slots=True, eq=False)
class UnlabelledOutcome:
    """A map with what tells whether it is worth having.

    Attributes:
        weight: float32, shape (dim, dim); a query q becomes ``q + s W q``.
        before: how well the rankings of pseudo-queries agree with the fused ones now: nDCG@10 whose relevant documents
            are the fused ranking's first ten.
        after: the same with a map that was fitted to other documents' pseudo-queries.
    """

    weight: FloatArray
    before: float
    after: float

    @property
    def is_better(self) -> bool:
        """Whether the map brings the rankings nearer to the fused ones."""
        return self.after > self.before


@dataclass(frozen=True, slots=True)
class UnlabelledReport:
    """What tuning without labels gave.

    Attributes:
        installed: whether the index has this map now. If not, a map that was learned earlier stays; the reason says so.
        reason: why, or why not, in words.
        before: how well the rankings of pseudo-queries agree with those of cosine and BM25 together, with the map that
            the index computes of its documents: nDCG@10 whose relevant documents are the first ten of these.
        after: the same with the learned map, on documents that it was not fitted to.
        strength: at which the map acts, where no expert knows the documents.
        n_pseudo_queries: how many were drawn.
        n_documents: how many documents were found that no expert knows.
        seconds: how long it took.
    """

    installed: bool
    reason: str
    before: float
    after: float
    strength: float
    n_pseudo_queries: int
    n_documents: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def fit_unlabelled(task: UnlabelledTask, *, strength: float, seed: int = 0) -> UnlabelledOutcome:
    """Fit a map to pseudo-queries in closed form; a moment.

    The map is the sum of two. The first turns a query away from the directions in which documents vary, and in which
    pseudo-queries stray from their documents, as in Fisher's discriminant. The second pulls it towards the documents
    that the cosine and BM25 rank first together, and away from those that the cosine ranks first alone: the gradient
    of the cross-entropy between the two rankings, as in knowledge distillation (Hinton et al., arXiv 1503.02531,
    section 2), between inverse covariances of documents and pseudo-queries, as in a step of Newton's method.

    Args:
        task: pseudo-queries with their candidates.
        strength: at which the map will be applied.
        seed: fixes which half of the documents is fitted and which measured.
    """
    everything = np.arange(len(task.queries))
    pulls = _pulls(task)
    weight = _fitted(task, pulls, everything)
    measured = np.random.default_rng(seed).permutation(np.unique(task.sources))
    is_measured = np.isin(task.sources, measured[: max(1, len(measured) // 2)])
    held_out, fitted = np.flatnonzero(is_measured), np.flatnonzero(~is_measured)
    if len(fitted) == 0:
        return UnlabelledOutcome(weight, before=0.0, after=0.0)
    maps = [whitening(task.documents), _fitted(task, pulls, fitted)]
    before, after = _agreement(task, maps, held_out, strength=strength)
    return UnlabelledOutcome(weight, before=before, after=after)


def _fitted(task: UnlabelledTask, pulls: FloatArray, numbers: IntArray) -> FloatArray:
    """The map that some pseudo-queries teach."""
    documents, queries = task.documents.astype(np.float64), task.queries[numbers].astype(np.float64)
    spread = _covariance(documents, documents)
    strays = task.vectors(task.sources[numbers]).astype(np.float64) - queries
    against = turned_against(_of_unit_trace(spread) + _of_unit_trace(_covariance(strays, strays)), documents)
    if np.linalg.norm(pulls[numbers]) <= _NOTHING * np.linalg.norm(queries):
        # Full text wants nothing else than the vectors do; what is left is rounding.
        return against
    pull = np.linalg.solve(ridged(spread), _covariance(pulls[numbers].astype(np.float64), queries))
    pull = np.linalg.solve(ridged(_covariance(queries, queries)), pull.T).T
    moved = np.linalg.norm(queries @ pull.T)
    size = np.linalg.norm(queries) / moved if moved > 0 else 0.0
    weight: FloatArray = (against + _PULL * size * pull).astype(np.float32)
    return weight


def _pulls(task: UnlabelledTask) -> FloatArray:
    """Where every pseudo-query should go: the mean of the fused ranking less that of its own."""
    scale = _TEMPERATURE
    if not task.unit_length:
        scale *= float(np.linalg.norm(task.queries, axis=1).mean() * np.linalg.norm(task.documents, axis=1).mean())
    pulls = np.zeros_like(task.queries)
    for part, vectors, is_there in task.blocks(np.arange(len(task.queries))):
        scores = _scores(vectors, task.queries[part], is_there)
        fused = scores + np.float32(TEACHER_WEIGHT) * task.lexical[part]
        wanted = _shares(fused, scale=scale) - _shares(scores, scale=scale)
        pulls[part] = np.matmul(wanted[:, None, :], vectors)[:, 0]
    return pulls


def _agreement(
    task: UnlabelledTask, maps: list[FloatArray], numbers: IntArray, *, strength: float
) -> tuple[float, ...]:
    """How well rankings with each map agree with the fused rankings, as nDCG@10 with their first ten as relevant."""
    found: list[list[FloatArray]] = [[] for _ in maps]
    for part, vectors, is_there in task.blocks(numbers):
        queries = task.queries[part]
        fused = _scores(vectors, queries, is_there) + TEACHER_WEIGHT * task.lexical[part]
        first = [
            line[is_there[query, line]]
            for query, line in enumerate(np.argsort(-fused, axis=1, kind="stable")[:, :DEPTH])
        ]
        grades = [np.ones(len(line), dtype=np.float32) for line in first]
        strengths = np.full(len(part), strength, dtype=np.float32)
        for weight, values in zip(maps, found, strict=True):
            turned = applied(queries, queries @ weight.T, strengths=strengths, unit_length=task.unit_length)
            scores = _scores(vectors, turned, is_there)
            values.append(ndcg_of_scores(scores, relevant=first, grades=grades))
    return tuple(float(np.concatenate(values).mean()) for values in found)


def _scores(vectors: FloatArray, queries: FloatArray, is_there: BoolArray) -> FloatArray:
    """Inner products of queries with their candidates, shape (n_queries, n_candidates); -inf where there is none."""
    scores: FloatArray = np.matmul(vectors, queries[:, :, None])[..., 0]
    scores[~is_there] = -np.inf
    return scores


def _shares(scores: FloatArray, *, scale: float) -> FloatArray:
    """The softmax of every line over a scale; every line has a candidate."""
    shares = np.exp((scores - scores.max(axis=1, keepdims=True)) / scale)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float32)


def _covariance(left: _Doubles, right: _Doubles) -> _Doubles:
    """The covariance of two lists of vectors, shape (dim, dim)."""
    product: _Doubles = (left - left.mean(axis=0)).T @ (right - right.mean(axis=0)) / len(left)
    return product


def _of_unit_trace(scatter: _Doubles) -> _Doubles:
    """A covariance over its trace; nothing that varies stays nothing."""
    return np.asarray(scatter / max(float(np.trace(scatter)), np.finfo(np.float64).tiny), dtype=np.float64)
