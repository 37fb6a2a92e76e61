"""What leaving corpora out teaches, on examples whose outcome is known."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from tiny_pilots import X, Y, Z, corpus

from routeret.retriever.passes import without_idle_passes
from routeret.routing import STRENGTHS, PilotLibrary, RouterSettings, UtilityRouter
from routeret.routing.calibration import Calibration, helped
from routeret.routing.leave_corpus_out import Examples, examples
from routeret.routing.reliability import reliability, reliability_of
from routeret.routing.report import report_of
from routeret.types import QueryBatch

N = len(STRENGTHS)


def example(name, *, known, gained, n=40, predicted=0.0, rate=0.0):
    """An expert that gains .1 on a share of the pilots of a corpus, and loses as much on the others."""
    measured = np.where(np.arange(n) < gained * n, 0.1, -0.1)
    return Examples(
        corpus=ord(name) - ord("a"),
        source=name,
        expert=0,
        is_known=known,
        predicted=np.full((n, N), predicted, dtype=np.float32),
        rates=np.full((n, N), rate, dtype=np.float32),
        measured=np.tile(measured[:, None], (1, N)).astype(np.float32),
    )


def chance(calibration, rate, *, trust, strength=0.5):
    ones = np.ones((1, 1), dtype=np.float32)
    return float(calibration.helps(rate * ones, trust=trust * ones, strengths=strength * ones)[0, 0])


def test_the_chance_follows_how_often_it_came_true():
    found = [
        example("a", known=True, gained=0.8, rate=0.8),
        example("b", known=True, gained=0.2, rate=0.2),
        example("c", known=False, gained=0.1),
        example("d", known=False, gained=0.1),
    ]
    calibration = Calibration.fit(found)
    assert chance(calibration, 0.8, trust=1) == pytest.approx(0.8, abs=0.05)
    assert chance(calibration, 0.2, trust=1) == pytest.approx(0.2, abs=0.05)
    assert chance(calibration, 0.8, trust=0) == pytest.approx(0.1, abs=0.05)
    # Half known documents lie between.
    assert chance(calibration, 0.8, trust=0) < chance(calibration, 0.8, trust=0.5) < chance(calibration, 0.8, trust=1)


def test_the_error_on_strange_corpora_is_that_of_their_means():
    # Gains of .1 on 60 % and -.1 on 40 % are .02 on the mean: 0 was predicted for one, .08 for the other.
    found = [
        example("a", known=False, gained=0.6, predicted=0.0),
        example("b", known=False, gained=0.6, predicted=0.08),
    ]
    expected = np.sqrt((0.02**2 + 0.06**2) / 2)
    np.testing.assert_allclose(Calibration.fit(found).unknown_errors, expected, atol=1e-5)


def test_without_a_strange_corpus_a_gain_there_is_as_unsure_as_gains_are_large():
    calibration = Calibration.fit([example("a", known=True, gained=1.0)])
    np.testing.assert_allclose(calibration.unknown_errors, 0.1, atol=1e-6)
    # All 160 came true: (160 + 1) to (0 + 1).
    assert chance(calibration, 0.9, trust=1) == pytest.approx(161 / 162, abs=1e-4)


def test_without_examples_nothing_is_promised():
    calibration = Calibration.fit([])
    assert chance(calibration, 0.9, trust=1) == 0.5
    np.testing.assert_array_equal(calibration.unknown_errors, 1)


def test_a_tie_does_not_help():
    tied = example("a", known=True, gained=1.0)
    np.testing.assert_array_equal(helped(tied), 1)
    even = Examples(0, "a", 0, True, tied.predicted, tied.rates, np.zeros_like(tied.measured))
    np.testing.assert_array_equal(helped(even), 0)


def test_reliability_by_hand():
    promises = np.array([0.1, 0.1, 0.9, 0.9], dtype=np.float32)
    outcomes = np.array([0, 1, 1, 1], dtype=np.float32)
    found = reliability(promises, outcomes)
    assert [(one.n, round(one.predicted, 6), one.observed) for one in found.bins] == [(2, 0.1, 0.5), (2, 0.9, 1.0)]
    assert found.calibration_error == pytest.approx((2 * 0.4 + 2 * 0.1) / 4)
    # Squares .01, .81, .01, .01 are .21 on the mean; three of four came true, so the base rate alone gives .1875.
    assert found.brier_skill == pytest.approx(1 - 0.21 / 0.1875)
    # The one that failed stands before two that came true, and beside one.
    assert found.auc == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.base_rate == 0.75


def test_the_bins_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    promises = rng.uniform(size=500).astype(np.float32)
    outcomes = (rng.uniform(size=500) < promises).astype(np.float32)
    observed, predicted = calibration_curve(outcomes, promises, n_bins=10)
    bins = reliability(promises, outcomes).bins
    np.testing.assert_allclose([one.observed for one in bins], observed, atol=1e-6)
    np.testing.assert_allclose([one.predicted for one in bins], predicted, atol=1e-6)


def test_what_always_or_never_came_true_has_no_area():
    assert reliability(np.full(3, 0.5, dtype=np.float32), np.ones(3, dtype=np.float32)).auc is None


def test_a_source_is_judged_by_the_others():
    # Alone, each source would say its own rate; left out, it gets the other's.
    found = [example("a", known=False, gained=0.0), example("b", known=False, gained=1.0)]
    told = reliability_of(found)
    assert told.auc == 0.0
    assert told.calibration_error > 0.9
    assert reliability_of(found[:1]) is None


@pytest.fixture
def library():
    gains = [0.1] * 12
    return PilotLibrary(
        "0" * 16,
        (
            corpus("care", [X] * 12, home=("nurse",), nurse=gains, coder=[-0.1] * 12),
            corpus("code", [Y] * 12, home=("coder",), nurse=[-0.1] * 12, coder=gains),
            corpus("law", [Z] * 12, home=("lawyer",), nurse=[0.0] * 12, coder=[0.0] * 12, lawyer=gains),
        ),
    )


def fitted(library):
    return UtilityRouter.fit(library, ["nurse", "coder", "lawyer"], settings=RouterSettings(shrinkage=0.0))


def examples_of(router):
    """What the router would have predicted for the pilots that it was fitted on."""
    return examples(
        router.library,
        router.expert_names,
        guess=router.guess,
        likeness=router.likeness,
        table=router.table,
        shrinkage=router.settings.shrinkage,
    )


def test_every_corpus_plays_the_unknown_one_for_the_others_experts(library):
    router = fitted(library)
    found = examples_of(router)
    pairs = {(library.corpora[one.corpus].name, router.expert_names[one.expert], one.is_known) for one in found}
    assert pairs == {
        ("care", "nurse", True),
        ("care", "coder", False),
        ("code", "nurse", False),
        ("code", "coder", True),
        ("law", "nurse", False),
        ("law", "coder", False),
        ("law", "lawyer", True),
    }
    strange = next(one for one in found if not one.is_known and one.corpus == 0)
    # A query of care is nothing like code and law, so of coder, which gains on code, nothing is predicted.
    np.testing.assert_array_equal(strange.predicted, 0)
    np.testing.assert_array_equal(strange.rates, 0)


def test_a_pilot_does_not_speak_for_itself():
    first_gains = corpus("care", [X] * 12, home=("nurse",), nurse=[0.1] + [-0.1] * 11, coder=[0.0] * 12)
    only = PilotLibrary("0" * 16, (first_gains,))
    router = UtilityRouter.fit(only, ["nurse", "coder"], settings=RouterSettings(shrinkage=0.0))
    found = examples_of(router)
    (own,) = found  # coder has no other corpus to learn from
    # 1 of 12 gained: without itself 0 of 11, without another one 1 of 11.
    np.testing.assert_allclose(own.rates[:, 0], [0.0] + [1 / 11] * 11, atol=1e-6)


def test_a_rate_that_counts_less_loses_its_pilot_alone():
    first_gains = corpus("care", [X] * 12, home=("nurse",), nurse=[0.1] + [-0.1] * 11, coder=[0.0] * 12)
    only = PilotLibrary("0" * 16, (first_gains,))
    router = UtilityRouter.fit(only, ["nurse", "coder"], settings=RouterSettings(shrinkage=4.0))
    (own,) = examples_of(router)
    # On all pairs experts gain in 1 of 24; so counts what 4 more pilots would have said: 0 or 1 and 4/24, of 15.
    np.testing.assert_allclose(own.rates[:, 0], [1 / 90] + [7 / 90] * 11, atol=1e-6)


def test_relatives_tell_nothing(library):
    twin = replace(corpus("twin", [X] * 12, home=("midwife",), midwife=[0.1] * 12), source="care")
    copy = replace(twin, name="copy", source="another", texts=library.corpora[1].texts)
    all_of_them = PilotLibrary("0" * 16, (*library.corpora, twin, copy))
    assert all_of_them.relatives(0) == [0, 3]  # the same source
    assert all_of_them.relatives(1) == [1, 4]  # the same queries
    assert all_of_them.relatives(2) == [2]
    assert all_of_them.trained_on([0, 3]) == {"nurse", "midwife"}


def test_a_routing_tells_interval_chance_and_reason(library):
    router = fitted(library)
    known = np.array([[1.0, 0, 0], [0, 0, 0]], dtype=np.float32)
    routing = router.route(QueryBatch(("a", "b"), np.stack([X, X])), known=known)
    at_home, abroad = routing.explain(0), routing.explain(1)
    low, high = at_home.gain_intervals["nurse"]
    assert low <= at_home.predicted_gains["nurse"] <= high
    # Where the documents are known, all twelve pilots say the same; elsewhere gains were off by more.
    assert abroad.gain_intervals["nurse"][1] - abroad.gain_intervals["nurse"][0] > high - low
    assert 0 < abroad.helps["nurse"] < at_home.helps["nurse"] < 1
    assert (at_home.reason, at_home.held_back) == ("", False)
    assert abroad.reason.startswith("nurse was trained over 0% of the documents that the base finds first")
    nothing = router.route(QueryBatch(("c",), -X[None]), known=np.zeros((1, 3), dtype=np.float32)).explain(0)
    assert nothing.reason == "no expert is expected to gain"


def test_a_report_holds_the_table(library):
    report = report_of(fitted(library))
    care = report.corpora[0]
    assert (care.name, care.n_pilots) == ("care", 12)
    assert [(gain.expert, gain.is_home) for gain in care.gains] == [
        ("nurse", True),
        ("coder", False),
        ("lawyer", False),
    ]
    assert care.gains[0].mean == pytest.approx(0.1)
    assert care.gains[0].rate == 1
    assert report.as_dict()["reliability"]["n"] == 7 * 12 * N


def test_a_corpus_is_not_judged_by_one_that_holds_its_queries():
    # b tells of a and the other way round, though they come from other sources, so only c judges them.
    a, b, c = (example(name, known=False, gained=gained) for name, gained in (("a", 1.0), ("b", 1.0), ("c", 0.0)))
    a, b, c = replace(a, relatives=(0, 1)), replace(b, relatives=(0, 1)), replace(c, relatives=(2,))
    told = reliability_of([a, b, c])
    alone = [Calibration.fit([c]).helps_on(a)[0]] * 2 + [Calibration.fit([a, b]).helps_on(c)[0]]
    assert [one.predicted for one in told.bins] == pytest.approx([alone[0], alone[2]], abs=1e-6)
    assert [one.n for one in told.bins] == [2 * 40 * N, 40 * N]
    assert reliability_of([a, b]) is None


def test_the_reason_names_the_expert_that_was_held_back():
    """Nurse knows the documents and has the largest weight; midwife is wanted too, and knows none of them."""
    pilots = corpus("care", [X] * 200, home=("nurse",), nurse=[0.1] * 200, midwife=[0.098] * 200)
    router = UtilityRouter.fit(PilotLibrary("0" * 16, (pilots,)), ["nurse", "midwife"])
    routing = router.route(QueryBatch(("q",), X[None]), known=np.array([[1.0, 0.0]], dtype=np.float32))
    told = routing.explain(0)
    assert told.held_back
    assert told.weights["nurse"] > told.weights["midwife"] > 0
    assert told.reason.startswith("midwife was trained over 0% of the documents")


def test_the_reason_names_the_expert_whose_pass_did_not_pay():
    pilots = corpus("care", [X] * 200, home=("lora",), none=[-0.1] * 200, lora=[0.0005] * 200)
    router = UtilityRouter.fit(PilotLibrary("0" * 16, (pilots,)), ["none", "lora"])
    routing = router.route(QueryBatch(("q",), X[None]), known=np.zeros((1, 2), dtype=np.float32))
    told = without_idle_passes(replace(routing, strengths=routing.strengths / 10), {"lora"}).explain(0)
    assert told.weights.keys() - {"bm25"} == {"base"}
    assert told.held_back
    assert told.reason.startswith("lora was trained over 0%")
