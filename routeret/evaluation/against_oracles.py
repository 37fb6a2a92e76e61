"""How near systems come to the oracles: their regret, and the share of the gap that they close."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routeret.evaluation.dataset_report import DECIMALS, DatasetReport, QueryScores, Regret, Systems
from routeret.evaluation.layout import EXPERT, system_order
from routeret.evaluation.oracles import BOUNDS, DATASET_ORACLE, QUERY_ORACLE
from routeret.measures import NDCG
from routeret.types import BASE

_SMALLEST_GAP = 1e-4  # a share of less is a share of the rounding
_EQUAL = 1e-9


ClosedGaps = Mapping[str, float | None]
"""The share of the gap from one model to an oracle that a system closes, by the oracle's name.

1 reaches the oracle, 0 is the model. A system that mixes actions may go beyond 1, and one that is worse than the model
is below 0. None where the oracle is not better than the model."""


@dataclass(frozen=True, slots=True)
class AgainstOracles:
    """A system beside the oracles, over the datasets that have it, each counting once.

    Attributes:
        regret: the means of the datasets' regrets, beside the query oracle over base and experts.
        from_base: what it closes of the gaps from the base.
        from_best_single: what it closes of the gaps from the best single model.
    """

    regret: Regret
    from_base: ClosedGaps
    from_best_single: ClosedGaps


def regrets(scores: QueryScores) -> dict[str, Regret] | None:
    """How far every system is from the query oracle on one dataset; None if that was not measured.

    Args:
        scores: what the systems scored query by query.
    """
    if QUERY_ORACLE not in scores.systems:
        return None
    more = np.maximum(-scores.less(QUERY_ORACLE, scores.systems), 0.0)
    means, shares = more.mean(axis=0), (more <= _EQUAL).mean(axis=0)
    return {
        name: Regret(round(float(mean), DECIMALS), round(float(share), DECIMALS))
        for name, mean, share in zip(scores.systems, means, shares, strict=True)
    }


def best_single_model(datasets: Sequence[Systems]) -> str:
    """The one model with the highest mean nDCG@10 over datasets: the base, or an expert that all of them have.

    It is chosen by the answers, so it is a control and no system to use. Of equal ones the first in the order of the
    tables counts, so the base before all.

    Args:
        datasets: mean measures by system, of at least one dataset; each has the base.
    """
    names = system_order(name for name in datasets[0] if name == BASE or name.startswith(EXPERT))
    common = [name for name in names if all(systems.get(name) is not None for systems in datasets)]
    return max(common, key=lambda name: _mean(datasets, name))


def against_oracles(datasets: Sequence[DatasetReport]) -> dict[str, AgainstOracles | None] | None:
    """Every system beside the oracles that all datasets have.

    None as a whole where some dataset lacks the data-set oracle or the query oracle over base and experts.

    Args:
        datasets: at least one.

    Returns:
        By system; None for one that no dataset has.
    """
    if not all(dataset.regret is not None and dataset.systems.get(DATASET_ORACLE) is not None for dataset in datasets):
        return None
    single = best_single_model([dataset.systems for dataset in datasets])
    oracles = [name for name in BOUNDS if all(dataset.systems.get(name) is not None for dataset in datasets)]
    names = system_order({name for dataset in datasets for name in dataset.systems})
    return {name: _against(datasets, name, single=single, oracles=oracles) for name in names}


def against_oracles_of(values: Mapping[str, Any]) -> dict[str, AgainstOracles | None]:
    """Systems beside the oracles from their plain JSON values."""
    return {
        system: AgainstOracles(
            regret=Regret(**found["regret"]),
            from_base=found["from_base"],
            from_best_single=found["from_best_single"],
        )
        if found
        else None
        for system, found in values.items()
    }


def _against(
    datasets: Sequence[DatasetReport], name: str, *, single: str, oracles: Sequence[str]
) -> AgainstOracles | None:
    present = [regret for one in datasets if one.regret and (regret := one.regret.get(name)) is not None]
    if not present:
        return None
    held = [dataset.systems for dataset in datasets if dataset.systems.get(name) is not None]
    return AgainstOracles(
        regret=Regret(
            round(statistics.fmean(regret.mean for regret in present), DECIMALS),
            round(statistics.fmean(regret.zero_share for regret in present), DECIMALS),
        ),
        from_base=_closed(held, name, start=BASE, oracles=oracles),
        from_best_single=_closed(held, name, start=single, oracles=oracles),
    )


def _closed(datasets: Sequence[Systems], name: str, *, start: str, oracles: Sequence[str]) -> dict[str, float | None]:
    below, reached = _mean(datasets, start), _mean(datasets, name)
    gaps = {oracle: _mean(datasets, oracle) - below for oracle in oracles}
    return {
        oracle: round((reached - below) / gap, DECIMALS) if gap >= _SMALLEST_GAP else None
        for oracle, gap in gaps.items()
    }


def _mean(datasets: Sequence[Systems], name: str) -> float:
    return statistics.fmean((systems[name] or {})[NDCG] for systems in datasets)
