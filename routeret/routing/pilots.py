"""Pilots: example queries with how well every expert did on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from routeret.errors import InputError
from routeret.repeats import first_repeated
from routeret.types import FloatArray

STRENGTHS = (0.3, 0.5, 0.7, 1.0)
"""The strengths at which every expert is tried on the pilots."""

LEXICAL_WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
"""The weights of the lexical score that are tried on the pilots."""

SHARED = 0.01
"""From this share of its documents or queries on, a corpus has been seen by who has seen another one."""


@dataclass(frozen=True, slots=True)
class PilotCorpus:
    """The pilots of one training corpus: queries of its train and dev splits, never of test.

    Attributes:
        name: of the corpus; unique in a library.
        source: what the corpus was made from; corpora of one source count as one where a corpus is left out.
        texts: n_pilots queries.
        vectors: float32, shape (n_pilots, dim); the base's query embeddings.
        gains: by expert, float32, shape (n_pilots, n_strengths): nDCG@10 with the expert at each of
            :data:`STRENGTHS` minus nDCG@10 of the base; NaN where it was not measured.
        lexical_gains: float32, shape (n_pilots, n_lexical_weights): nDCG@10 with the lexical score at each of
            :data:`LEXICAL_WEIGHTS` minus without, on top of the mixture of experts that suits the corpus; NaN where
            it was not measured, None where it was measured on no pilot.
        home_experts: the experts that were trained on this corpus, the most special first.
        is_index: whether it is the index itself, tuned on labels of its own. Its expert knows all documents that were
            there, whatever else they stand in.
    """

    name: str
    texts: tuple[str, ...]
    vectors: FloatArray
    gains: Mapping[str, FloatArray] = field(default_factory=dict)
    lexical_gains: FloatArray | None = None
    home_experts: tuple[str, ...] = ()
    source: str = ""
    is_index: bool = False

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        n_pilots = len(self.texts)
        if n_pilots == 0:
            raise InputError(f"pilot corpus {self.name!r} has no queries; expected at least one")
        if self.vectors.ndim != 2 or len(self.vectors) != n_pilots:
            raise InputError(
                f"pilot corpus {self.name!r} has {n_pilots} queries and vectors of shape {self.vectors.shape}; "
                f"expected ({n_pilots}, dim)"
            )
        if not np.isfinite(self.vectors).all():
            raise InputError(f"pilot corpus {self.name!r} has vectors that are not finite; embed its queries again")
        for expert, gains in self.gains.items():
            _require_shape(gains, (n_pilots, len(STRENGTHS)), what=f"gains of expert {expert!r} on {self.name!r}")
        if self.lexical_gains is not None:
            shape = (n_pilots, len(LEXICAL_WEIGHTS))
            _require_shape(self.lexical_gains, shape, what=f"lexical gains on {self.name!r}")

    def mean_gain(self, expert: str) -> tuple[FloatArray, int]:
        """The mean gain of an expert at every strength, shape (n_strengths,), and over how many pilots.

        Zeros over 0 pilots where the expert was never measured on this corpus.
        """
        return _mean_of(measured_rows(self.gains.get(expert), n_columns=len(STRENGTHS)))

    def mean_lexical_gain(self) -> tuple[FloatArray, int]:
        """The mean gain of every lexical weight, shape (n_lexical_weights,), and over how many pilots."""
        return _mean_of(measured_rows(self.lexical_gains, n_columns=len(LEXICAL_WEIGHTS)))


@dataclass(frozen=True, slots=True)
class PilotLibrary:
    """The pilots of all training corpora, for one query tower.

    Attributes:
        query_tower: of the base encoder that embedded the pilots.
        corpora: in a fixed order.
    """

    query_tower: str
    corpora: tuple[PilotCorpus, ...]

    def __post_init__(self) -> None:
        """Refuse corpora that do not fit together."""
        names = [corpus.name for corpus in self.corpora]
        double = first_repeated(names)
        if double is not None:
            raise InputError(f"two pilot corpora are called {double!r}; rename one")
        dims = {corpus.vectors.shape[1] for corpus in self.corpora}
        if len(dims) > 1:
            raise InputError(f"pilot vectors have dimensions {sorted(dims)}; expected one, that of the base encoder")

    @property
    def experts(self) -> tuple[str, ...]:
        """Every expert measured on some pilot, in order of first appearance."""
        return tuple(dict.fromkeys(expert for corpus in self.corpora for expert in corpus.gains))

    def joined(self, other: "PilotLibrary") -> "PilotLibrary":
        """This library and another one; a corpus that both have gets the gains of both.

        Raises:
            InputError: the other was made with another query tower, or a shared corpus has other queries there.
        """
        if other.query_tower != self.query_tower:
            raise InputError(
                f"pilots were embedded by query tower {other.query_tower}, this library holds {self.query_tower}; "
                "train the expert on the base model of this library"
            )
        corpora = {corpus.name: corpus for corpus in self.corpora}
        for corpus in other.corpora:
            ours = corpora.get(corpus.name)
            corpora[corpus.name] = corpus if ours is None else _merged(ours, corpus)
        return replace(self, corpora=tuple(corpora.values()))

    def without_expert(self, expert: str) -> "PilotLibrary":
        """The library without an expert, and without the corpora that only it was measured on."""
        kept = []
        for corpus in self.corpora:
            gains = {name: values for name, values in corpus.gains.items() if name != expert}
            if gains or expert not in corpus.gains:
                home = tuple(name for name in corpus.home_experts if name != expert)
                kept.append(replace(corpus, gains=gains, home_experts=home))
        return replace(self, corpora=tuple(kept))

    def relatives(self, number: int) -> list[int]:
        """The numbers of the corpora that tell nothing new of a corpus, itself among them.

        Those are the corpora of the same source, and those that hold more than 1 % of its queries.
        """
        own = self.corpora[number]
        texts = frozenset(own.texts)
        return [
            other
            for other, corpus in enumerate(self.corpora)
            if (corpus.source or corpus.name) == (own.source or own.name)
            or sum(text in texts for text in corpus.texts) > SHARED * len(own.texts)
        ]

    def trained_on(self, numbers: Iterable[int]) -> frozenset[str]:
        """The experts that were trained on one of some corpora, by their numbers."""
        return frozenset(expert for number in numbers for expert in self.corpora[number].home_experts)

    def without_corpora(self, names: Sequence[str]) -> "PilotLibrary":
        """The library without some corpora."""
        return replace(self, corpora=tuple(corpus for corpus in self.corpora if corpus.name not in names))


def _merged(ours: PilotCorpus, theirs: PilotCorpus) -> PilotCorpus:
    if ours.texts != theirs.texts:
        raise InputError(
            f"both libraries have a pilot corpus {ours.name!r} but with other queries "
            f"({len(ours.texts)} and {len(theirs.texts)}); rename one of the two data sets"
        )
    return replace(
        ours,
        gains={**ours.gains, **theirs.gains},
        lexical_gains=ours.lexical_gains if ours.lexical_gains is not None else theirs.lexical_gains,
        home_experts=tuple(dict.fromkeys((*ours.home_experts, *theirs.home_experts))),
    )


def measured_rows(gains: FloatArray | None, *, n_columns: int = len(STRENGTHS)) -> FloatArray:
    """The gains of the pilots that were measured, float32, shape (n_measured, n_columns).

    Args:
        gains: as a :class:`PilotCorpus` holds them, NaN where nothing was measured; None where nothing was at all.
        n_columns: how many columns there are.
    """
    if gains is None:
        return np.zeros((0, n_columns), dtype=np.float32)
    return gains[np.isfinite(gains).all(axis=1)]


def _mean_of(measured: FloatArray) -> tuple[FloatArray, int]:
    if len(measured) == 0:
        return np.zeros(measured.shape[1], dtype=np.float32), 0
    return measured.mean(axis=0, dtype=np.float64).astype(np.float32), len(measured)


def _require_shape(array: FloatArray, shape: tuple[int, int], *, what: str) -> None:
    if array.shape != shape:
        raise InputError(f"{what} have shape {array.shape}, expected {shape}")
    if np.isinf(array).any():
        raise InputError(f"{what} are infinite somewhere; measure them again")
