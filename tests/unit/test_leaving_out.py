"""A pool without what has seen a data set."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_packs import ENCODER, documents_of, linear_expert, write_dataset, write_pack

from routeret.evaluation import EvaluationSettings, evaluate
from routeret.evaluation.leaving_out import pool_without
from routeret.retriever import Retriever
from routeret.retriever.pool import Pool
from routeret.routing import PilotCorpus, PilotLibrary, RouterSettings, UtilityRouter
from routeret.types import Document

SETTINGS = RouterSettings(temperature=0.03)


def keys_of(documents):
    return np.array([document.content_key for document in documents], dtype=np.uint64)


def corpus(name, *, home, gains, source=""):
    texts = tuple(f"{name} {number}" for number in range(3))
    vectors = ENCODER.encode_queries(texts)
    rows = {expert: np.full((3, 4), gain, dtype=np.float32) for expert, gain in gains.items()}
    return PilotCorpus(name, texts, vectors, rows, home_experts=tuple(home), source=source)


@pytest.fixture
def pool():
    other = [Document(id="o", text="another document")]
    experts = (
        linear_expert("fruit", known=documents_of("fruit")),
        linear_expert("juice", known=other),
        linear_expert("ships", known=documents_of("ships")),
        linear_expert("all", known=documents_of("fruit") + documents_of("ships") + other),
    )
    gains = {"fruit": 0.1, "juice": 0.1, "ships": 0.1, "all": 0.1}
    library = PilotLibrary(
        ENCODER.query_tower,
        (
            corpus("fruit", home=("fruit", "all"), gains=gains, source="market"),
            corpus("juice", home=("juice", "all"), gains=gains, source="market"),
            corpus("ships", home=("ships", "all"), gains=gains),
        ),
    )
    router = UtilityRouter.fit(library, [expert.name for expert in experts], settings=SETTINGS)
    return Pool(ENCODER, experts, router)


def corpora_of(pool):
    return [one.name for one in pool.router.library.corpora]


def test_the_corpus_its_source_and_their_experts_go(pool):
    left = pool_without(pool, "fruit", keys_of(documents_of("fruit")))
    assert left.names == ("ships",)
    assert left.router.expert_names == ("ships",)
    assert corpora_of(left) == ["ships"]
    assert left.router.settings == SETTINGS
    assert left.router.library.corpora[0].home_experts == ("ships",)
    # The router is fitted again: what was guessed between three corpora is one now.
    assert left.router.guess.coefficients.shape == (1, 32)


def test_a_set_of_another_name_takes_the_experts_of_its_documents_along(pool):
    left = pool_without(pool, "vehicles", keys_of(documents_of("ships")))
    assert left.names == ("fruit", "juice")
    assert corpora_of(left) == ["fruit", "juice"]


def test_one_document_of_a_hundred_is_no_acquaintance(pool):
    strangers = [Document(id=f"s{number}", text=f"stranger {number}") for number in range(99)]
    keys = keys_of([*strangers, documents_of("ships")[0]])
    assert pool_without(pool, "mixed", keys) is pool
    assert "ships" not in pool_without(pool, "mixed", keys[1:]).names


def test_nothing_is_left_but_the_base(pool):
    alone = replace(pool, experts=pool.experts[3:], router=None)
    left = pool_without(alone, "fruit", keys_of(documents_of("fruit")))
    assert left.names == ()
    assert left.router is None


def test_a_corpus_goes_whose_pilots_are_queries_of_the_set(pool):
    # Known by the expert of all alone, and called otherwise here.
    library = PilotLibrary(
        ENCODER.query_tower,
        (corpus("fruit", home=("all",), gains={"all": 0.1, "ships": 0.3}), pool.router.library.corpora[2]),
    )
    router = UtilityRouter.fit(library, pool.names, settings=SETTINGS)
    keys = keys_of(documents_of("fruit"))
    left = pool_without(replace(pool, router=router), "fruit_v2", keys, ["x", "fruit 1"])
    assert corpora_of(left) == ["ships"]
    assert corpora_of(pool_without(replace(pool, router=router), "fruit_v2", keys, ["x"])) == ["fruit", "ships"]


def test_an_index_of_ones_own_need_not_hold_every_document(tmp_path):
    folder = write_dataset(tmp_path / "fruit")
    with Retriever.create(tmp_path / "kb", pack=write_pack(tmp_path / "two")) as kb:
        kb.add(documents_of("fruit"))
        kb.delete(["f0"])  # no test query asks for it
    report = evaluate([folder], index=tmp_path / "kb", settings=EvaluationSettings(leave_out=True))
    assert "expert:ships" in report.datasets["fruit"].systems


def test_an_evaluation_leaves_every_set_out_once(tmp_path):
    sets = [write_dataset(tmp_path / name) for name in ("fruit", "ships")]
    pack = write_pack(tmp_path / "two")
    report = evaluate(sets, pack=pack, settings=EvaluationSettings(leave_out=True))
    assert report.provenance.left_out
    # One expert was trained on each set, and the third one on both: so it never stays.
    for name, other in (("fruit", "ships"), ("ships", "fruit")):
        systems = report.datasets[name].systems
        assert f"expert:{name}" not in systems
        assert f"expert:{other}" in systems
        assert systems.get("multitask") is None
        assert systems.get("known_index") is None
    usual = evaluate(sets, pack=pack)
    assert not usual.provenance.left_out
    assert {"expert:fruit", "expert:ships"} <= usual.datasets["fruit"].systems.keys()


def test_a_single_expert_may_be_asked_for_where_it_has_to_go(tmp_path):
    sets = [write_dataset(tmp_path / name) for name in ("fruit", "ships")]
    report = evaluate(
        sets, pack=write_pack(tmp_path / "two"), settings=EvaluationSettings(leave_out=True, systems=["expert:fruit"])
    )
    assert report.datasets["fruit"].systems["expert:fruit"] is None
    assert report.mean["expert:fruit"] == report.datasets["ships"].systems["expert:fruit"]
    assert report.n_datasets("expert:fruit") == 1
