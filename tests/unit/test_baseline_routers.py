"""The routers that RouterRetriever's paper compares with, on pilots small enough to follow by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tiny_packs import library, linear_expert
from tiny_pilots import X, Y, Z, corpus, picks

from routeret.errors import InputError
from routeret.routing import ClassificationHeadRouter, DatasetRouter, ExpertClassifierRouter, Router
from routeret.types import QueryBatch

NURSE, CODER, LAWYER = (
    linear_expert(name, strength=s) for name, s in [("nurse", 1.0), ("coder", 0.7), ("lawyer", 0.3)]
)
CLASSIFIERS = [ClassificationHeadRouter, ExpertClassifierRouter]
ALL = [DatasetRouter, *CLASSIFIERS]


def two_sets():
    care = corpus("care", [X, X, X], home=("nurse",), nurse=[0.2] * 3, coder=[-0.1] * 3)
    code = corpus("code", [Y, Y, Y], home=("coder",), nurse=[0.0] * 3, coder=[0.1] * 3)
    return library(care, code)


@pytest.mark.parametrize("kind", ALL)
def test_two_sets_apart_go_to_their_experts(kind):
    router = kind.fit(two_sets(), [NURSE, CODER])
    assert isinstance(router, Router)
    assert picks(router, X, Y, 0.9 * X + 0.1 * Z, 0.1 * X + 0.2 * Y) == ["nurse", "coder", "nurse", "coder"]


@pytest.mark.parametrize("kind", ALL)
def test_a_pick_is_one_expert_at_its_own_strength_without_bm25(kind):
    router = kind.fit(two_sets(), [NURSE, CODER])
    shares = np.array([[0.5, 0.25]], dtype=np.float32)
    routing = router.route(QueryBatch(("q",), Y[None]), known=shares)
    assert routing.experts == ("nurse", "coder")
    np.testing.assert_array_equal(routing.weights, [[0, 0, 1]])
    np.testing.assert_allclose(routing.strengths, [[1.0, 0.7]])
    np.testing.assert_array_equal(routing.lexical, [0])
    np.testing.assert_array_equal(routing.known, shares)
    assert (routing.weights.dtype, routing.strengths.dtype) == (np.float32, np.float32)
    assert routing.explain(0).weights == {"coder": 1.0}


@pytest.mark.parametrize("kind", ALL)
def test_no_queries_give_no_decisions(kind):
    assert picks(kind.fit(two_sets(), [NURSE, CODER])) == []


@pytest.mark.parametrize("kind", ALL)
def test_one_expert_gets_everything(kind):
    care = corpus("care", [X], home=("nurse",), nurse=[-0.3])
    assert picks(kind.fit(library(care), [NURSE]), X, Y, -X, 0 * X) == ["nurse"] * 4


@pytest.mark.parametrize("kind", ALL)
def test_the_order_of_the_pool_does_not_matter(kind):
    assert picks(kind.fit(two_sets(), [CODER, NURSE]), X, Y) == ["nurse", "coder"]


def test_centroid_and_mean_over_samples_differ():
    # To X the broad set's samples have similarity 1 and 0, mean 0.5; its centroid (0.71, 0.71, 0) has 0.71.
    broad = corpus("broad", [X, Y], home=("nurse",))
    narrow = corpus("narrow", [0.6 * X + 0.8 * Z], home=("coder",))
    centroid = DatasetRouter.fit(library(broad, narrow), [NURSE, CODER])
    np.testing.assert_allclose(centroid.centroids, [[0.5**0.5, 0.5**0.5, 0], [0.6, 0, 0.8]], atol=1e-6)
    assert picks(centroid, X) == ["nurse"]
    mean = DatasetRouter.fit(library(broad, narrow), [NURSE, CODER], compare="samples")
    np.testing.assert_allclose(mean.centroids, [[0.5, 0.5, 0], [0.6, 0, 0.8]], atol=1e-6)
    assert picks(mean, X) == ["coder"]


def test_a_long_pilot_counts_like_a_short_one_and_an_empty_one_is_near_to_nothing():
    care = corpus("care", [50 * X, Y, 0 * X, 0.01 * X], home=("nurse",))
    mean = DatasetRouter.fit(library(care), [NURSE], compare="samples")
    np.testing.assert_allclose(mean.centroids, [[0.5, 0.25, 0]])
    opposite = corpus("opposite", [X, -X], home=("coder",))
    router = DatasetRouter.fit(library(opposite, care), [NURSE, CODER])
    np.testing.assert_array_equal(router.centroids[0], [0, 0, 0])
    assert picks(router, X, -X) == ["nurse", "coder"]


def test_sets_as_near_as_each_other_go_to_the_first():
    care, code = two_sets().corpora
    assert picks(DatasetRouter.fit(library(care, code), [NURSE, CODER]), X + Y, Z) == ["nurse", "nurse"]
    assert picks(DatasetRouter.fit(library(code, care), [NURSE, CODER]), X + Y, Z) == ["coder", "coder"]


def test_the_most_special_expert_of_a_set_is_taken_however_it_did():
    care = corpus("care", [X], home=("lawyer", "coder", "nurse"), nurse=[0.9], coder=[-0.9])
    assert picks(DatasetRouter.fit(library(care), [NURSE, CODER]), X) == ["coder"]


def test_sets_that_nobody_in_the_pool_was_trained_on_are_left_out():
    foreign = corpus("foreign", [Y], home=("lawyer",), nurse=[0.0])
    orphan = corpus("orphan", [Z], home=(), nurse=[0.0])
    care = corpus("care", [X], home=("nurse",), nurse=[0.1])
    router = DatasetRouter.fit(library(foreign, orphan, care), [NURSE])
    assert router.corpora == ("care",)
    with pytest.raises(InputError, match="none of the experts nurse, coder was trained on a set with pilots"):
        DatasetRouter.fit(library(foreign, orphan), [NURSE, CODER])


def test_at_most_a_hundred_samples_stand_for_a_set():
    angles = np.linspace(0, 1, 101)
    vectors = [np.cos(angle) * X + np.sin(angle) * Y for angle in angles]
    whole = library(corpus("care", vectors, home=("nurse",)))

    def mean(**options):
        return DatasetRouter.fit(whole, [NURSE], compare="samples", **options).centroids[0]

    total = np.sum(vectors, axis=0)
    # Of 101 samples exactly one is left out.
    left_out = total - 100 * mean()
    assert np.linalg.norm(np.array(vectors) - left_out, axis=1).min() < 1e-4
    np.testing.assert_allclose(mean(n_samples=500), total / 101, atol=1e-6)
    np.testing.assert_array_equal(mean(seed=0), mean())
    assert not np.array_equal(mean(seed=1), mean())
    with pytest.raises(InputError, match="n_samples is 0, expected at least 1"):
        DatasetRouter.fit(whole, [NURSE], n_samples=0)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifiers_follow_the_pilots_and_not_the_sets(kind):
    mixed = corpus("care", [X, X, Y, Y], home=("nurse",), nurse=[0.1, 0.1, 0.0, 0.0], coder=[0.0, 0.0, 0.1, 0.1])
    assert picks(kind.fit(library(mixed), [NURSE, CODER]), X, Y) == ["nurse", "coder"]
    assert picks(DatasetRouter.fit(library(mixed), [NURSE, CODER]), X, Y) == ["nurse", "nurse"]


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_pilots_on_which_experts_tie_belong_to_the_expert_of_their_set(kind):
    care = corpus("care", [X, X], home=("nurse",), nurse=[0.0] * 2, coder=[0.0] * 2)
    code = corpus("code", [Y, Y], home=("coder",), nurse=[0.0] * 2, coder=[0.0] * 2)
    assert picks(kind.fit(library(care, code), [NURSE, CODER]), X, Y) == ["nurse", "coder"]
    # All ties in one direction leave nothing to tell apart.
    assert picks(kind.fit(library(code), [NURSE, CODER]), X, Y, Z) == ["coder"] * 3
    nobodys = corpus("nobodys", [X, Y], home=(), nurse=[0.0] * 2, coder=[0.0] * 2)
    assert picks(kind.fit(library(nobodys), [CODER, NURSE]), X) == ["coder"]


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_three_experts_of_which_one_did_best_nowhere(kind):
    gains = {"nurse": [0.1, 0.0, 0.0], "coder": [0.0, 0.1, 0.1], "lawyer": [-0.1, -0.1, -0.1]}
    router = kind.fit(library(corpus("care", [X, Y, Z], home=("lawyer",), **gains)), [LAWYER, NURSE, CODER])
    assert picks(router, X, Y, Z) == ["nurse", "coder", "coder"]
    assert np.isneginf(router.intercepts).tolist() == [True, False, False]


def test_probabilities_where_queries_do_not_tell_experts_apart_are_their_shares():
    # Four equal pilots, three of them the nurse's: no query says more than 3 / 4.
    same = corpus("care", [X] * 4, home=("nurse",), nurse=[0.1, 0.1, 0.1, 0.0], coder=[0.0, 0.0, 0.0, 0.1])
    head = ClassificationHeadRouter.fit(library(same), [NURSE, CODER])
    logits = head.coefficients @ X + head.intercepts
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), [0.75, 0.25], atol=1e-3)
    own = ExpertClassifierRouter.fit(library(same), [NURSE, CODER])
    np.testing.assert_allclose(1 / (1 + np.exp(-(own.coefficients @ X + own.intercepts))), [0.75, 0.25], atol=1e-3)
    assert picks(head, X) == picks(own, X) == ["nurse"]


@pytest.mark.parametrize("n_experts", [2, 3])
def test_picks_are_those_of_scikit_learn(n_experts):
    rng = np.random.default_rng(7)
    experts = [NURSE, CODER, LAWYER][:n_experts]
    vectors, gains = rng.normal(size=(60, 3)), rng.normal(size=(n_experts, 60))
    pilots = corpus("care", vectors, home=(), **{one.name: row for one, row in zip(experts, gains, strict=True)})
    best, queries = gains.argmax(axis=0), rng.normal(size=(50, 3)).astype(np.float32)

    def names_of(probabilities):
        return [experts[column].name for column in probabilities.argmax(axis=1)]

    model = LogisticRegression(C=10.0).fit(pilots.vectors, best)
    head = ClassificationHeadRouter.fit(library(pilots), experts)
    assert picks(head, *queries) == names_of(model.predict_proba(queries))
    binary = [LogisticRegression(C=10.0).fit(pilots.vectors, best == column) for column in range(n_experts)]
    own = ExpertClassifierRouter.fit(library(pilots), experts)
    expected = np.stack([one.predict_proba(queries)[:, 1] for one in binary], axis=1)
    assert picks(own, *queries) == names_of(expected)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_pilots_that_some_expert_was_not_measured_on_teach_nothing(kind):
    nan = float("nan")
    care = corpus("care", [X, X, Y], home=("nurse",), nurse=[0.1, 0.1, 0.9], coder=[0.0, 0.0, nan])
    code = corpus("code", [Y], home=("coder",), nurse=[0.0], coder=[0.1])
    unmeasured = corpus("unmeasured", [Y] * 5, home=("nurse",), nurse=[0.9] * 5)
    assert picks(kind.fit(library(unmeasured, care, code), [NURSE, CODER]), X, Y) == ["nurse", "coder"]
    with pytest.raises(InputError, match="no pilot was measured with each of the experts nurse, coder"):
        kind.fit(library(unmeasured), [NURSE, CODER])


@pytest.mark.parametrize("kind", ALL)
def test_neither_pilots_nor_experts_is_an_error(kind):
    with pytest.raises(InputError, match="the experts nurse"):
        kind.fit(library(), [NURSE])
    with pytest.raises(InputError, match=r"the experts \(none\)"):
        kind.fit(two_sets(), [])


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_regularisation_is_above_0(kind):
    with pytest.raises(InputError, match=r"regularisation is 0.0, expected more than 0"):
        kind.fit(two_sets(), [NURSE, CODER], regularisation=0.0)
