"""Routers on pilots small enough to follow by hand."""

import numpy as np
import pytest

from routeret.errors import ArtifactError, InputError
from routeret.routing import (
    LEXICAL_WEIGHTS,
    CentroidRouter,
    PilotCorpus,
    PilotLibrary,
    Router,
    RouterSettings,
    RoutingBatch,
    UtilityRouter,
)
from routeret.routing.nearest_pilots import NearestPilots
from routeret.types import QueryBatch

CARE, CODE = np.array([1, 0, 0, 0], dtype=np.float32), np.array([0, 1, 0, 0], dtype=np.float32)


def around(center, n, seed):
    noise = np.random.default_rng(seed).normal(scale=0.05, size=(n, len(center)))
    vectors = center + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def constant_gains(n, gains):
    return np.tile(np.array(gains, dtype=np.float32), (n, 1))


def corpus(name, center, *, seed, gains, n=40, lexical=None, home=()):
    return PilotCorpus(
        name=name,
        texts=tuple(f"{name} {i}" for i in range(n)),
        vectors=around(center, n, seed),
        gains={expert: constant_gains(n, values) for expert, values in gains.items()},
        lexical_gains=None if lexical is None else constant_gains(n, lexical),
        home_experts=home,
        source=name,
    )


@pytest.fixture
def library():
    best_high = [0.0] * 8 + [0.1]
    return PilotLibrary(
        query_tower="0" * 16,
        corpora=(
            corpus(
                "care",
                CARE,
                seed=1,
                gains={"nurse": [0.1, 0.2, 0.2, 0.3], "coder": [0, 0, -0.1, -0.2]},
                home=("nurse",),
            ),
            corpus(
                "code",
                CODE,
                seed=2,
                gains={"nurse": [0, -0.1, -0.2, -0.3], "coder": [0.05, 0.1, 0.2, 0.1]},
                lexical=best_high,
                home=("coder",),
            ),
        ),
    )


def batch(*vectors):
    return QueryBatch(tuple("q" for _ in vectors), np.stack(vectors).astype(np.float32))


def known(*rows):
    return np.array(rows, dtype=np.float32)


def sharp(**changes):
    return RouterSettings(**{"shrinkage": 0.0, "temperature": 0.005, **changes})


def test_a_query_goes_to_the_expert_that_gains_on_the_corpus_it_looks_like(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp())
    routing = router.route(batch(CARE, CODE), known=known([1, 1], [1, 1]))
    assert isinstance(router, Router)
    np.testing.assert_allclose(routing.weights.sum(axis=1), 1, atol=1e-6)
    assert routing.weights[0, 1] > 0.99
    assert routing.weights[1, 2] > 0.99
    # nurse is best at strength 1.0 on care, coder at 0.7 on code.
    assert routing.strengths[0, 0] == pytest.approx(1.0, abs=0.02)
    assert routing.strengths[1, 1] == pytest.approx(0.7, abs=0.02)
    assert not routing.held_back.any()


def test_strength_is_capped_where_no_first_hit_is_known(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp(unknown_strength=0.1))
    routing = router.route(batch(CARE), known=known([0, 0]))
    assert routing.strengths.max() <= 0.1 + 1e-6
    assert routing.held_back.all()


def test_strength_grows_with_the_share_of_known_hits(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp(unknown_strength=0.0, known_share=0.5))
    shares = [0.0, 0.25, 0.5, 1.0]
    strengths = [router.route(batch(CARE), known=known([share, 0])).strengths[0, 0] for share in shares]
    assert strengths[0] == 0.0
    assert strengths[1] == pytest.approx(0.5, abs=0.02)
    assert strengths[2] == strengths[3] == pytest.approx(1.0, abs=0.02)


def test_a_query_unlike_every_pilot_keeps_the_base_where_no_document_is_known(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp())
    stranger = np.array([0, 0, 0, 1], dtype=np.float32)
    routing = router.route(batch(stranger), known=known([0, 0]))
    np.testing.assert_array_equal(routing.gains, 0)
    assert routing.weights[0, 0] == 1.0


def test_what_is_not_expected_to_gain_gets_no_weight(library):
    care = PilotLibrary("0" * 16, library.corpora[:1])
    router = UtilityRouter.fit(care, ["nurse", "coder"], settings=sharp(temperature=1.0))
    routing = router.route(batch(CARE), known=known([1, 1]))
    # On care nurse gains .1, .2, .2 and .3: e^.1 + 2 e^.2 + e^.3 = 4.898 against e^0 = 1 for the base; coder nothing.
    np.testing.assert_allclose(routing.weights, [[1 / 5.898, 4.898 / 5.898, 0.0]], atol=1e-3)


