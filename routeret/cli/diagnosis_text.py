"""A diagnosis in words."""

from collections.abc import Iterator

from routeret.cli.output import shortened, table_lines
from routeret.doctor.diagnosis import FEWEST_CLUSTERS, Diagnosis, ExpertUse
from routeret.types import BASE, LEXICAL

_HEAD = ("", "weight", "largest", "acts", "strength", "predicted gain")
_EFFECT = "nDCG@10 with it minus without, 95 % interval"
_WIDTH = 100


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """A table of the experts, and sentences that say what is wrong and what to do about it."""
    findings = [*_unused(diagnosis), *_harm(diagnosis), *_drift(diagnosis)]
    return "\n".join(
        [_heading(diagnosis), "", *_table(diagnosis), "", *_router_lines(diagnosis), "", *findings],
    )


def _percent(share: float) -> str:
    """A share in whole percent; what is more than nothing is not shown as nothing."""
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _heading(diagnosis: Diagnosis) -> str:
    labelled = f", {diagnosis.n_labelled:,} of them with right documents" if diagnosis.n_labelled else ""
    return f"{_queries(diagnosis.n_queries)} routed over {diagnosis.index}{labelled}."


def _table(diagnosis: Diagnosis) -> list[str]:
    base = (BASE, f"{diagnosis.base_weight:.2f}", _percent(diagnosis.base_wins), "-", "-", "-")
    rows = [_HEAD, base, *(_row(expert) for expert in diagnosis.experts)]
    if diagnosis.n_labelled:
        effects = [_EFFECT, "-", *(_effect(expert) for expert in diagnosis.experts)]
        rows = [(*row, effect) for row, effect in zip(rows, effects, strict=True)]
    return table_lines(rows)


def _row(expert: ExpertUse) -> tuple[str, ...]:
    strength = "-" if expert.strength is None else f"{expert.strength:.2f}"
    gain = "-" if expert.predicted_gain is None else f"{expert.predicted_gain:+.3f}"
    return (expert.name, f"{expert.weight:.2f}", _percent(expert.wins), _percent(expert.acts), strength, gain)


def _effect(expert: ExpertUse) -> str:
    effect = expert.effect
    return "-" if effect is None else f"{effect.mean:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"


def _router_lines(diagnosis: Diagnosis) -> list[str]:
    return [
        f"Entropy of the mean weights {diagnosis.entropy:.2f}, mean entropy of a query's weights "
        f"{diagnosis.query_entropy:.2f} (0: one has it all, 1: all have the same).",
        f"The router held back for {_percent(diagnosis.held_back)} of the queries, the index's own map turned "
        f"{_percent(diagnosis.turned)}, and the mean weight of {LEXICAL} is {diagnosis.lexical_weight:.2f}.",
    ]


def _unused(diagnosis: Diagnosis) -> Iterator[str]:
    for expert in diagnosis.experts:
        if expert.name in diagnosis.never_act:
            found = f"{expert.name} never acts on these queries"
        elif expert.name in diagnosis.never_win and not _helps(expert):
            found = f"{expert.name} acts on {_percent(expert.acts)} of the queries and never has the largest weight"
        else:
            continue
        yield f"{found}; if that stays so: routeret experts remove {diagnosis.index} {expert.name}"


def _helps(expert: ExpertUse) -> bool:
    return expert.effect is not None and expert.effect.low > 0


def _harm(diagnosis: Diagnosis) -> Iterator[str]:
    for name in diagnosis.harmful:
        yield (
            f"{name} harms: without it the search finds more, by the whole interval; to remove it: routeret experts "
            f"remove {diagnosis.index} {name}"
        )
    if diagnosis.n_labelled and diagnosis.n_clusters < FEWEST_CLUSTERS:
        yield (
            f"Whether an expert harms cannot be told from {diagnosis.n_clusters} independent labelled queries; "
            f"expected at least {FEWEST_CLUSTERS}."
        )


def _drift(diagnosis: Diagnosis) -> Iterator[str]:
    drift = diagnosis.drift
    if drift.n_far == 0:
        yield "Every query is like some training corpus, or finds documents that some expert knows."
        return
    yield f"{_percent(drift.share)} of {_queries(diagnosis.n_queries)} match no expert; typical:"
    for typical in drift.typical:
        yield f"  {shortened(typical.query, _WIDTH)} (stands for {typical.n_near:,})"
    yield (f"To make an expert for them, label some and run: routeret tune {diagnosis.index} --queries labelled.jsonl")


def _queries(n: int) -> str:
    return f"{n:,} {'query' if n == 1 else 'queries'}"
