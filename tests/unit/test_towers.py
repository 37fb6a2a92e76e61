"""Experts with document spaces of their own, beside the base's, in one retriever."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from first_format import in_first_format
from tiny_packs import ENCODER, QUERIES, TEXTS, documents_of, pilot_corpus, write_dataset, write_expert, write_pack

from routeret.artifact import write_manifest
from routeret.datasets import read_run
from routeret.encoders import HashingEncoder
from routeret.errors import ArtifactError, IndexLockedError, InputError, ModelNotFoundError, SpaceMismatchError
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.experts import TowerExpert, load_expert
from routeret.experts.fingerprints import fingerprints
from routeret.fusion import fuse_spaces
from routeret.index import Index
from routeret.packs import FORMAT, KIND
from routeret.retriever import Retriever
from routeret.retriever.folder import Contents
from routeret.retriever.own_spaces import common_fusion
from routeret.retriever.probing import probe_queries
from routeret.training.scoring import JudgedQueries
from routeret.training.towers import measured_model, tower_gains
from routeret.types import Document, LabelledQuery

DOCUMENTS = [*documents_of("fruit"), *documents_of("ships")]
OTHER = HashingEncoder(48)
UNMEASURED = TowerExpert("other", OTHER, 1.0, np.zeros(0, dtype=np.uint64), model="hashing-48")


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", pack=write_pack(tmp_path / "tiny")) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def write_tower(folder, *, details=None):
    """The expert's folder, with pilots that say that it helps with ships and harms fruit, at every strength alike."""
    keys = np.array([document.content_key for document in documents_of("ships")], dtype=np.uint64)
    expert = TowerExpert("other", OTHER, 0.5, keys, model="hashing-48", details=details or {})
    ships = pilot_corpus("ships", {"other": 0.5}, home=["other"])
    return write_expert(folder, expert, ships, pilot_corpus("fruit", {"other": -1.0}))


def with_words(kb, query, scores, weight):
    """Scores of all documents with those of BM25 beside them, as a search adds them."""
    lexical = {hit.id: hit.score for hit in kb.search(query, len(scores), expert="bm25")}
    best = max(lexical.values())
    return [
        score + weight * lexical.get(document.id, 0.0) / best for score, document in zip(scores, DOCUMENTS, strict=True)
    ]


def slow_fusion(query, documents, share, how="scores"):
    """Ids by fused score, one space after the other, all documents candidates."""
    scores = []
    for encoder in (ENCODER, OTHER):
        vectors = encoder.encode_documents(documents).vectors.astype(np.float16).astype(np.float64)
        scores.append((vectors @ encoder.encode_queries([query])[0]).astype(np.float32))
    base, own = scores
    if how == "ranks":
        ranks = [sorted(range(len(one)), key=lambda row: -one[row]) for one in scores]
        points = [[61 / (61 + rank.index(row)) for row in range(len(base))] for rank in ranks]
        fused = (1 - share) * np.array(points[0]) + share * np.array(points[1])
    else:
        moved = (own - own.mean()) / own.std() * base.std() + base.mean()
        fused = (1 - share) * base + share * moved
    return fused


def test_a_model_becomes_an_expert_with_vectors_of_its_own(kb):
    kb.add_model("hashing-48", name="other")
    assert kb.expert_names == ("fruit", "multitask", "ships", "other")
    info = kb.info()["spaces"]
    assert {space: held["rows"] for space, held in info.items()} == {
        ENCODER.space.fingerprint: 10,
        OTHER.space.fingerprint: 10,
    }
    hits = kb.search("ship with an engine", 10, expert="other")
    own = OTHER.encode_documents(DOCUMENTS).vectors @ OTHER.encode_queries(["ship with an engine"])[0]
    expected = [DOCUMENTS[row].id for row in np.argsort(-own, kind="stable")]
    assert [hit.id for hit in hits] == expected
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(own)[::-1], atol=1e-3)


