"""A document's score from the scores of its spans."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from routeret.errors import InputError
from routeret.types import FloatArray, IntArray

Aggregation = Literal["best", "mean_top3"]
"""How spans make a document's score.

``best`` takes the highest: Callan, "Passage-level evidence in document retrieval", SIGIR 1994; MaxP of Dai and Callan,
"Deeper text understanding for IR with contextual neural language modeling", SIGIR 2019.

``mean_top3`` takes the mean of the three highest, or of all where there are fewer: Birch (Akkalyoncu Yilmaz, Yang,
Zhang and Lin, "Cross-domain modeling of sentence-level evidence for document retrieval", EMNLP 2019), which combines
the three best sentences, here with equal weights.
"""

_N_TOP = 3


@dataclass(frozen=True, slots=True)
class DocumentScores:
    """Scores of the documents that some spans belong to.

    Attributes:
        documents: int64, shape (n_documents,); ascending, each once.
        scores: float32, shape (n_documents,); higher is better.
        best_spans: int64, shape (n_documents,); position of every document's best span among the spans given, the
            first of equal ones.
    """

    documents: IntArray
    scores: FloatArray
    best_spans: IntArray


def aggregate(scores: FloatArray, owners: IntArray, *, how: Aggregation = "best") -> DocumentScores:
    """Every document's score from those of its spans.

    Args:
        scores: float32, shape (n_spans,); higher is better.
        owners: int64, shape (n_spans,), ascending; the document that each span belongs to.
        how: see :data:`Aggregation`. ``mean_top3`` is right only where every span of a document is among the spans.

    Raises:
        InputError: the shapes differ, the owners are not in ascending order, or ``how`` is unknown.
    """
    _check(scores, owners, how)
    n_spans = len(scores)
    documents, starts, counts = np.unique(owners, return_index=True, return_counts=True)
    order = np.lexsort((-scores, owners))
    best_spans = order[starts]
    if how == "best":
        return DocumentScores(documents, scores[best_spans], best_spans)
    places = np.arange(n_spans) - np.repeat(starts, counts)
    top = np.where(places < _N_TOP, scores[order].astype(np.float64), 0.0)
    sums = np.add.reduceat(top, starts) if n_spans else top
    means = (sums / np.minimum(counts, _N_TOP)).astype(np.float32)
    return DocumentScores(documents, means, best_spans)


def _check(scores: FloatArray, owners: IntArray, how: str) -> None:
    if how not in get_args(Aggregation):
        raise InputError(f"aggregation {how!r} is unknown; known are {', '.join(get_args(Aggregation))}")
    if scores.ndim != 1 or scores.shape != owners.shape:
        raise InputError(f"scores have shape {scores.shape}, owners {owners.shape}; give one owner for every score")
    if (owners[1:] < owners[:-1]).any():
        raise InputError("owners of spans do not ascend; sort spans by the document that they belong to")
