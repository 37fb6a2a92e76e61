"""The routers that routing is compared with, measured on tiny packs."""

import pytest
from tiny_packs import DIM, ENCODER, QUERIES, TEXTS, linear_expert, write_dataset, write_pack

from routeret.errors import InputError
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.evaluation.layout import system_order
from routeret.evaluation.systems import ON_REQUEST, Systems, known_systems
from routeret.measures import NDCG
from routeret.retriever import Retriever
from routeret.retriever.pool import Pool
from routeret.retriever.searching import Searcher
from routeret.routing import ROUTERS


@pytest.fixture
def sets(tmp_path):
    return [write_dataset(tmp_path / "data" / name) for name in TEXTS]


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "tiny")


def test_one_word_asks_for_all_baselines(sets, pack):
    report = evaluate(
        sets, pack=pack, settings=EvaluationSettings(systems=["baselines", "expert:fruit", "expert:ships"])
    )
    assert list(report.mean) == ["base", *ROUTERS, "known_index", "expert:fruit", "expert:ships"]
    for name in TEXTS:
        systems = report.datasets[name].systems
        assert None not in systems.values()
        # The pilots of a set are its queries, and its own expert gains most on each of them.
        picking = ("centroid", "centroid_max", "centroid_kmeans", "dataset_router", "classifier_head")
        assert {router: systems[router] for router in picking} == dict.fromkeys(picking, systems[f"expert:{name}"])
        # The ten nearest pilots are all there are, and over these the ships' expert gains most.
        assert systems["nearest_pilot"] == systems["expert:ships"]
        # The gains are the same at every strength, so both take the lowest one.
        assert systems["two_step"] == systems["known_index_expert"]
    # Over both sets the ships' expert gains most, so it is the best single one.
    ships = report.datasets["ships"].systems
    assert ships["best_single"] == ships["known_index_expert"]


def test_a_set_without_pilots_has_no_expert_of_its_own(sets, pack, tmp_path):
    other = sets[0].rename(tmp_path / "data" / "unknown")
    systems = (
        evaluate([other], pack=pack, settings=EvaluationSettings(systems=["baselines"])).datasets["unknown"].systems
    )
    assert [name for name, values in systems.items() if values is None] == ["known_index_expert", "known_index"]


def test_a_pool_without_pilots_has_the_routers_that_need_none(sets, tmp_path):
    with Retriever.create(tmp_path / "kb", base=f"hashing-{DIM}") as kb:
        kb.add(sets[0])
        searcher = Searcher(kb.index, Pool(ENCODER, (linear_expert("solo"),)))
        systems = Systems(searcher, names=["baselines"])
        (block,) = searcher.blocks(QUERIES["fruit"], depth=5)
        found = dict(systems.rank(block, 5, dataset="fruit", routing=searcher.route(block)))
    assert [name for name, ranking in found.items() if ranking] == ["base", "description", "random", "uniform"]


def test_the_null_oracle_is_between_the_base_and_the_best(sets, pack, tmp_path):
    names = ["dataset_oracle", "query_oracle", "query_oracle_null"]
    report = evaluate(sets, pack=pack, settings=EvaluationSettings(systems=names, save_runs=tmp_path / "runs"))
    assert list(report.mean)[:4] == ["base", *names]
    for name in TEXTS:
        systems = report.datasets[name].systems
        assert not [one for one in systems if one.startswith("null:")]
        assert 1 >= systems["query_oracle_null"][NDCG] >= systems["base"][NDCG]
        assert (tmp_path / "runs" / name / "null:fruit.trec").is_file()
    again = evaluate(sets, pack=pack, settings=EvaluationSettings(systems=names)).mean
    assert again["query_oracle_null"] == report.mean["query_oracle_null"]


def test_an_index_without_experts_has_no_null(sets, tmp_path):
    with Retriever.create(tmp_path / "kb", base=f"hashing-{DIM}") as kb:
        kb.add(sets[0])
    systems = (
        evaluate(sets[:1], index=tmp_path / "kb", settings=EvaluationSettings(systems=["query_oracle_null"]))
        .datasets["fruit"]
        .systems
    )
    assert systems["query_oracle_null"] is None


def test_what_is_measured_on_request_is_known_and_in_order():
    known = known_systems(["law"])
    assert len(set(known)) == len(known)
    assert set(ON_REQUEST) < set(known)
    assert set(ROUTERS) < set(known)
    # No name falls behind the experts for want of a place in the tables.
    assert known == system_order(known)
    assert known[-2:] == ["query_oracle_hybrid_null", "expert:law"]
    assert not {"centroid", "multitask", "average", "uniform", "known_index"} & set(ON_REQUEST)


def test_a_wrong_name_lists_all(sets, pack):
    with pytest.raises(InputError, match="unknown system 'magic'") as caught:
        evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["magic"]))
    assert all(name in str(caught.value) for name in (*ROUTERS, *ON_REQUEST, "baselines", "oracles", "usual"))


def test_routers_are_fitted_once_for_a_set_and_only_when_asked_for(sets, pack, monkeypatch):
    fitted = []

    def counting(name, inputs):
        fitted.append((name, inputs.corpus))
        return ROUTERS[name].fit(inputs)

    monkeypatch.setattr("routeret.evaluation.systems.fit_router", counting)
    monkeypatch.setattr("routeret.retriever.searching._BLOCK_QUERIES", 1)
    evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["centroid", "two_step"]))
    assert fitted == [(name, corpus) for corpus in TEXTS for name in ("centroid", "two_step")]