def test_without_data_the_router_never_chooses_it(kb):
    before = [kb.search(query, 5) for query in QUERIES["ships"]]
    kb.add_model("hashing-48", name="other")
    after = [kb.search(query, 5) for query in QUERIES["ships"]]
    assert [[hit.id for hit in hits] for hits in after] == [[hit.id for hit in hits] for hits in before]
    assert all(hits.routing.weights.get("other", 0.0) == 0 for hits in after)


def test_every_change_of_documents_embeds_them_in_every_space(kb, tmp_path):
    kb.add_model("hashing-48", name="other")
    kb.add([Document(id="n0", text="a canoe of birch bark")])
    kb.upsert([Document(id="s1", text="a paddle steamer on the river")])
    kb.delete(["f0"])
    held = [*DOCUMENTS[1:6], *DOCUMENTS[7:], Document(id="n0", text="a canoe of birch bark")]
    held.append(Document(id="s1", text="a paddle steamer on the river"))
    query = "a boat of bark"
    own = OTHER.encode_documents(held).vectors @ OTHER.encode_queries([query])[0]
    expected = [held[row].id for row in np.argsort(-own, kind="stable")[:3]]
    with Retriever.open(tmp_path / "kb") as opened:
        assert [hit.id for hit in opened.search(query, 3, expert="other")] == expected
        opened.compact()
        assert [hit.id for hit in opened.search(query, 3, expert="other")] == expected
        assert opened.verify().is_whole


def test_removing_the_expert_forgets_its_vectors(kb):
    kb.add_model("hashing-48", name="other")
    kb.remove_expert("other")
    assert list(kb.info()["spaces"]) == [ENCODER.space.fingerprint]
    kb.add([Document(id="n0", text="a canoe")])
    assert len(kb) == 11


def test_a_space_that_no_expert_needs_is_dropped_before_the_next_change(kb):
    with Index.open(kb.index.folder) as index:
        index.add_space(OTHER)
    kb.add([Document(id="n0", text="a canoe")])
    assert list(kb.info()["spaces"]) == [ENCODER.space.fingerprint]


def test_the_base_itself_is_no_expert(kb):
    with pytest.raises(SpaceMismatchError, match="embeds documents as the base of index 'kb' does"):
        kb.add_model("hashing-32", name="same")
    with pytest.raises(InputError, match="has an expert 'ships' already"):
        kb.add_model("hashing-48", name="ships")
    assert list(kb.info()["spaces"]) == [ENCODER.space.fingerprint]


def test_documents_that_came_meanwhile_stop_the_installation(kb, monkeypatch):
    monkeypatch.setattr(Index, "add_space", lambda *_, **__: None)
    with pytest.raises(ArtifactError, match=r"has 10 rows, 0 of them in the space of expert 'other'"):
        kb.add_model("hashing-48", name="other")
    assert kb.expert_names == ("fruit", "multitask", "ships")


@pytest.mark.parametrize("how", ["scores", "ranks"])
def test_a_share_fuses_the_rankings_of_two_spaces(tmp_path, how):
    data = write_dataset(tmp_path / "ships", train=(0, 1, 2, 3, 4))
    with Retriever.create(tmp_path / "kb", base="hashing-32", space_fusion=how) as kb:
        kb.add(DOCUMENTS)
        kb.add_model("hashing-48", name="other", data=[data])
        share = kb.searcher.pool.tower_by_name["other"].strength
        for query in QUERIES["ships"]:
            fused = slow_fusion(query, DOCUMENTS, share, how)
            hits = kb.search(query, 10, expert="other")
            assert dict(hits.routing.strengths) == {"other": share}
            by_id = {hit.id: hit.score for hit in hits}
            np.testing.assert_allclose([by_id[document.id] for document in DOCUMENTS], fused, atol=2e-3)


