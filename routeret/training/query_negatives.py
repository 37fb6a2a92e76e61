"""Hard negatives and likely answers of the queries that an expert of the base's space is fitted to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from routeret.training.embedded import EmbeddedQueries, EmbeddedSet
from routeret.training.material import Material
from routeret.training.negatives import HardNegatives, merged, mine, mine_by_words
from routeret.training.training_set import TrainingSet
from routeret.types import FloatArray, IntArray


class Mining(Protocol):
    """The settings of a recipe that tell what is mined."""

    @property
    def n_hard_negatives(self) -> int:
        """Of every query; 0 mines none."""

    @property
    def margin(self) -> float | None:
        """How far below the answers' score a mined negative stays; None leaves no likely answer out."""

    @property
    def ignores_likely_answers(self) -> bool:
        """Whether other documents than the mined ones have to stay below it, too."""

    @property
    def n_drawn(self) -> int:
        """How many documents are drawn a step; a corpus of no more is a candidate as a whole."""


def with_negatives(
    material: Material, recipe: Mining, *, written: Sequence[FloatArray] | None = None
) -> list[TrainingSet]:
    """The training sets of a material with the hard negatives and the likely answers that a recipe asks for.

    Args:
        material: what an expert is fitted to.
        recipe: how many negatives, and how far from the answers.
        written: the train queries of every set as an expert writes them, float32, shape (n_queries, dim); it gives
            negatives in turn with the base and BM25. None takes these two alone.

    Returns:
        One a set; a set whose whole corpus is a candidate has no hard negatives.
    """
    sets = []
    for number, training in enumerate(material.training):
        if recipe.ignores_likely_answers and recipe.margin is not None:
            training = replace(training, ignored_above=limits_of_answers(training, margin=recipe.margin))
        if 0 < recipe.n_hard_negatives and recipe.n_drawn < len(training.documents):
            queries = material.divisions[number].train
            others = [] if written is None else [written[number]]
            mined = mined_negatives(
                material.sets[number],
                queries,
                vectors=[queries.vectors, *others],
                n=recipe.n_hard_negatives,
                margin=recipe.margin,
            )
            training = replace(training, hard_negatives=mined.rows)
        sets.append(training)
    return sets


def mined_negatives(
    embedded: EmbeddedSet,
    queries: EmbeddedQueries,
    *,
    vectors: Sequence[FloatArray],
    n: int,
    margin: float | None,
) -> HardNegatives:
    """Hard negatives by every kind of query vectors and by BM25, in turn.

    Args:
        embedded: the data set.
        queries: of it.
        vectors: the queries as the base and others write them, each float32, shape (n_queries, dim).
        n: negatives a query, at least 1.
        margin: as for :func:`~routeret.training.negatives.hard_negatives`.

    Raises:
        InputError: ``n`` or ``margin`` is out of its range.
    """
    sources = [mine(one, embedded.documents, queries.relevant, n=n, margin=margin) for one in vectors]
    texts = [f"{document.title} {document.text}" for document in embedded.corpus]
    sources.append(mine_by_words(queries.texts, texts, queries.relevant, n=n, margin=margin))
    return merged(sources, n=n)


def limits_of_answers(training: TrainingSet, *, margin: float) -> FloatArray:
    """The score above which a document is likely to answer a query, by the scores of its known answers.

    With p the mean score of the answers it is p - ``margin`` * abs(p), as for
    :func:`~routeret.training.negatives.hard_negatives`. One number a query stands for the rows, which may be most of
    the corpus for a query whose answers the base does not find.

    Args:
        training: the queries with their answers.
        margin: 0 to 1.

    Returns:
        float32, shape (n_queries,).
    """
    means = np.array([_mean_score(training, query, rows) for query, rows in enumerate(training.positives)])
    limits: FloatArray = (means - margin * np.abs(means)).astype(np.float32)
    return limits


def _mean_score(training: TrainingSet, query: int, rows: IntArray) -> float:
    scores: FloatArray = training.documents[rows] @ training.queries[query]
    return float(scores.mean(dtype=np.float64))
