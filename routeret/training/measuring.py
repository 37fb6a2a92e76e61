"""Pilots of a data set: which queries they are, and what experts gain on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from routeret.errors import CorpusError
from routeret.protocols import Expert
from routeret.routing.pilots import STRENGTHS, PilotCorpus
from routeret.training.embedded import EmbeddedQueries, EmbeddedSet
from routeret.types import FloatArray, IntArray, QueryBatch

_PILOT_SEED = 0
_MOST_DEV = 1000
_HELD_OUT_SHARE = 5
_MOST_HELD_OUT = 400
_MOST_MEASURED_PILOTS = 400
_MOST_OTHER_PILOTS = 300


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """The queries of a data set by what they are used for.

    It depends on the data alone, never on a seed, so that two experts that are trained on one data set bring the same
    pilots.

    Attributes:
        train: experts are fitted to these.
        dev: options are chosen, and gains measured, on these; at most 1,000.
        held_out: whether ``dev`` was taken out of the train split, since the set has no dev split.
    """

    train: EmbeddedQueries
    dev: EmbeddedQueries
    held_out: bool


def divide(embedded: EmbeddedSet) -> Division:
    """The train and dev queries of a data set.

    Without a dev split, a fifth of the train queries, at most 400, is held out instead.

    Raises:
        CorpusError: there is no train split, or too little of it.
    """
    train = embedded.queries_by_split.get("train")
    if train is None:
        raise CorpusError(
            f"data set {embedded.name!r} has no train queries with a relevant document; an expert is fitted to the "
            f"split 'train': add qrels/train.tsv"
        )
    dev = embedded.queries_by_split.get("dev")
    if dev is not None:
        judging = _some(len(dev), _MOST_DEV, np.random.default_rng(_PILOT_SEED))
        return Division(train=train, dev=dev.take(judging), held_out=False)
    held_out = held_out_rows(train.ids, name=embedded.name)
    rest = np.setdiff1d(np.arange(len(train)), held_out)
    return Division(train=train.take(rest), dev=train.take(held_out), held_out=True)


def held_out_rows(ids: Sequence[str], *, name: str) -> IntArray:
    """Which train queries of a data set without dev queries judge what is trained on the others.

    A fifth of them, at most 400; the same ones whenever the ids are the same.

    Args:
        ids: of all train queries with a relevant document, in file order.
        name: of the data set.

    Returns:
        Their places among the ids, rising.

    Raises:
        CorpusError: there are too few to hold some out.
    """
    if len(ids) < _HELD_OUT_SHARE:
        raise CorpusError(
            f"data set {name!r} has {len(ids)} train queries and no dev split; expected a dev split, or at least "
            f"{_HELD_OUT_SHARE} train queries to hold some out"
        )
    n_held_out = min(len(ids) // _HELD_OUT_SHARE, _MOST_HELD_OUT)
    return _some(len(ids), n_held_out, np.random.default_rng(_PILOT_SEED))


def measure_gains(embedded: EmbeddedSet, queries: EmbeddedQueries, expert: Expert) -> FloatArray:
    """What an expert gains on queries: nDCG@10 at each of the pilots' strengths minus that of the base.

    Args:
        embedded: holds the documents.
        queries: of this set.
        expert: of the set's space.

    Returns:
        float32, shape (n_queries, n_strengths).
    """
    judged = embedded.judged(queries)
    base = judged.ndcg_of(queries.vectors)
    batch = QueryBatch(queries.texts, queries.vectors)
    columns = [
        judged.ndcg_of(expert.encode_queries(batch, strengths=np.full(len(queries), strength, dtype=np.float32)))
        for strength in STRENGTHS
    ]
    return np.stack(columns, axis=1) - base[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class PilotQueries:
    """The queries of a data set that become pilots.

    Attributes:
        measured: up to 400 dev queries, on which gains are measured.
        others: up to 300 train queries, which stand beside them without gains, since an expert that was fitted to a
            query says nothing about queries it has not seen.
    """

    measured: EmbeddedQueries
    others: EmbeddedQueries

    def with_unmeasured(self, gains: FloatArray) -> FloatArray:
        """Gains of the measured queries, shape (n_measured, n), with NaN for the others below."""
        unknown = np.full((len(self.others), gains.shape[1]), np.nan, dtype=np.float32)
        return np.concatenate([gains, unknown])


def pilot_queries(embedded: EmbeddedSet) -> PilotQueries:
    """The queries that become pilots; the same ones whenever the data are the same.

    Raises:
        CorpusError: there is no train split.
    """
    division = divide(embedded)
    rng = np.random.default_rng(_PILOT_SEED)
    return PilotQueries(
        measured=division.dev.take(_some(len(division.dev), _MOST_MEASURED_PILOTS, rng)),
        others=division.train.take(_some(len(division.train), _MOST_OTHER_PILOTS, rng)),
    )


def pilot_corpus(
    embedded: EmbeddedSet, experts: Sequence[Expert], *, home_experts: Sequence[str] = (), source: str = ""
) -> PilotCorpus:
    """The pilots of a data set with the gains of some experts.

    Args:
        embedded: the data set.
        experts: of its space.
        home_experts: names of those that were trained on it, the most special first.
        source: what the corpus was made from; see :class:`~routeret.routing.pilots.PilotCorpus`.

    Raises:
        CorpusError: there is no train split.
    """
    pilots = pilot_queries(embedded)
    return PilotCorpus(
        name=embedded.name,
        source=source,
        texts=pilots.measured.texts + pilots.others.texts,
        vectors=np.concatenate([pilots.measured.vectors, pilots.others.vectors]),
        gains={
            expert.name: pilots.with_unmeasured(measure_gains(embedded, pilots.measured, expert)) for expert in experts
        },
        home_experts=tuple(home_experts),
    )


def _some(n_queries: int, at_most: int, rng: np.random.Generator) -> IntArray:
    """Numbers of some queries, rising; all where there are few."""
    if n_queries <= at_most:
        return np.arange(n_queries)
    return np.sort(rng.choice(n_queries, at_most, replace=False))
