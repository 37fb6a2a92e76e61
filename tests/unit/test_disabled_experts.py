"""A request may do without some experts, or without BM25; nothing is fitted again."""

import numpy as np
import pytest
from tiny_packs import documents_of, linear_expert, pilot_corpus, write_expert, write_pack

from routeret.errors import InputError, UnknownExpertError
from routeret.retriever import Retriever
from routeret.routing import UtilityRouter
from routeret.types import Document, QueryBatch

ASKED = "ship with an engine"


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", pack=write_pack(tmp_path / "two")) as retriever:
        retriever.add(documents_of("ships") + documents_of("fruit"))
        yield retriever


def test_a_disabled_expert_has_no_weight_and_the_others_share(kb):
    weights = kb.route(ASKED).weights
    assert weights["ships"] > weights.get("multitask", 0)
    without = kb.search(ASKED, 3, disable=["ships"]).routing
    assert "ships" not in without.weights
    assert "ships" not in without.predicted_gains
    assert without.weights["multitask"] > weights.get("multitask", 0)
    assert without.as_dict() == kb.route(ASKED, disable=["ships"]).as_dict()


def test_without_any_expert_and_bm25_the_base_answers(kb):
    plain = kb.search(ASKED, 5, expert="base")
    hits = kb.search(ASKED, 5, disable=["ships", "fruit", "multitask", "bm25"])
    assert dict(hits.routing.weights) == {"base": 1.0}
    assert [(hit.id, hit.score) for hit in hits] == [(hit.id, hit.score) for hit in plain]


def test_bm25_alone_is_disabled(kb):
    usual, without = kb.route(ASKED), kb.route(ASKED, disable=["bm25"])
    assert usual.weights["bm25"] > 0
    assert {**without.weights, "bm25": usual.weights["bm25"]} == dict(usual.weights)


def test_a_request_changes_nothing_for_the_next(kb):
    before = kb.search(ASKED, 5).as_dict()
    kb.search(ASKED, 5, disable=["ships", "bm25"])
    assert kb.search(ASKED, 5).as_dict() == before


def test_the_router_without_some_experts_is_made_once(kb, monkeypatch):
    made = []
    restricted_to = UtilityRouter.restricted_to
    monkeypatch.setattr(
        UtilityRouter, "restricted_to", lambda router, kept: made.append(set(kept)) or restricted_to(router, kept)
    )
    for disable in (["ships"], ["ships", "bm25"], ["fruit"], ["ships"]):
        kb.search(ASKED, 3, disable=disable)
    assert made == [{"fruit", "multitask"}, {"ships", "multitask"}]


def test_the_map_of_the_index_is_that_of_a_pool_without_the_expert(tmp_path):
    notes = [Document(id=f"n{number}", text=f"note {number} of word{number % 17}") for number in range(600)]
    own = linear_expert("own", known=notes)
    with Retriever.create(tmp_path / "kb", base="hashing-32") as kb:
        kb.add(notes)
        for expert, corpus in ((own, "fruit"), (linear_expert("ships"), "ships")):
            kb.add_expert(
                write_expert(
                    tmp_path / expert.name, expert, pilot_corpus(corpus, {expert.name: 0.1}, home=[expert.name])
                )
            )
        assert kb.route("note of word3").adaptation == 0
        disabled = kb.search("note of word3", 10, disable=["own", "bm25"])
        assert disabled.routing.adaptation == pytest.approx(0.2)
        kb.remove_expert("own")
        assert [hit.id for hit in kb.search("note of word3", 10, disable=["bm25"])] == [hit.id for hit in disabled]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda kb: kb.search("a", disable=["base"]), "'base' cannot be disabled"),
        (
            lambda kb: kb.search("a", disable="ships"),
            r"disable is the string 'ships', expected a list of names: \['ships'\]",
        ),
        (lambda kb: kb.search("a", expert="ships", disable=["fruit"]), "both expert 'ships' and disable"),
        (lambda kb: kb.route("a", disable=["legal"]), "unknown expert 'legal'; there are .*ships"),
    ],
)
def test_what_cannot_be_disabled_is_refused(kb, call, message):
    with pytest.raises(InputError if "legal" not in message else UnknownExpertError, match=message):
        call(kb)


def test_a_restricted_router_predicts_what_the_whole_one_does(tmp_path):
    router = UtilityRouter.load(write_pack(tmp_path / "two") / "router")
    names = router.expert_names
    rng = np.random.default_rng(0)
    queries = QueryBatch(("q",) * 6, rng.normal(size=(6, 32)).astype(np.float32))
    known = rng.uniform(size=(6, len(names))).astype(np.float32)
    whole = router.route(queries, known=known)
    np.testing.assert_array_equal(router.restricted_to(names).route(queries, known=known).weights, whole.weights)
    kept = [column for column, name in enumerate(names) if name != "fruit"]
    part = router.restricted_to([names[column] for column in reversed(kept)])
    assert part.expert_names == tuple(names[column] for column in kept)
    assert part.route(queries, known=known[:, kept]).weights.shape == (6, 1 + len(kept))
    none = router.restricted_to([]).route(queries, known=known[:, :0])
    np.testing.assert_array_equal(none.weights, np.ones((6, 1)))
    with pytest.raises(UnknownExpertError, match="unknown expert 'legal'"):
        router.restricted_to(["legal"])