def test_a_measured_model_is_routed_to_where_it_helps(tmp_path):
    data = write_dataset(tmp_path / "ships", train=(0, 1, 2, 3, 4))
    measured = measured_model(UNMEASURED, data=[data], base=ENCODER)
    (corpus,) = measured.pilots.corpora
    assert corpus.home_experts == ("other",)
    gains = measured.scores[0].gains[:, 0]
    assert gains.shape == (1, 4)  # of five train queries one stands for dev
    assert measured.expert.strength == (0.3, 0.5, 0.7, 1.0)[int(np.argmax(gains[0].round(9)))]
    np.testing.assert_allclose(corpus.gains["other"][0], gains[0], atol=1e-6)
    keys = sorted(document.content_key % 2**32 for document in documents_of("ships"))
    assert measured.expert.known_documents.tolist() == keys
    # The sketch is in the base's space, where an index compares.
    codes = fingerprints(ENCODER.encode_documents(documents_of("ships")).vectors)
    assert measured.expert.sketch.space == ENCODER.space.fingerprint
    assert measured.expert.sketch.fingerprints.tolist() == np.unique(codes).tolist()
    assert measured.expert.sketch.queries.n == 4


@pytest.mark.parametrize("how", ["scores", "ranks"])
def test_the_router_gives_a_tower_its_share_where_it_helps(tmp_path, how):
    folder = write_tower(tmp_path / "other", details={"space_fusion": how})
    with Retriever.create(tmp_path / "kb", base="hashing-32", space_fusion=how) as kb:
        kb.add(DOCUMENTS)
        before = {query: kb.search(query, 10) for query in QUERIES["fruit"]}
        kb.add_expert(folder)
        for query in QUERIES["ships"]:
            hits = kb.search(query, 10)
            assert hits.routing.weights["other"] == pytest.approx(1.0, abs=1e-6)
            # Every strength promises as much as the others, so their mean is taken.
            assert hits.routing.strengths["other"] == pytest.approx((0.3 + 0.5 + 0.7 + 1.0) / 4)
            fused = with_words(kb, query, slow_fusion(query, DOCUMENTS, 0.625, how), hits.routing.weights["bm25"])
            by_id = {hit.id: hit.score for hit in hits}
            np.testing.assert_allclose([by_id[document.id] for document in DOCUMENTS], fused, atol=2e-3)
        for query, hits in before.items():
            after = kb.search(query, 10)
            assert "other" not in after.routing.weights
            assert [hit.id for hit in after] == [hit.id for hit in hits]
            np.testing.assert_allclose([hit.score for hit in after], [hit.score for hit in hits], rtol=1e-6)


def test_a_measured_model_is_tested_with_shares_that_other_queries_chose(tmp_path, monkeypatch):
    data = write_dataset(tmp_path / "ships", train=(0, 1, 2), test=(3, 4))
    (data / "qrels" / "test.tsv").rename(data / "qrels" / "dev.tsv")
    # Each of two queries gains at a share of its own and loses at the other's.
    gains = np.array([[0.6, -0.4, -0.9, -0.9], [-0.4, 0.6, -0.9, -0.9]], dtype=np.float32)
    monkeypatch.setattr("routeret.training.towers.tower_gains", lambda *_, **__: gains)
    measured = measured_model(UNMEASURED, data=[data], base=ENCODER)
    np.testing.assert_allclose(measured.scores[0].gains.mean(axis=0)[0], [0.1, 0.1, -0.9, -0.9], atol=1e-6)
    assert measured.expert.strength == 0.3
    assert (measured.difference.mean, measured.difference.n) == (pytest.approx(-0.4), 2)
    scores = {"difference": measured.difference.as_dict(), "helpful": False}
    assert measured.expert.details == {"space_fusion": "scores", "scores": scores}


def test_a_model_without_data_has_no_difference():
    measured = measured_model(UNMEASURED, data=[], base=ENCODER)
    assert (measured.expert.strength, measured.scores) == (1.0, ())
    assert measured.expert.details == {"space_fusion": "scores"}
    assert (measured.difference.mean, measured.difference.p_value, measured.difference.n) == (0.0, 1.0, 0)


