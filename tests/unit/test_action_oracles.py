"""The oracles over every expert at every strength and lexical weight, and the quick way to their choices."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_packs import ENCODER, QUERIES, TEXTS, documents_of, linear_expert, write_dataset, write_pack

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.evaluation.action_oracles import ACTION_ORACLES, ActionOracles
from routeret.evaluation.action_scores import scores_of_actions, searched_scores
from routeret.evaluation.actions import Action, dense_actions, routing_of, with_lexical
from routeret.evaluation.judged_documents import JudgedDocuments, judged_by_number
from routeret.experts import TowerExpert
from routeret.index import Index
from routeret.measures import NDCG, measure
from routeret.retriever.pool import Pool
from routeret.retriever.searching import Searcher
from routeret.routing import LEXICAL_WEIGHTS, STRENGTHS

EXPERTS = (linear_expert("fruit", seed=1), linear_expert("ships", seed=2, strength=0.4))
POOL = Pool(ENCODER, EXPERTS)
ALL_TEXTS = [*QUERIES["fruit"], *QUERIES["ships"]]
AT_2 = 0.63093


@pytest.fixture
def searcher(tmp_path):
    with Index.create(tmp_path / "index", ENCODER.space) as index:
        for name in TEXTS:
            index.add(Corpus.of(documents_of(name)), ENCODER)
        yield Searcher(index, POOL)


def judged(grades, *, themselves=None):
    own = np.full(len(grades), -1) if themselves is None else np.array(themselves)
    return JudgedDocuments.of(grades, own)


# Query n is answered by document n, and the next one is worth half of it.
JUDGED = judged([{number: 2, (number + 1) % 10: 1} for number in range(10)])


# --- actions ---------------------------------------------------------------------------------------------------------


def test_actions_are_the_base_and_every_expert_at_every_strength():
    actions = dense_actions(POOL)
    assert actions[0] == Action("base")
    assert [one.strength for one in actions if one.expert == "fruit"] == list(STRENGTHS)
    # Its own strength is none of those that routers choose from.
    assert [one.strength for one in actions if one.expert == "ships"] == [0.3, 0.4, 0.5, 0.7, 1.0]
    assert len(with_lexical(actions, LEXICAL_WEIGHTS)) == (1 + 4 + 5) * len(LEXICAL_WEIGHTS)
    assert with_lexical(actions[:1], (0.0, 0.5)) == (Action("base"), Action("base", lexical=0.5))


def test_every_query_may_have_an_action_of_its_own():
    batch = routing_of([Action("ships", 0.3, 0.2), Action("base"), Action("fruit", 1.0)], ("fruit", "ships"))
    np.testing.assert_array_equal(batch.weights, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(batch.strengths, [[0, 0.3], [0, 0], [1, 0]])
    np.testing.assert_allclose(batch.lexical, [0.2, 0, 0])


# --- judging ---------------------------------------------------------------------------------------------------------


def test_rankings_are_judged_by_hand():
    documents = np.array([[4, 7, 9, -1], [7, 4, 9, -1], [9, 3, 4, 7], [-1, -1, -1, -1]])
    one = judged([{4: 1, 8: 0}] * 4, themselves=[-1, 7, 3, -1])
    # Ranks 1, 1 (the query itself is before it), 2 (likewise) and none.
    np.testing.assert_allclose(one.ndcg(documents), [1, 1, AT_2, 0], atol=1e-5)


def test_the_eleventh_counts_where_the_query_itself_is_before():
    documents = np.arange(11)[None]
    tenth = 1 / np.log2(11)
    assert judged([{10: 1}], themselves=[0]).ndcg(documents) == pytest.approx([tenth])
    assert judged([{10: 1}]).ndcg(documents) == [0]


def test_scores_are_judged_by_hand():
    documents, scores = np.array([3, 5, 8]), np.array([[0.1, 0.5, 0.5], [0.9, 0.1, 0.2], [0.5, 0.5, 0.5]])
    # Document 5 is first, third, and behind an equal one with a lower number.
    found = judged([{5: 3, 99: -1}]).ndcg_of_scores(0, documents, scores.astype(np.float32))
    np.testing.assert_allclose(found, [1, 0.5, AT_2], atol=1e-5)
    assert judged([{4: 1}]).ndcg_of_scores(0, documents, scores.astype(np.float32)).tolist() == [0, 0, 0]


def test_what_is_not_in_the_index_has_no_number():
    assert judged_by_number(["q"], {"q": {"a": 1, "gone": 2}}, {"a": 5}) == [{5: 1}]


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_both_ways_of_judging_are_trec_evals(seed, n_documents):
    rng = np.random.default_rng(seed)
    documents = np.sort(rng.choice(100, n_documents, replace=False))
    scores = rng.permutation(n_documents).astype(np.float32)
    grades = {int(one): int(rng.integers(0, 4)) for one in rng.choice(100, rng.integers(1, 20), replace=False)}
    one = judged([grades])
    ranking = documents[np.argsort(-scores)][None]
    run = {"q": {str(document): float(score) for document, score in zip(documents, scores, strict=True)}}
    expected = measure(run, {"q": {str(document): grade for document, grade in grades.items()}})["q"][NDCG]
    assert one.ndcg(ranking)[0] == pytest.approx(expected, abs=1e-5)
    assert one.ndcg_of_scores(0, documents, scores[None])[0] == pytest.approx(expected, abs=1e-5)


# --- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lexical", [(0.0,), LEXICAL_WEIGHTS])
@pytest.mark.parametrize("themselves", [None, [3, -1, 2, 1, 0, 9, 8, -1, 5, 4]])
def test_the_quick_scores_are_those_of_searches(searcher, lexical, themselves):
    (block,) = searcher.blocks(ALL_TEXTS, depth=20)
    one = JUDGED if themselves is None else replace(JUDGED, themselves=np.array(themselves))
    actions = dense_actions(POOL)
    found = scores_of_actions(searcher, block, actions, judged=one, lexical=lexical)
    slow = searched_scores(searcher, block, with_lexical(actions, lexical), judged=one)
    np.testing.assert_allclose(found, slow.reshape(found.shape), atol=1e-6)
    # They are not all the same, so that there is something to choose.
    assert (found.reshape(len(found), -1).std(axis=1) > 0.01).sum() >= 5


def test_an_expert_with_documents_of_its_own_is_searched_beside_the_others(searcher):
    other = HashingEncoder(dim=48)
    searcher.index.add_space(other)
    tower = TowerExpert("other", other, 0.5, model="hashing-48")
    mixed = Searcher(searcher.index, Pool(ENCODER, (EXPERTS[0], tower, EXPERTS[1])))
    (block,) = mixed.blocks(ALL_TEXTS, depth=20)
    actions, lexical = dense_actions(mixed.pool), (0.0, 0.3)
    found = scores_of_actions(mixed, block, actions, judged=JUDGED, lexical=lexical)
    slow = searched_scores(mixed, block, with_lexical(actions, lexical), judged=JUDGED)
    np.testing.assert_allclose(found, slow.reshape(found.shape), atol=1e-6)
    own = [number for number, action in enumerate(actions) if action.expert == "other"]
    assert np.abs(found[:, own] - found[:, :1]).max() > 0.1
    # It is no linear map, so there are no random maps in its place.
    oracles = ActionOracles(mixed, JUDGED, wanted=["query_oracle_strengths", "query_oracle_strengths_null"])
    rankings = dict(oracles.rank(block, 5, start=0))
    assert rankings["query_oracle_strengths_null"] is None
    assert rankings["query_oracle_strengths"] is not None


def test_a_query_without_a_known_word_is_scored_by_its_vectors(searcher):
    (block,) = searcher.blocks(["zzz"], depth=20)
    found = scores_of_actions(searcher, block, dense_actions(POOL), judged=JUDGED.part(0, 1), lexical=(0.0, 0.8))
    np.testing.assert_array_equal(found[:, :, 0], found[:, :, 1])


# --- oracles ---------------------------------------------------------------------------------------------------------


def test_the_oracles_choose_the_best_action_by_query_and_by_set(searcher, monkeypatch):
    monkeypatch.setattr("routeret.retriever.searching._BLOCK_QUERIES", 4)
    oracles = ActionOracles(searcher, JUDGED, wanted=ACTION_ORACLES)
    found = {name: [] for name in ACTION_ORACLES}
    start = 0
    for block in searcher.blocks(ALL_TEXTS, depth=20):
        for name, ranking in oracles.rank(block, 20, start=start):
            found[name] += JUDGED.part(start, start + len(block)).ndcg(ranking.documents).tolist()
        start += len(block)
    start = 0
    for block in searcher.blocks(ALL_TEXTS, depth=20):
        for name, ranking in oracles.rank_chosen(block, 20):
            found[name] += JUDGED.part(start, start + len(block)).ndcg(ranking.documents).tolist()
        start += len(block)
    monkeypatch.undo()
    (block,) = searcher.blocks(ALL_TEXTS, depth=20)
    for suffix, weights in (("_strengths", (0.0,)), ("_hybrid", LEXICAL_WEIGHTS)):
        slow = searched_scores(searcher, block, with_lexical(dense_actions(POOL), weights), judged=JUDGED)
        np.testing.assert_allclose(found[f"query_oracle{suffix}"], slow.max(axis=1), atol=1e-6)
        best = slow[:, slow.mean(axis=0).argmax()]
        np.testing.assert_allclose(found[f"dataset_oracle{suffix}"], best, atol=1e-6)
        base = slow[:, 0]
        assert (np.array(found[f"query_oracle{suffix}_null"]) >= base - 1e-6).all()


def test_what_nobody_wants_is_not_searched(searcher):
    oracles = ActionOracles(searcher, JUDGED, wanted=["dataset_oracle"])
    (block,) = searcher.blocks(ALL_TEXTS, depth=20)
    assert (list(oracles.rank(block, 5, start=0)), oracles.chooses_by_set) == ([], False)
    assert list(oracles.rank_chosen(block, 5)) == []


def test_an_evaluation_measures_them_beside_the_plain_oracles(tmp_path):
    sets = [write_dataset(tmp_path / "data" / name) for name in TEXTS]
    pack = write_pack(tmp_path / "tiny")
    report = evaluate(
        sets, pack=pack, settings=EvaluationSettings(systems=["usual", "oracles"], save_runs=tmp_path / "runs")
    )
    for name in TEXTS:
        ndcg = {system: values[NDCG] for system, values in report.datasets[name].systems.items()}
        for kind in ("dataset_oracle", "query_oracle"):
            assert ndcg[kind] <= ndcg[f"{kind}_strengths"] + 1e-6
            assert ndcg[f"{kind}_strengths"] <= ndcg[f"{kind}_hybrid"] + 1e-6
        assert ndcg["base"] <= ndcg["query_oracle_strengths_null"]
        assert (tmp_path / "runs" / name / "dataset_oracle_hybrid.trec").is_file()
    assert {"routed_hybrid", *ACTION_ORACLES} <= set(report.mean)
    # They are bounds, so no comparison of the family.
    assert report.datasets["fruit"].diff_to_base["query_oracle_hybrid"].p_holm is None


def test_one_of_them_brings_the_plain_oracles_with_it(tmp_path):
    sets, pack = [write_dataset(tmp_path / "data" / "fruit")], write_pack(tmp_path / "tiny")
    found = set(evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["query_oracle_strengths"])).mean)
    assert {one for one in found if "oracle" in one} == {"dataset_oracle", "query_oracle", "query_oracle_strengths"}
