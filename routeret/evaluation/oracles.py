"""What a router could gain at most: the best of its actions, chosen with the answers at hand."""

from collections.abc import Mapping

from routeret.errors import InputError
from routeret.measures import NDCG, PerQuery, mean_measures

DATASET_ORACLE = "dataset_oracle"
QUERY_ORACLE = "query_oracle"

STRENGTHS_SUFFIX = "_strengths"
"""How the name of an oracle ends that chooses among base and experts, each at every strength."""

HYBRID_SUFFIX = "_hybrid"
"""How the name of an oracle ends that chooses a weight of BM25 on top."""

NULL_SUFFIX = "_null"
"""How the name of an oracle ends that chooses among as many random maps instead."""

QUERY_ORACLE_NULL = QUERY_ORACLE + NULL_SUFFIX

ORACLES = tuple(
    name
    for suffix in ("", STRENGTHS_SUFFIX, HYBRID_SUFFIX)
    for name in (DATASET_ORACLE + suffix, QUERY_ORACLE + suffix, QUERY_ORACLE + suffix + NULL_SUFFIX)
)
"""The names of all oracles, in the order of the tables."""

BOUNDS = tuple(name for name in ORACLES if not name.endswith(NULL_SUFFIX))
"""The names of the oracles over the actions of the pool itself."""

PLAIN = (DATASET_ORACLE, QUERY_ORACLE)
"""The oracles over base and experts, each at its own strength."""

FURTHER = tuple(name for name in ORACLES if name not in PLAIN)
"""The other oracles, which tables show apart."""


def is_oracle(system: str) -> bool:
    """Whether a system is an oracle by its name: a bound that the answers were needed for, and no system to use."""
    return system in ORACLES


def dataset_oracle(actions: Mapping[str, PerQuery]) -> PerQuery:
    """Give the values of the one action with the highest mean nDCG@10 over all queries.

    Args:
        actions: values of the base and the experts, over the same queries; of equal ones the first counts.

    Raises:
        InputError: there is no action.
    """
    _require_actions(actions)
    return max(actions.values(), key=lambda per_query: mean_measures(per_query)[NDCG])


def query_oracle(actions: Mapping[str, PerQuery]) -> PerQuery:
    """Give for every query all values of the action with the highest nDCG@10 on it.

    Args:
        actions: values of the base and the experts, over the same queries; of equal ones the first counts.

    Raises:
        InputError: there is no action.
    """
    _require_actions(actions)
    candidates = list(actions.values())
    return {
        query_id: max((per_query[query_id] for per_query in candidates), key=lambda values: values[NDCG])
        for query_id in candidates[0]
    }


def _require_actions(actions: Mapping[str, PerQuery]) -> None:
    if not actions:
        raise InputError("an oracle over 0 actions was asked for; expected the base or at least one expert")
