"""Pilots in three directions, and what a router picks, for tests that follow routers by hand."""

import numpy as np

from routeret.routing import STRENGTHS, PilotCorpus
from routeret.types import QueryBatch

X, Y, Z = np.eye(3, dtype=np.float32)


def corpus(name, vectors, *, home=(), **gains):
    """Pilots with gains by expert: one a pilot, the same at every strength, or one a pilot and strength."""
    columns = {expert: np.array(values, dtype=np.float32) for expert, values in gains.items()}
    return PilotCorpus(
        name=name,
        texts=tuple(f"{name} {number}" for number in range(len(vectors))),
        vectors=np.stack(vectors).astype(np.float32),
        gains={
            expert: values if values.ndim == 2 else np.tile(values[:, None], (1, len(STRENGTHS)))
            for expert, values in columns.items()
        },
        home_experts=home,
    )


def routed(router, *vectors):
    """The decisions for some vectors."""
    base = np.array(vectors, dtype=np.float32).reshape(len(vectors), 3)
    known = np.zeros((len(base), len(router.expert_names)), dtype=np.float32)
    return router.route(QueryBatch(tuple(f"q{number}" for number in range(len(base))), base), known=known)


def picks(router, *vectors):
    """The name of the expert that gets each query, or ``base``."""
    routing = routed(router, *vectors)
    assert np.isin(routing.weights, [0, 1]).all()
    assert (routing.weights.sum(axis=1) == 1).all()
    return [("base", *router.expert_names)[column] for column in routing.weights.argmax(axis=1)]


def actions(router, *vectors):
    """The expert that gets each query with its strength, or ``base``."""
    strengths = routed(router, *vectors).strengths
    return [
        name if name == "base" else (name, round(float(line[router.expert_names.index(name)]), 4))
        for name, line in zip(picks(router, *vectors), strengths, strict=True)
    ]