def test_it_is_saved_and_loaded_by_reference(tmp_path):
    expert = TowerExpert("other", OTHER, 0.5, np.array([3, 1, 3], dtype=np.uint64), model="hashing-48")
    expert.save(tmp_path / "other")
    loaded = load_expert(tmp_path / "other")
    assert isinstance(loaded, TowerExpert)
    assert (loaded.name, loaded.strength, loaded.model) == ("other", 0.5, "hashing-48")
    assert loaded.space == OTHER.space
    assert loaded.known_documents.tolist() == [1, 3]
    in_first_format(tmp_path / "other", [1, 2**40 + 3])
    first = load_expert(tmp_path / "other")
    assert first.known_documents.tolist() == [1, 3]
    assert first.sketch is None


def test_a_model_with_files_travels_with_its_expert(tmp_path, tiny_models):
    from routeret.encoders import TorchEncoder

    folder = tiny_models.write(tmp_path / "model", prompts={"query": "query: ", "document": "passage: "})
    encoder = TorchEncoder(folder, device="cpu", max_tokens=12)
    TowerExpert("own", encoder, 1.0, np.zeros(0, dtype=np.uint64)).save(tmp_path / "own")
    loaded = load_expert(tmp_path / "own")
    assert loaded.space == encoder.space
    texts = ["river bank", "tax return"]
    np.testing.assert_array_equal(loaded.encoder.encode_queries(texts), encoder.encode_queries(texts))
    (tmp_path / "own" / "model" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"model\.safetensors is damaged"):
        load_expert(tmp_path / "own")


@pytest.mark.parametrize(("strength", "model"), [(0.0, "hashing-48"), (1.2, "hashing-48"), (0.5, None)])
def test_a_tower_that_cannot_be_used_is_refused(strength, model):
    with pytest.raises(InputError, match="expert 'other' has"):
        TowerExpert("other", OTHER, strength, np.zeros(0, dtype=np.uint64), model=model)


def test_gains_at_share_one_are_those_of_the_tower_alone():
    rng = np.random.default_rng(0)
    relevant = tuple(np.array([row]) for row in range(8))
    grades = tuple(np.ones(1, dtype=np.float32) for _ in range(8))
    base, own = (
        JudgedQueries("s", *(rng.normal(size=(n, 4)).astype(np.float32) for n in (8, 150)), relevant, grades)
        for _ in range(2)
    )
    gains = tower_gains(base, own, shares=(0.0, 1.0))
    np.testing.assert_array_equal(gains[:, 0], np.zeros(8))
    np.testing.assert_allclose(gains[:, 1], own.ndcg_of(own.queries) - base.ndcg_of(base.queries), atol=1e-6)


def test_a_pack_with_a_tower_is_evaluated(tmp_path):
    data = [write_dataset(tmp_path / name, train=(0, 1, 2, 3, 4)) for name in TEXTS]
    with Retriever.create(tmp_path / "kb", base="hashing-32") as kb:
        kb.add(DOCUMENTS)
        kb.add_model("hashing-48", name="other", data=data)
    report = evaluate(data, index=tmp_path / "kb", settings=EvaluationSettings(systems=["expert:other", "routed"]))
    assert {"base", "expert:other", "routed"} <= set(report.datasets["ships"].systems)


@pytest.mark.parametrize("how", ["scores", "ranks"])
def test_fused_scores_of_no_documents_and_of_one(how):
    empty, one = np.zeros(0, dtype=np.float32), np.array([0.4], dtype=np.float32)
    assert fuse_spaces([empty, empty], shares=[0.5, 0.5], how=how).shape == (0,)
    expected = 1.0 if how == "ranks" else 0.4
    assert fuse_spaces([one, one * 2], shares=[0.5, 0.5], how=how)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shares", "how", "message"),
    [([0.5], "scores", "1 shares"), ([0.5, 0.6], "scores", "sum 1"), ([0.5, 0.5], "sum", "found space fusion 'sum'")],
)
def test_shares_that_make_no_sense_are_refused(shares, how, message):
    scores = [np.ones(2, dtype=np.float32)] * 2
    with pytest.raises(InputError, match=message):
        fuse_spaces(scores, shares=shares, how=how)


