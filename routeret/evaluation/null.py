"""What a query oracle gains by choice alone: over random maps that change queries as much as the experts do."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from routeret.evaluation.oracles import QUERY_ORACLE_NULL, query_oracle
from routeret.experts import LinearExpert
from routeret.measures import PerQuery
from routeret.retriever.pool import Pool
from routeret.types import BASE, FloatArray

NULL = "null:"
"""How the name of a system begins that is one random map alone; it is not reported."""


def null_pool(pool: Pool, *, seed: int = 0) -> Pool | None:
    """A pool of as many random maps as there are experts, each as strong as the expert whose name it has.

    The best of several noisy scores is above all of them, whatever was learned. A random map writes q as q + s R W q: W
    and the strength s are the expert's, and R is a random rotation, drawn for each expert. So it adds to every query a
    vector as long as the expert's, in a direction that has nothing to do with any training.

    Args:
        pool: with experts of any kind.
        seed: of the rotations.

    Returns:
        None where there are no experts, or some expert is no linear map in the base's space.
    """
    experts = [expert for expert in pool.experts if isinstance(expert, LinearExpert)]
    if not experts or len(experts) < len(pool.experts):
        return None
    rng = np.random.default_rng(seed)
    rotated = [replace(expert, weight=_rotation(expert.space.dim, rng) @ expert.weight) for expert in experts]
    return replace(pool, experts=tuple(rotated), router=None)


def with_null_oracle(per_query: Mapping[str, PerQuery | None]) -> dict[str, PerQuery | None]:
    """The same systems, with the query oracle over the base and the random maps in place of the maps.

    Args:
        per_query: measures by system, the base among them; where none begins with :data:`NULL`, nothing changes.
    """
    systems = {name: values for name, values in per_query.items() if not name.startswith(NULL)}
    maps = [values for name, values in per_query.items() if name.startswith(NULL) and values is not None]
    base = per_query.get(BASE)
    if maps and base is not None:
        systems[QUERY_ORACLE_NULL] = query_oracle({BASE: base, **{str(one): values for one, values in enumerate(maps)}})
    return systems


def _rotation(dim: int, rng: np.random.Generator) -> FloatArray:
    """An orthogonal matrix, all equally likely (Mezzadri, arXiv math-ph/0609050, section 5), float32."""
    q, r = np.linalg.qr(rng.normal(size=(dim, dim)))
    return np.asarray(q * np.sign(np.diagonal(r)), dtype=np.float32)