def test_documents_that_an_expert_knows_speak_for_its_corpus(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp(unknown_prior=0.1))
    between = batch((CARE + CODE) / np.sqrt(2))
    open_guess = router.route(between, known=known([0, 0])).corpus_probabilities[0]
    told = router.route(between, known=known([0, 1])).corpus_probabilities[0]
    # Code's odds rise by (0.1 + 1) / 0.1 = 11.
    assert told[1] / told[0] == pytest.approx(11 * open_guess[1] / open_guess[0], rel=1e-3)


def test_the_lexical_weight_is_the_corpuss_own_only_where_documents_are_known(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp(lexical_weight=0.2))
    there = router.route(batch(CODE, CARE), known=known([0, 1], [1, 0])).lexical
    assert there[0] == pytest.approx(LEXICAL_WEIGHTS[-1], abs=0.02)
    assert there[1] == pytest.approx(0.2, abs=0.02)  # never measured on care
    assert router.route(batch(CODE), known=known([0, 0])).lexical[0] == pytest.approx(0.2)


def test_gains_over_few_pilots_are_shrunk(library):
    router = UtilityRouter.fit(library, ["nurse"], settings=RouterSettings(shrinkage=40.0))
    # 40 pilots of 40 + 40 leave half of a gain of 0.3.
    assert router.table.means[0, 0, 3] == pytest.approx(0.15, abs=1e-6)


def test_an_expert_never_measured_gets_no_gain(library):
    router = UtilityRouter.fit(library, ["nurse", "stranger"], settings=sharp())
    np.testing.assert_array_equal(router.table.means[:, 1], 0)


def test_known_index_is_the_constant_mixture_of_the_corpuss_row(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp())
    constant = router.known_index("code", n_queries=3)
    assert constant.weights.shape == (3, 3)
    assert (constant.weights[:, 2] > 0.99).all()
    assert router.known_index("novels", n_queries=3) is None


@pytest.mark.parametrize("n_corpora", [0, 1, 2])
def test_any_number_of_corpora_routes(library, n_corpora):
    router = UtilityRouter.fit(PilotLibrary("0" * 16, library.corpora[:n_corpora]), ["nurse"], settings=sharp())
    routing = router.route(batch(CARE, CODE), known=known([1], [1]))
    assert routing.corpus_probabilities.shape == (2, n_corpora)
    np.testing.assert_allclose(routing.weights.sum(axis=1), 1, atol=1e-6)


def test_no_query_and_no_expert(library):
    router = UtilityRouter.fit(library, [], settings=sharp())
    routing = router.route(batch(CARE), known=np.zeros((1, 0), dtype=np.float32))
    np.testing.assert_array_equal(routing.weights, [[1.0]])
    none = router.route(QueryBatch((), np.zeros((0, 4), dtype=np.float32)), known=np.zeros((0, 0), dtype=np.float32))
    assert len(none) == 0


def test_a_saved_router_decides_the_same(library, tmp_path):
    router = UtilityRouter.fit(library, ["nurse", "coder"])
    router.save(tmp_path / "router")
    loaded = UtilityRouter.load(tmp_path / "router")
    queries, shares = batch(CARE, CODE, CARE + CODE), known([1, 0], [0, 1], [0.1, 0.1])
    before, after = router.route(queries, known=shares), loaded.route(queries, known=shares)
    np.testing.assert_allclose(after.weights, before.weights, atol=2e-3)
    np.testing.assert_allclose(after.strengths, before.strengths, atol=2e-3)
    assert loaded.settings == router.settings
    assert loaded.library.corpora[0].texts == library.corpora[0].texts
    assert not list(tmp_path.rglob("*.pkl"))


def test_a_damaged_router_is_refused(library, tmp_path):
    UtilityRouter.fit(library, ["nurse"]).save(tmp_path / "router")
    file = tmp_path / "router" / "pilots" / "pilots.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"pilots\.safetensors is damaged"):
        UtilityRouter.load(tmp_path / "router")