def test_who_was_open_meanwhile_adds_to_every_space_at_the_first_try(kb):
    with Retriever.open(kb.index.folder) as other:
        kb.add_model("hashing-48", name="other")
        other.add([Document(id="n0", text="a canoe")])
        assert {held["rows"] for held in other.info()["spaces"].values()} == {11}
        kb.remove_expert("other")
        other.add([Document(id="n1", text="a kayak")])
        assert list(other.info()["spaces"]) == [ENCODER.space.fingerprint]
    assert kb.verify().is_whole


def test_nobody_changes_documents_while_an_expert_is_installed(kb, monkeypatch):
    refused = []
    add_space = Index.add_space

    def watched(index, *arguments, **settings):
        done = add_space(index, *arguments, **settings)
        with Retriever.open(kb.index.folder) as other, pytest.raises(IndexLockedError):
            other.delete(["f0"])
        refused.append(done)
        return done

    monkeypatch.setattr(Index, "add_space", watched)
    kb.add_model("hashing-48", name="other")
    assert refused == [10]
    assert len(kb.search("a boat", 10, expert="other")) == 10


def test_an_empty_index_takes_a_tower_and_then_documents(tmp_path):
    with Retriever.create(tmp_path / "kb", base="hashing-32", storage="int8") as kb:
        kb.add_model("hashing-48", name="other")
        assert len(kb.search("a boat", expert="other")) == 0
        kb.add(DOCUMENTS)
        assert len(kb.search("a boat", expert="other")) == 10
        assert {held["storage"] for held in kb.info()["spaces"].values()} == {"int8"}


def write_pack_with_tower(folder, *, how="scores"):
    """The tiny pack with the expert of :func:`write_tower`, measured with a fusion."""
    pack = write_pack(folder / "tiny")
    with Retriever.create(folder / "one", pack=pack, space_fusion=how) as one:
        one.add_expert(write_tower(folder / "other", details={"space_fusion": how}))
        folder = one.index.folder
        entry = next(entry for entry in Contents.read(folder).experts if entry.name == "other")
        shutil.copytree(folder / entry.folder, pack / "experts" / "other")
        shutil.rmtree(pack / "router")
        shutil.copytree(folder / Contents.read(folder).router, pack / "router")
    fields = {name: value for name, value in json.loads((pack / "manifest.json").read_text()).items()}
    kept = {name: fields[name] for name in ("name", "base", "space", "query_tower", "lexical_weight")}
    write_manifest(pack, kind=KIND, format_number=FORMAT, fields=kept)
    return pack


def test_a_pack_may_hold_a_tower(tmp_path):
    pack = write_pack_with_tower(tmp_path)
    with Retriever.create(tmp_path / "kb", pack=pack) as kb:
        kb.add(DOCUMENTS)
        assert len(kb.search("a boat", 10, expert="other")) == 10
        assert len(kb.info()["spaces"]) == 2


def test_an_export_is_imported_beside_a_tower(kb, tmp_path):
    kb.export(tmp_path / "export")
    with Retriever.create(tmp_path / "second", base="hashing-32") as second:
        second.add_model("hashing-48", name="other")
        second.import_documents(tmp_path / "export")
        query = "ship with an engine"
        kb.add_model("hashing-48", name="other")
        found = [[hit.id for hit in one.search(query, 10, expert="other")] for one in (kb, second)]
    assert found[0] == found[1]


def test_a_missing_space_is_found_and_named(kb):
    kb.add_model("hashing-48", name="other")
    kb.index.drop_space(OTHER.space)
    (damage,) = kb.verify().damage
    assert "expert 'other' needs 10 rows" in damage.reason


