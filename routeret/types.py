"""The plain values that travel between the parts: documents, hits, routings, runs."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
HashArray = NDArray[np.uint64]
BoolArray = NDArray[np.bool_]

Run = dict[str, dict[str, float]]
"""Scores by query id and document id, as BEIR, pytrec_eval and ranx use them; higher is better."""

Qrels = dict[str, dict[str, int]]
"""Relevance grades by query id and document id; above 0 is relevant."""

BASE = "base"
"""The name of the base encoder wherever experts are named."""

LEXICAL = "bm25"
"""The name of the lexical expert wherever experts are named."""

_NO_METADATA: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a corpus.

    Attributes:
        id: unique inside an index.
        text: the body; must hold something besides white space, or ``title`` must.
        title: may be empty.
        metadata: any JSON values by name.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=lambda: _NO_METADATA)

    @property
    def content_key(self) -> int:
        """64-bit hash of title and text; white space and metadata do not count.

        Experts keep these keys of the documents they were trained over, so that a router can tell whether an
        index holds documents that an expert knows.
        """
        content = " ".join(f"{self.title} {self.text}".split())
        return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class EncodedDocuments:
    """Vectors of some documents, in their order.

    Attributes:
        vectors: float32, shape (n_documents, dim).
        truncated: shape (n_documents,); whether the encoder's token limit cut the text.
        n_tokens: how many tokens the model read of all texts, special tokens and prompt among them; of a text that was
            cut as many as the limit. None where the encoder does not count them.
    """

    vectors: FloatArray
    truncated: BoolArray
    n_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class QueryBatch:
    """Queries with their base embeddings, computed once and shared by router and experts.

    Attributes:
        texts: n_queries strings.
        base: float32, shape (n_queries, dim); the base encoder's query embeddings.
    """

    texts: tuple[str, ...]
    base: FloatArray

    def __len__(self) -> int:
        """How many queries."""
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query with the documents that answer it.

    Attributes:
        text: the query.
        relevant: ids of its relevant documents, at least one, each once.
    """

    text: str
    relevant: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopK:
    """The best rows of every query, best first; equal scores keep the lower row first.

    Attributes:
        rows: int64, shape (n_queries, k).
        scores: float32, shape (n_queries, k); higher is better.
    """

    rows: IntArray
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class Pilot:
    """A training query near the query that was routed, shown as a reason.

    Attributes:
        text: the pilot query.
        corpus: the training corpus it comes from.
        similarity: cosine to the routed query.
    """

    text: str
    corpus: str
    similarity: float


class _ToldLater:
    """Keeps who tells the fields of a :class:`Routing` that nobody has looked at yet."""

    __slots__ = ("_tell",)
    _tell: Callable[[], "Routing"]


@dataclass(frozen=True, slots=True)
class Routing(_ToldLater):
    """What a router decided for one query, and why.

    Attributes:
        weights: share of every expert and of ``base`` in the query vector; they sum to 1. ``bm25`` stands beside
            them: the weight of the lexical score in the fused ranking, relative to a cosine.
        strengths: strength at which every expert with a weight is applied.
        predicted_gains: predicted change of nDCG@10 against the base, by expert, at its best strength.
        margin: best minus second-best predicted gain over experts and base (the base's own gain is 0).
        held_back: whether some expert's strength was reduced, or the base kept, because the query or the
            documents are unlike what the experts know.
        corpora: probability of each training corpus given the query, the likeliest first.
        known_documents: share of the base's first hits that each expert was trained over, by expert.
        pilots: the nearest pilot queries, nearest first; found when they are first looked at.
        adaptation: how strongly the query was turned by the index's own map, which is made from its documents alone.
        gain_intervals: where each predicted gain lies with 95 % confidence, lowest and highest, by expert; a mean over
            queries like this one, not this query's own. Empty where the router does not say.
        helps: the chance that each expert raises nDCG@10 on the query, at the strength of its predicted gain, by
            expert; calibrated by leaving every training corpus out once. Empty where the router does not say.
        reason: why the router held back, in words; empty where it did not.
    """

    weights: Mapping[str, float]
    strengths: Mapping[str, float]
    predicted_gains: Mapping[str, float]
    margin: float
    held_back: bool
    corpora: Mapping[str, float]
    known_documents: Mapping[str, float]
    pilots: Sequence[Pilot]
    adaptation: float = 0.0
    gain_intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    helps: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def later(cls, tell: Callable[[], "Routing"]) -> "Routing":
        """The routing that a function gives, called when somebody first looks at a field.

        Names and words cost more than a decision, and few of them are read.
        """
        routing = object.__new__(cls)
        object.__setattr__(routing, "_tell", tell)
        return routing

    if not TYPE_CHECKING:  # To a type checker there are the fields and nothing else.

        def __getattr__(self, name: str) -> object:
            """A field that was not told yet; with it come all others."""
            if name not in self.__slots__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            told = self._tell()
            for one in self.__slots__:
                object.__setattr__(self, one, getattr(told, one))
            return getattr(told, name)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "weights": dict(self.weights),
            "strengths": dict(self.strengths),
            "predicted_gains": dict(self.predicted_gains),
            "gain_intervals": {name: list(interval) for name, interval in self.gain_intervals.items()},
            "helps": dict(self.helps),
            "margin": self.margin,
            "held_back": self.held_back,
            "reason": self.reason,
            "corpora": dict(self.corpora),
            "known_documents": dict(self.known_documents),
            "adaptation": self.adaptation,
            "pilots": [
                {"text": pilot.text, "corpus": pilot.corpus, "similarity": pilot.similarity} for pilot in self.pilots
            ],
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found.

    Attributes:
        id: the document's id.
        score: higher is better; comparable inside one ``Hits`` only.
        title: the document's title.
        text: the document's whole text.
        metadata: the document's metadata.
        span: start and end of the best span in ``text``, in characters.
    """

    id: str
    score: float
    title: str
    text: str
    metadata: Mapping[str, Any]
    span: tuple[int, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "id": self.id,
            "score": self.score,
            "title": self.title,
            "text": self.text,
            "metadata": dict(self.metadata),
            "span": list(self.span),
        }


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """The documents found for one query, best first, with the routing that found them."""

    query: str
    items: tuple[Hit, ...]
    routing: Routing

    def __len__(self) -> int:
        """How many documents were found."""
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        """The hit at a rank counted from 0, or a slice of hits."""
        return self.items[index]

    def __iter__(self) -> Iterator[Hit]:
        """The hits, best first."""
        return iter(self.items)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: ``query``, ``hits``, ``routing``."""
        return {
            "query": self.query,
            "hits": [hit.as_dict() for hit in self.items],
            "routing": self.routing.as_dict(),
        }
