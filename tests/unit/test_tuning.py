"""Tuning to one index: what is believed about a gain, what is measured, what is decided."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from routeret.errors import InputError
from routeret.routing.pilots import LEXICAL_WEIGHTS
from routeret.training.belief import Belief, TuningRule
from routeret.training.lexical_choice import LexicalChoice
from routeret.training.ridge import RidgeRecipe
from routeret.training.scoring import ndcg_of_scores
from routeret.training.tuning import tune
from routeret.training.tuning_task import TuningTask

LOOSE = RidgeRecipe(ridge=0.01)
ONE = TuningRule(strengths=(0.5,), expected=(0.01,), spread=(0.02,))


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_unit(n, dim, seed):
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def turned_task(n=60, dim=8, noise=0.0, **changes):
    """The query of document i is the document with its axes shifted by one: a map finds it, the base does not."""
    documents = random_unit(n, dim, 0)
    queries = unit(np.roll(documents, 1, axis=1) + noise * random_unit(n, dim, 1))
    relevant = tuple(np.array([number], dtype=np.int64) for number in range(n))
    return TuningTask(**{"base": queries, "present": queries, "documents": documents, "relevant": relevant, **changes})


# --- beliefs ---------------------------------------------------------------------------------------------------------


def test_a_belief_lies_between_prior_and_evidence():
    # 100 differences of 0.04: squared error (100 * 0.0016 + 0.05) / 100^2 = 2.1e-5 beside the prior's 4e-4.
    belief = ONE.beliefs(np.full((100, 1), 0.04, dtype=np.float32))[0]
    trust = 4e-4 / (4e-4 + 2.1e-5)
    assert belief.mean == pytest.approx(trust * 0.04 + (1 - trust) * 0.01, rel=1e-4)
    assert belief.deviation == pytest.approx((trust * 2.1e-5) ** 0.5, rel=1e-4)
    assert 0.01 < belief.mean < 0.04


def test_few_queries_leave_the_prior_nearly_as_it_was():
    # Two differences of 0.5: squared error (0.5 + 0.05) / 4 = 0.1375, a trust of 0.0029.
    belief = ONE.beliefs(np.full((2, 1), 0.5, dtype=np.float32))[0]
    assert belief.mean == pytest.approx(0.0114, abs=1e-4)


def test_no_moved_query_is_evidence_for_no_gain():
    belief = ONE.beliefs(np.zeros((100, 1), dtype=np.float32))[0]
    assert belief.mean == pytest.approx(0.01 * 5e-6 / (4e-4 + 5e-6), rel=1e-3)
    assert not ONE.accepts(belief)


def test_probabilities_are_those_of_the_normal_distribution():
    belief = Belief(strength=1.0, mean=0.01, deviation=0.02)
    assert belief.probability_below(0.01) == pytest.approx(0.5)
    assert belief.probability_below(-0.01) == pytest.approx(0.158655, abs=1e-6)  # one standard deviation


@pytest.mark.parametrize(
    ("mean", "deviation", "accepted"),
    [(0.02, 0.01, True), (0.002, 0.001, False), (0.02, 0.03, False), (-0.02, 0.001, False)],
)
def test_an_expert_must_be_expected_to_gain_and_unlikely_to_harm(mean, deviation, accepted):
    assert ONE.accepts(Belief(strength=0.5, mean=mean, deviation=deviation)) is accepted


def test_the_strength_with_the_highest_expected_gain_is_chosen_and_the_weaker_of_equals():
    rule = TuningRule(strengths=(0.3, 0.7), expected=(0.01, 0.01), spread=(0.02, 0.02))
    assert rule.choose(np.tile(np.float32([0.01, 0.03]), (50, 1))).strength == 0.7
    assert rule.choose(np.tile(np.float32([0.02, 0.02]), (50, 1))).strength == 0.3


# --- tuning ----------------------------------------------------------------------------------------------------------


def test_a_true_gain_is_found_measured_and_installed():
    task = turned_task()
    outcome = tune(task, name="own")
    report = outcome.report
    assert report.installed
    assert report.before == pytest.approx(task.ndcg_now().mean())
    assert report.after > report.before + 0.1
    assert report.p_value < 0.01
    assert (report.expert, report.n_queries, report.strength) == ("own", 60, outcome.strength)
    assert outcome.share == 1.0
    assert outcome.gains.shape == (60, 4)
    assert "benefit outweighs" in report.reason
    # Documents asked about by nobody so far are found as well.
    unseen = turned_task(n=200)
    at = outcome.strength
    moved = unit(unseen.base + at * (unseen.base @ outcome.weight.T))
    grades = [np.ones(1, np.float32)] * 200
    after = ndcg_of_scores(moved @ unseen.documents.T, relevant=unseen.relevant, grades=grades).mean()
    assert after > unseen.ndcg_now().mean() + 0.1


def test_a_map_that_harms_is_refused_and_forced_in_only_on_demand():
    # The base does well, what it misses is noise, and a map that nothing holds small memorises noise.
    documents = random_unit(60, 16, 0)
    queries = unit(documents + 1.3 * random_unit(60, 16, 1))
    task = TuningTask(queries, queries, documents, tuple(np.array([number]) for number in range(60)))
    refused, forced = (tune(task, recipe=LOOSE, force=force).report for force in (False, True))
    assert refused.after < refused.before
    assert not refused.installed
    assert "too risky" in refused.reason
    assert forced.installed
    assert "by force" in forced.reason
    assert forced.after == refused.after


def test_what_works_already_is_left_alone():
    documents = random_unit(50, 16, 0)
    relevant = tuple(np.array([number], dtype=np.int64) for number in range(50))
    report = tune(TuningTask(documents, documents, documents, relevant)).report
    assert (report.before, report.after, report.p_value) == (1.0, 1.0, 1.0)
    assert not report.installed


def test_the_lexical_score_counts_before_and_after():
    task = turned_task()
    perfect = np.eye(60, dtype=np.float32) * 3
    beside = replace(task, lexical=perfect / 3, lexical_now=np.full(60, 3, dtype=np.float32))
    assert beside.ndcg_now().tolist() == [1.0] * 60
    assert not tune(beside).report.installed


def test_where_experts_act_already_the_new_one_shares_with_them():
    task = turned_task(present=random_unit(60, 8, 3))
    assert task.share == 0.5
    weight = np.zeros((8, 8), dtype=np.float32)
    mixed = unit((task.base + task.present) / 2)
    grades = [np.ones(1, np.float32)] * 60
    expected = ndcg_of_scores(mixed @ task.documents.T, relevant=task.relevant, grades=grades)
    found = task.ndcg_with(weight, [1.0], numbers=np.arange(60), lexical=None)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert tune(task).share == 0.5


def test_present_vectors_near_the_base_are_replaced():
    task = turned_task(dim=64)
    near = unit(task.base + 0.1 * random_unit(60, 64, 4))
    assert replace(task, present=near).share == 1.0


def test_equal_queries_share_a_fold_so_that_none_is_judged_by_its_twin():
    # Every query comes twice, each time with the same answer, at random: only twins could tell.
    base = np.repeat(random_unit(25, 16, 1), 2, axis=0)
    labels = np.repeat(np.random.default_rng(2).permutation(300)[:25], 2)
    relevant = tuple(np.array([number], dtype=np.int64) for number in labels)
    task = TuningTask(base=base, present=base, documents=random_unit(300, 16, 2), relevant=relevant)
    report = tune(task, recipe=LOOSE).report
    assert report.after - report.before < 0.05


def test_a_seed_fixes_everything_but_the_time():
    first, again = (tune(turned_task(n=20), seed=3) for _ in range(2))
    assert np.array_equal(first.weight, again.weight)
    assert replace(first.report, seconds=0.0) == replace(again.report, seconds=0.0)


def test_two_queries_are_few_but_enough_to_run():
    report = tune(turned_task(n=2)).report
    assert report.n_queries == 2
    assert json.loads(json.dumps(report.as_dict()))["expert"] == "tuned"


def test_what_cannot_be_validated_is_refused():
    with pytest.raises(InputError, match="found 1 labelled queries, expected at least 2"):
        turned_task(n=1)
    same = np.tile(random_unit(1, 8, 0), (3, 1))
    labels = tuple(np.array([0], dtype=np.int64) for _ in range(3))
    with pytest.raises(InputError, match="all 3 labelled queries are the same"):
        tune(TuningTask(same, same, random_unit(5, 8, 1), labels))


def test_arrays_must_fit_together():
    task = turned_task(n=4)
    with pytest.raises(InputError, match=r"present ones \(3, 8\)"):
        replace(task, present=task.present[:3])
    for name in ("lexical", "lowered"):
        with pytest.raises(InputError, match=rf"{name} has shape \(4, 3\), expected \(4, 4\)"):
            replace(task, **{name: np.zeros((4, 3), dtype=np.float32)})
    with pytest.raises(InputError, match=r"lexical_now has shape None, expected \(4,\) with lexical"):
        replace(task, lexical=np.zeros((4, 4), dtype=np.float32))
    with pytest.raises(InputError, match=r"lexical_now has shape \(4,\), expected \(4,\) with lexical and None"):
        replace(task, lexical_now=np.zeros(4, dtype=np.float32))


# --- the lexical weight ----------------------------------------------------------------------------------------------


def lexical_task(n=40, now=0.2):
    """Cosines say nothing, all documents being alike; BM25 finds every answer."""
    documents = np.tile(unit(np.ones((1, 8))), (n, 1))
    queries = unit(np.ones((n, 8)) + 0.02 * np.random.default_rng(0).normal(size=(n, 8)))
    lexical = np.eye(n, dtype=np.float32)
    relevant = tuple(np.array([number], dtype=np.int64) for number in range(n))
    weights = np.full(n, now, dtype=np.float32)
    return TuningTask(queries, queries, documents, relevant, lexical=lexical, lexical_now=weights)


def choice_of(gains, now=4):
    """A choice whose queries gain so much over no lexical score at every weight."""
    return LexicalChoice(np.array(gains, dtype=np.float32), now)


def test_the_weight_is_taken_whose_gain_is_surely_highest():
    values = np.full((100, 9), 0.5)
    values[:, 6] = 0.6  # every query gains 0.1
    values[:50, 7], values[50:, 7] = 1.0, 0.22  # a higher mean of 0.11, of which nobody can be sure
    choice = choice_of(values)
    assert choice.weight(np.arange(100)) == LEXICAL_WEIGHTS[6]
    # The error of the sixth is the root of 100 * 0.01 + 0.05 over 100.
    expected = 0.1 - 1.05**0.5 / 100
    assert choice.sure_gains().mean(axis=0)[6] == pytest.approx(expected, abs=1e-6)
    assert choice.sure_gains().mean(axis=0).argmax() == 6


def test_a_gain_that_may_be_chance_changes_no_weight():
    values = np.full((20, 9), 0.5)
    values[:2, 8] = 0.6  # a mean of 0.01 with an error of sqrt(0.02 + 0.05) / 20 = 0.013
    assert choice_of(values).weight(np.arange(20)) == LEXICAL_WEIGHTS[4]
    assert choice_of(values).sure_gains().mean(axis=0).argmax() == 4


def test_some_queries_may_speak_for_another_weight_than_all():
    values = np.full((40, 9), 0.5)
    values[:20, 0], values[20:, 6] = 0.9, 0.8
    choice = choice_of(values)
    assert choice.weight(np.arange(20)) == 0
    assert choice.weight(np.arange(20, 40)) == LEXICAL_WEIGHTS[6]


def test_an_index_without_a_lexical_score_keeps_to_it():
    assert LexicalChoice.of(turned_task()) is None
    assert LexicalChoice.of(lexical_task(now=0.0)) is None
    outcome = tune(lexical_task(now=0.0))
    assert (outcome.report.lexical_weight, outcome.lexical_gains) == (0.0, None)


def test_every_weight_is_measured_as_the_index_would_rank():
    task = lexical_task(now=0.19)
    choice = LexicalChoice.of(task)
    assert choice.present == LEXICAL_WEIGHTS.index(0.2)
    for column, weight in enumerate(LEXICAL_WEIGHTS):
        scores = task.present @ task.documents.T + np.float32(weight) * task.lexical
        grades = [np.ones(1, np.float32)] * len(task)
        np.testing.assert_allclose(
            choice.values[:, column], ndcg_of_scores(scores, relevant=task.relevant, grades=grades), atol=1e-6
        )


def test_a_weight_that_helps_is_part_of_what_is_gained():
    # BM25 is all that tells, but a document that every query likes by its cosine is above it at the weight of now.
    task = lexical_task()
    first = unit(np.ones((1, 8)))[0]
    documents = np.tile(unit(np.array([[1, 1, 1, 1, 1, 1, 1, -3.0]])), (40, 1))
    documents[:12] = first
    relevant = tuple(np.array([12 + number % 28], dtype=np.int64) for number in range(40))
    lexical = np.zeros((40, 40), dtype=np.float32)
    lexical[np.arange(40), [rows[0] for rows in relevant]] = 1.0
    task = replace(task, documents=documents, relevant=relevant, lexical=lexical)
    gap = float(first @ documents[0] - first @ documents[-1])
    assert 0.2 < gap < 0.8
    report = tune(task).report
    assert report.before == 0
    assert (report.lexical_weight, report.lexical_weight_before) == (0.8, pytest.approx(0.2))
    assert report.after == pytest.approx(1.0)
    assert report.installed


def test_documents_that_are_lowered_are_lowered_before_and_after():
    task = turned_task()
    lowered = np.full((60, 60), 3, dtype=np.float32)
    np.fill_diagonal(lowered, 0)
    assert replace(task, lowered=lowered).ndcg_now().tolist() == [1.0] * 60
    assert replace(task, lowered=3 - lowered).ndcg_now().tolist() == [0.0] * 60
    added = replace(task, lowered=lowered).training_set(np.array([3]), lexical=None).added_scores
    np.testing.assert_array_equal(added, -lowered[[3]])


def test_the_best_span_of_a_document_stands_for_it_and_all_of_them_teach():
    # Documents of 2, 1 and 3 spans. Each query asks for one document, and one of its spans is nearest.
    spans = np.eye(6, dtype=np.float32)
    queries = unit(np.array([[0, 1, 0, 0.5, 0, 0], [1, 0, 0.9, 0, 0, 0]]))
    relevant = (np.array([0]), np.array([1]))
    task = TuningTask(queries, queries, spans, relevant, starts=np.array([0, 2, 3]))
    # The second query's document comes second: 1 / log2(3).
    np.testing.assert_allclose(task.ndcg_now(), [1.0, 0.63093], atol=1e-5)
    taught = replace(task, relevant=(np.array([0]), np.array([1, 2]))).training_set(np.arange(2), lexical=None)
    assert [rows.tolist() for rows in taught.positives] == [[0, 1], [2, 3, 4, 5]]
    # A score of a document is added to each of its spans.
    lexical = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], dtype=np.float32)
    beside = replace(task, lexical=lexical, lexical_now=np.full(2, 0.2, dtype=np.float32))
    assert beside.ndcg_now().tolist() == [1.0, 1.0]


@pytest.mark.parametrize("starts", [[], [1, 2], [0, 2, 2], [0, 4]])
def test_documents_start_at_rising_rows(starts):
    with pytest.raises(InputError, match=re.escape(f"documents start at rows {starts} of 4")):
        replace(turned_task(n=4), starts=np.array(starts, dtype=np.int64))


# --- the curve -------------------------------------------------------------------------------------------------------


def test_the_curve_is_that_of_a_quarter_half_and_three_quarters_of_the_queries():
    report = tune(turned_task()).report
    # Of 60 queries, 48 are outside a fold.
    assert report.curve.n_queries == (12, 24, 36, 48)
    assert report.curve.gains[-1] == pytest.approx(report.after - report.before, abs=1e-6)
    assert report.curve.gains[0] < report.curve.gains[-1]
    assert report.curve.more == 60
    assert json.loads(json.dumps(report.as_dict()))["curve"]["more"] == 60


def test_a_handful_of_queries_has_no_curve():
    report = tune(turned_task(n=19)).report
    assert report.curve is None
    assert report.as_dict()["curve"] is None