def test_an_index_is_not_tuned_beside_a_tower(kb):
    kb.add_model("hashing-48", name="other")
    with pytest.raises(InputError, match=r"of their own \(other\).*experts remove \S+ other\)"):
        kb.tune([LabelledQuery("a boat", ("s0",)), LabelledQuery("a ship", ("s1",))])


def test_a_model_that_is_gone_is_named_with_its_expert(tmp_path, tiny_models):
    folder = tiny_models.write(tmp_path / "model")
    with Retriever.create(tmp_path / "kb", base="hashing-32") as kb:
        kb.add(DOCUMENTS)
        kb.add_model(folder, name="other")
    shutil.rmtree(folder)
    with (
        Retriever.open(tmp_path / "kb") as kb,
        pytest.raises(ModelNotFoundError, match=r"expert 'other' refers to a model that is gone.*experts remove"),
    ):
        kb.search("a boat")


def test_more_hits_do_not_change_the_order_of_the_first(tmp_path):
    documents = [Document(id=f"d{number}", text=f"{number % 7} ship {number * 37 % 101} boat") for number in range(400)]
    data = write_dataset(tmp_path / "ships", train=(0, 1, 2, 3, 4))
    with Retriever.create(tmp_path / "kb", base="hashing-32") as kb:
        kb.add(documents)
        kb.add_model("hashing-48", name="other", data=[data])
        few, many = (kb.search("5 ship 11", k, expert="other") for k in (10, 300))
    assert 0 < few.routing.strengths["other"] < 1
    assert [hit.id for hit in few] == [hit.id for hit in many][:10]


@pytest.mark.parametrize(
    ("details", "found", "wanted"), [({"space_fusion": "ranks"}, "ranks", "scores"), ({}, "scores", "ranks")]
)
def test_an_expert_of_another_fusion_is_refused(tmp_path, details, found, wanted):
    folder = write_tower(tmp_path / "other", details=details)
    with Retriever.create(tmp_path / "kb", base="hashing-32", space_fusion=wanted) as kb:
        kb.add(DOCUMENTS)
        message = (
            f"expert 'other' was measured with space fusion '{found}', index 'kb' fuses spaces by '{wanted}'; train "
            f"the expert with space_fusion '{wanted}', or make an index with --space-fusion {found}"
        )
        with pytest.raises(InputError, match=message):
            kb.add_expert(folder)
        assert kb.expert_names == ()
        assert list(kb.info()["spaces"]) == [ENCODER.space.fingerprint]
        assert kb.info()["space_fusion"] == wanted
    with Retriever.create(tmp_path / "fitting", base="hashing-32", space_fusion=found) as fitting:
        fitting.add_expert(folder)
        assert fitting.expert_names == ("other",)


def test_an_expert_whose_fusion_is_none_is_refused(kb, tmp_path):
    with pytest.raises(InputError, match="found space fusion 'sum', expected one of: scores, ranks"):
        kb.add_expert(write_tower(tmp_path / "other", details={"space_fusion": "sum"}))


@pytest.mark.parametrize("how", ["scores", "ranks"])
def test_a_model_is_measured_with_the_fusion_that_searches_it(tmp_path, how):
    data = write_dataset(tmp_path / "ships", train=(0, 1, 2, 3, 4))
    with Retriever.create(tmp_path / "kb", base="hashing-32", space_fusion=how) as kb:
        kb.add_model("hashing-48", name="other", data=[data])
        tower = kb.searcher.pool.tower_by_name["other"]
    expected = measured_model(UNMEASURED, data=[data], base=ENCODER, how=how)
    assert tower.details["space_fusion"] == how
    assert tower.details["scores"] == expected.expert.details["scores"]
    assert tower.strength == expected.expert.strength


def test_a_pack_of_another_fusion_is_refused_when_a_retriever_is_made(tmp_path):
    pack = write_pack_with_tower(tmp_path, how="ranks")
    with pytest.raises(InputError, match="measured with space fusion 'ranks', index 'kb' fuses spaces by 'scores'"):
        Retriever.create(tmp_path / "kb", pack=pack)
    assert not (tmp_path / "kb").exists()


