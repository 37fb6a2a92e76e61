"""What an expert keeps of the documents and queries it was trained over, so as to know such documents again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from routeret.experts.fingerprints import MOST_RADIUS, fingerprints, radius_of
from routeret.space import Space
from routeret.types import BoolArray, FloatArray, HashArray

_KEY_BITS = np.uint64(0xFFFFFFFF)

_Whole = TypeVar("_Whole", bound=np.integer[Any])


def short_keys(keys: HashArray) -> HashArray:
    """The low 32 bits of content keys, sorted, each once, as uint64.

    Half the room of whole keys. A document that is not among n known ones is taken for one of them with a chance of
    n / 2**32: for a million, one in four thousand.
    """
    return sorted_once(short_of(keys))


def sorted_once(keys: NDArray[_Whole]) -> NDArray[_Whole]:
    """Whole numbers in rising order, each once: what :func:`numpy.unique` gives, at no cost where they are so already.

    It does not import ``numpy.ma`` either, for which a process that searches once would wait.
    """
    if (keys[1:] > keys[:-1]).all():
        return keys
    rising = np.sort(keys)
    return rising[np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))]


def short_of(keys: HashArray) -> HashArray:
    """The low 32 bits of every content key, in order."""
    short: HashArray = np.asarray(keys, dtype=np.uint64) & _KEY_BITS
    return short


def are_among(keys: HashArray, known: HashArray) -> BoolArray:
    """Which content keys are among some known ones, shape (n,).

    Args:
        keys: whole or short, uint64, shape (n,).
        known: short and sorted, as :func:`short_keys` gives them and as experts keep them.
    """
    if len(known) == 0:
        return np.zeros(len(keys), dtype=np.bool_)
    short = short_of(keys)
    places = np.minimum(np.searchsorted(known, short), len(known) - 1)
    among: BoolArray = known[places] == short
    return among


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Where some vectors lie.

    Attributes:
        n: how many.
        mean: float32, shape (dim,).
        variance: of every coordinate, float32, shape (dim,).
    """

    n: int
    mean: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, vectors: FloatArray) -> "Spread":
        """The spread of vectors, float32, shape (n, dim); zeros where there are none."""
        if len(vectors) == 0:
            nothing = np.zeros(vectors.shape[1], dtype=np.float32)
            return cls(0, nothing, nothing)
        mean, variance = vectors.mean(axis=0, dtype=np.float64), vectors.var(axis=0, dtype=np.float64)
        return cls(len(vectors), mean.astype(np.float32), variance.astype(np.float32))

    def distance(self, other: "Spread") -> float:
        """The Fréchet distance of two normal distributions with diagonal covariances, at least 0.

        The root of |m - m'|² + sum of (s - s')² over the coordinates, where s are standard deviations (Dowson and
        Landau, Journal of Multivariate Analysis 12, 1982).
        """
        means = ((self.mean.astype(np.float64) - other.mean) ** 2).sum()
        mine, theirs = (np.sqrt(one.variance.astype(np.float64)) for one in (self, other))
        return float(np.sqrt(means + ((mine - theirs) ** 2).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSketch:
    """Documents and queries that an expert was trained over, as the base embeds them.

    Attributes:
        space: fingerprint of the base's space.
        fingerprints: of the documents, uint64; sorted, each once.
        radius: in how many bits a document differs at most that counts as nearly equal to one of them.
        documents: their spread.
        queries: their spread.
    """

    space: str
    fingerprints: HashArray
    radius: int
    documents: Spread
    queries: Spread

    @classmethod
    def of(cls, space: Space, *, documents: Sequence[FloatArray], queries: Sequence[FloatArray]) -> "TrainingSketch":
        """The sketch of some data sets.

        Args:
            space: the base's.
            documents: of every set the base's vectors, float32, shape (n_documents, dim).
            queries: of every set the base's vectors, float32, shape (n_queries, dim).
        """
        nothing = np.zeros((0, space.dim), dtype=np.float32)
        texts, asked = np.concatenate([nothing, *documents]), np.concatenate([nothing, *queries])
        codes = fingerprints(texts[texts.any(axis=1)])
        return cls(space.fingerprint, np.unique(codes), radius_of(codes), Spread.of(texts), Spread.of(asked))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is saved as arrays, by name."""
        return {
            "fingerprints": self.fingerprints,
            "document_mean": self.documents.mean,
            "document_variance": self.documents.variance,
            "query_mean": self.queries.mean,
            "query_variance": self.queries.variance,
        }

    def fields(self) -> dict[str, Any]:
        """What is saved as JSON values, by name."""
        counts = {"n_documents": self.documents.n, "n_queries": self.queries.n}
        return {"space": self.space, "radius": self.radius, **counts}

    @classmethod
    def from_saved(cls, arrays: Mapping[str, NDArray[Any]], fields: Mapping[str, Any]) -> "TrainingSketch":
        """The sketch that :meth:`arrays` and :meth:`fields` told of.

        Raises:
            KeyError: something is missing.
            ValueError: the radius is out of range.
        """
        if not 0 <= fields["radius"] <= MOST_RADIUS:
            raise ValueError(f"the sketch has radius {fields['radius']}, expected 0 to {MOST_RADIUS}")
        return cls(
            space=str(fields["space"]),
            fingerprints=sorted_once(arrays["fingerprints"]),
            radius=int(fields["radius"]),
            documents=Spread(int(fields["n_documents"]), arrays["document_mean"], arrays["document_variance"]),
            queries=Spread(int(fields["n_queries"]), arrays["query_mean"], arrays["query_variance"]),
        )


@runtime_checkable
class Sketched(Protocol):
    """An expert that may carry a sketch."""

    @property
    def sketch(self) -> TrainingSketch | None:
        """Of what it was trained over; None where nobody made one."""


def sketch_in(expert: object, space: Space) -> TrainingSketch | None:
    """The sketch of an expert if it has one in a space."""
    sketch = expert.sketch if isinstance(expert, Sketched) else None
    return sketch if sketch is not None and sketch.space == space.fingerprint else None
