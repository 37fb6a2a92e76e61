"""How the systems differ from the base: on one dataset, over several, and as one family of comparisons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from routeret.evaluation.dataset_report import DECIMALS, DatasetReport, Difference, QueryScores
from routeret.evaluation.layout import system_order
from routeret.evaluation.oracles import is_oracle
from routeret.significance import Intervals, bootstrap_intervals, hierarchical_intervals, holm, sign_flip_p_values
from routeret.types import BASE


def dataset_differences(scores: QueryScores, *, seed: int = 0) -> dict[str, Difference]:
    """The difference of every system to the base on one dataset, by system, each with a p-value.

    Args:
        scores: what the systems scored query by query, the base among them.
        seed: fixes the resamples.
    """
    differences = scores.less(BASE, scores.systems)
    intervals = bootstrap_intervals(differences, clusters=scores.clusters, seed=seed)
    p_values = sign_flip_p_values(differences, clusters=scores.clusters, seed=seed)
    found = _differences(scores.systems, intervals)
    return {
        name: replace(found[name], p_value=round(float(p_value), DECIMALS))
        for name, p_value in zip(scores.systems, p_values, strict=True)
    }


def differences_over(datasets: Mapping[str, DatasetReport], *, seed: int = 0) -> dict[str, Difference | None] | None:
    """The difference of every system to the base over datasets that each count once, by system.

    The interval draws datasets and then clusters of queries
    (:func:`routeret.significance.hierarchical_intervals`); there is no p-value. A system goes over the datasets that
    have it; one that none has is None.

    Args:
        datasets: by name, at least one.
        seed: fixes the resamples.

    Returns:
        None as a whole where some dataset does not tell what the systems scored query by query.
    """
    scores = [dataset.scores for dataset in datasets.values() if dataset.scores is not None]
    if len(scores) < len(datasets):
        return None
    systems_by_holders: dict[tuple[int, ...], list[str]] = {}
    names = system_order({name for dataset in datasets.values() for name in dataset.systems})
    for name in names:
        holders = tuple(number for number, one in enumerate(scores) if name in one.systems)
        systems_by_holders.setdefault(holders, []).append(name)
    found: dict[str, Difference] = {}
    for holders, systems in systems_by_holders.items():
        if holders:
            held = [scores[number] for number in holders]
            found |= _differences(
                systems,
                hierarchical_intervals(
                    [one.less(BASE, systems) for one in held], clusters=[one.clusters for one in held], seed=seed
                ),
            )
    return {name: found.get(name) for name in names}


def with_holm(datasets: Mapping[str, DatasetReport]) -> dict[str, DatasetReport]:
    """The same datasets, with the p-values of all of them adjusted as one family.

    The family is every comparison with the base, of every system and on every dataset, but those of the oracles.

    Args:
        datasets: by name.
    """
    family = [
        (dataset, system, difference.p_value)
        for dataset, report in datasets.items()
        for system, difference in report.diff_to_base.items()
        if difference is not None and difference.p_value is not None and system != BASE and not is_oracle(system)
    ]
    adjusted = holm([p_value for *_, p_value in family])
    p_holm = {
        (dataset, system): round(value, DECIMALS) for (dataset, system, _), value in zip(family, adjusted, strict=True)
    }
    return {
        dataset: replace(
            report,
            diff_to_base={
                system: difference and replace(difference, p_holm=p_holm.get((dataset, system)))
                for system, difference in report.diff_to_base.items()
            },
        )
        for dataset, report in datasets.items()
    }


def _differences(systems: Sequence[str], intervals: Intervals) -> dict[str, Difference]:
    return {
        name: Difference(*(round(float(value), DECIMALS) for value in interval))
        for name, *interval in zip(systems, *intervals, strict=True)
    }
