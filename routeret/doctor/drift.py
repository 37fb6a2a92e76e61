"""Queries that no expert was made for, and which of them are typical."""

from collections.abc import Sequence

import numpy as np

from routeret.doctor.diagnosis import Drift, Typical
from routeret.doctor.observing import Observed
from routeret.routing.picking import unit
from routeret.types import BoolArray, FloatArray

FAR_BELOW = 0.1
"""A query less like every training corpus than this is far from all pilots."""

MOST_TYPICAL = 5
"""How many typical queries are named at most."""

_NEAR = 0.5  # cosine; what is this similar to a typical query is spoken for by it


def drift_of(observed: Observed, texts: Sequence[str]) -> Drift:
    """The queries that are far from every pilot and whose first hits no expert was trained over.

    Args:
        observed: what the router decided.
        texts: of the same queries.
    """
    far = far_queries(observed)
    numbers = np.flatnonzero(far)
    return Drift(
        n_far=len(numbers),
        share=len(numbers) / len(observed),
        typical=typical_queries(observed.base[numbers], [texts[number] for number in numbers.tolist()]),
    )


def far_queries(observed: Observed) -> BoolArray:
    """Which queries match no expert, shape (n_queries,)."""
    far: BoolArray = (observed.likeness < FAR_BELOW) & ~observed.knows_hits
    return far


def typical_queries(vectors: FloatArray, texts: Sequence[str]) -> tuple[Typical, ...]:
    """A few queries that stand for many: medoids, the one with the most company first.

    The first is the query with the highest mean cosine to all others. It speaks for those that are near it, which are
    left out; the next is chosen among the rest in the same way. Of equal ones the first in the log is taken.

    Args:
        vectors: float32, shape (n_queries, dim).
        texts: the queries.
    """
    units = unit(vectors)
    rest = np.arange(len(units))
    found: list[Typical] = []
    while len(rest) and len(found) < MOST_TYPICAL:
        others = units[rest]
        # The mean cosine to the others needs no matrix: it is the product with their sum.
        company = (others @ others.sum(axis=0) - 1) / max(len(rest) - 1, 1)
        chosen = int(np.argmax(np.round(company, 6)))
        near = others @ others[chosen] >= _NEAR
        near[chosen] = True
        found.append(Typical(query=texts[rest[chosen]], n_near=int(near.sum())))
        rest = rest[~near]
    return tuple(found)