def test_the_wrong_number_of_shares_is_refused(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"])
    with pytest.raises(InputError, match=r"known has shape \(1, 1\), expected \(1, 2\)"):
        router.route(batch(CARE), known=known([1]))


def test_an_explanation_names_weights_corpora_and_margin(library):
    router = UtilityRouter.fit(library, ["nurse", "coder"], settings=sharp())
    routing = router.route(batch(CARE), known=known([1, 1]))
    told = routing.explain(0, pilots=NearestPilots(library).of(CARE, 2))
    assert next(iter(told.weights)) == "nurse"
    assert next(iter(told.corpora)) == "care"
    assert told.margin == pytest.approx(0.3, abs=0.02)
    assert [pilot.corpus for pilot in told.pilots] == ["care", "care"]
    assert told.as_dict()["held_back"] is False


def test_constant_routing():
    routing = RoutingBatch.constant(["a", "b"], 2, weights={"base": 0.5, "b": 0.5}, strengths={"b": 0.7}, lexical=0.1)
    np.testing.assert_allclose(routing.weights, [[0.5, 0, 0.5]] * 2)
    np.testing.assert_allclose(routing.strengths, [[0, 0.7]] * 2)
    np.testing.assert_allclose(routing.lexical, 0.1)


class FakeExpert:
    def __init__(self, name, strength):
        self.name, self.strength = name, strength


EXPERTS = [FakeExpert("nurse", 1.0), FakeExpert("coder", 0.7)]


@pytest.mark.parametrize("per_expert", [False, True])
def test_centroids_send_a_query_to_the_expert_of_the_nearest_centroid(library, per_expert):
    router = CentroidRouter.fit(library, EXPERTS, per_expert=per_expert)
    routing = router.route(batch(CARE, CODE), known=known([0, 0], [0, 0]))
    np.testing.assert_array_equal(routing.weights, [[0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(routing.strengths, [[1.0, 0.7]] * 2, atol=1e-6)
    np.testing.assert_array_equal(routing.lexical, 0)


def test_mean_and_max_over_centroids_differ():
    # nurse owns a centroid at CARE and one far away; coder owns one between.
    between = ((CARE * 0.8 + np.array([0, 0, 0.6, 0])).astype(np.float32), "between", [0.0] * 4, [0.1] * 4)
    corpora = []
    for vector, name, nurse, coder in [
        (CARE, "near", [0.1] * 4, [0.0] * 4),
        (CODE, "far", [0.1] * 4, [0.0] * 4),
        between,
    ]:
        corpora.append(
            PilotCorpus(
                name=name,
                texts=("q",),
                vectors=vector[None],
                gains={"nurse": constant_gains(1, nurse), "coder": constant_gains(1, coder)},
            )
        )
    library = PilotLibrary("0" * 16, tuple(corpora))
    share = known([0, 0])
    # Mean over nurse's centroids: (1 + 0) / 2 = 0.5 < 0.8; max: 1 > 0.8.
    mean = CentroidRouter.fit(library, EXPERTS, pool="mean").route(batch(CARE), known=share)
    best = CentroidRouter.fit(library, EXPERTS, pool="max").route(batch(CARE), known=share)
    np.testing.assert_array_equal(mean.weights, [[0, 0, 1]])
    np.testing.assert_array_equal(best.weights, [[0, 1, 0]])


def test_ties_go_to_the_expert_trained_on_the_set():
    tied = corpus("care", CARE, seed=3, gains={"nurse": [0.0] * 4, "coder": [0.0] * 4}, home=("coder",))
    router = CentroidRouter.fit(PilotLibrary("0" * 16, (tied,)), EXPERTS)
    assert router.owners.tolist() == [1]


def test_centroids_need_pilots_measured_with_every_expert(library):
    with pytest.raises(InputError, match="no pilot was measured with each of the experts nurse, other"):
        CentroidRouter.fit(library, [EXPERTS[0], FakeExpert("other", 1.0)])


def test_pilots_without_a_measurement_count_in_no_mean():
    gains = constant_gains(3, [0.1, 0.2, 0.3, 0.4])
    gains[2] = np.nan
    pilots = PilotCorpus(name="c", texts=("a", "b", "c"), vectors=around(CARE, 3, 0), gains={"nurse": gains})
    mean, n_pilots = pilots.mean_gain("nurse")
    np.testing.assert_allclose(mean, [0.1, 0.2, 0.3, 0.4], atol=1e-6)
    assert n_pilots == 2
    assert pilots.mean_gain("coder")[1] == 0


def test_libraries_join_and_part(library):
    own = PilotLibrary("0" * 16, (corpus("law", CARE + CODE, seed=5, gains={"lawyer": [0.1] * 4}, home=("lawyer",)),))
    joined = library.joined(own)
    assert [corpus.name for corpus in joined.corpora] == ["care", "code", "law"]
    assert joined.experts == ("nurse", "coder", "lawyer")
    assert [corpus.name for corpus in joined.without_expert("lawyer").corpora] == ["care", "code"]
    with pytest.raises(InputError, match="query tower 1111111111111111"):
        library.joined(PilotLibrary("1" * 16, own.corpora))


def test_one_corpus_with_other_queries_cannot_be_joined(library):
    other = PilotLibrary("0" * 16, (corpus("care", CARE, seed=1, gains={"x": [0.0] * 4}, n=3),))
    with pytest.raises(InputError, match="pilot corpus 'care' but with other queries"):
        library.joined(other)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pilots_that_are_not_finite_are_refused(bad):
    vectors = around(CARE, 2, 0)
    vectors[1, 0] = bad
    with pytest.raises(InputError, match="not finite"):
        PilotCorpus(name="c", texts=("a", "b"), vectors=vectors)


def test_settings_without_a_meaning_are_refused():
    with pytest.raises(InputError, match="temperature is 0"):
        RouterSettings(temperature=0)
    with pytest.raises(InputError, match="unknown_strength is -1"):
        RouterSettings(unknown_strength=-1)