@pytest.mark.parametrize("how", ["scores", "ranks"])
def test_a_pack_is_evaluated_with_the_fusion_of_its_experts(tmp_path, how):
    pack = write_pack_with_tower(tmp_path, how=how)
    data = write_dataset(tmp_path / "data" / "ships", test=(0, 1, 2, 3, 4))
    evaluate([data], pack=pack, settings=EvaluationSettings(systems=["expert:other"], save_runs=tmp_path / "runs"))
    run = read_run(tmp_path / "runs" / "ships" / "expert:other.trec")
    for number, query in enumerate(QUERIES["ships"]):
        fused = slow_fusion(query, documents_of("ships"), 0.5, how)
        found = [run[f"q{number}"][document.id] for document in documents_of("ships")]
        np.testing.assert_allclose(found, fused, atol=2e-3)


def test_a_pack_of_two_fusions_has_none_of_its_own():
    one, other = (replace(UNMEASURED, name=how, details={"space_fusion": how}) for how in ("scores", "ranks"))
    assert [common_fusion(experts) for experts in ((), [one], [other], [UNMEASURED, one])] == [
        "scores", "scores", "ranks", "scores",
    ]  # fmt: skip
    with pytest.raises(InputError, match="'scores' with 'scores', 'ranks' with 'ranks'; train all of them with one"):
        common_fusion([one, other])


def test_an_unknown_fusion_is_refused_when_a_retriever_is_made(tmp_path):
    with pytest.raises(InputError, match="found space fusion 'sum', expected one of: scores, ranks"):
        Retriever.create(tmp_path / "kb", base="hashing-32", space_fusion="sum")
    assert not (tmp_path / "kb").exists()


@pytest.fixture
def structures_early(monkeypatch):
    """Search structures from forty rows on."""
    pytest.importorskip("faiss")
    for module in ("row_search", "choosing"):
        monkeypatch.setattr(f"routeret.index.structures.{module}.EXACT_ROWS", 40)


@pytest.mark.usefixtures("structures_early")
def test_recall_in_a_towers_space_is_measured_on_its_own_queries(kb):
    kb.add([Document(id=f"e{n}", text=f"word{n} and word{n + 1}") for n in range(60)])
    kb.add_model("hashing-48", name="other")
    installed = kb.index._search_of(OTHER.space).info()
    assert (installed["factory"], set(installed["recall"])) == ("PQ24x4fs", {"documents", "other"})
    found = kb.optimise(factory="SQ8")
    assert set(found["recall"]) == {"base", "fruit", "multitask", "ships"}
    assert list(found["spaces"]) == [OTHER.space.fingerprint]
    own = found["spaces"][OTHER.space.fingerprint]
    assert (own["factory"], own["rows"], set(own["recall"])) == ("SQ8", 70, {"other"})
    assert own["recall_worst"] >= 0.99
    with Retriever.open(kb.index.folder) as opened:
        assert [hit.id for hit in opened.search("word7 and word8", 1, expert="other")] == ["e7"]


def test_probes_of_a_space_are_written_by_those_who_search_it(kb):
    kb.add_model("hashing-48", name="other")
    pool = kb.searcher.pool
    of_base = probe_queries(kb.index, pool, space=ENCODER.space)
    own = probe_queries(kb.index, pool, space=OTHER.space)
    assert ({name: one.shape for name, one in own.items()}, of_base["base"].shape) == ({"other": (10, 48)}, (10, 32))
    # Documents are shorter than four words, so each is a query whole.
    texts = [f" {document.text}".strip() for document in DOCUMENTS]
    np.testing.assert_array_equal(own["other"], OTHER.encode_queries(texts))
    np.testing.assert_array_equal(of_base["base"], ENCODER.encode_queries(texts))
    assert probe_queries(kb.index, pool, space=HashingEncoder(16).space) == {}
