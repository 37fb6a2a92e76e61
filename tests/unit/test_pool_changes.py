import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from tiny_packs import (
    DIM,
    ENCODER,
    documents_of,
    linear_expert,
    pilot_corpus,
    write_expert,
    write_pack,
)

from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError, IndexLockedError, InputError, SpaceMismatchError
from routeret.experts import load_expert
from routeret.index.lock import writer_lock
from routeret.retriever import Retriever
from routeret.retriever.changing import library_of
from routeret.retriever.folder import Contents
from routeret.routing import DescriptionRouter
from routeret.routing.description import description_of
from routeret.types import BASE, QueryBatch

DOCUMENTS = [*documents_of("fruit"), *documents_of("ships")]
TREES = ["an oak with leaves", "a pine with needles", "a birch with white bark"]


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", pack=write_pack(tmp_path / "tiny")) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


@pytest.fixture
def trees(tmp_path):
    """The folder of an expert with pilots of its own."""
    own = pilot_corpus("trees", {"trees": 0.5}, texts=TREES, home=["trees"])
    return write_expert(tmp_path / "trained" / "trees", linear_expert("trees", seed=4), own)


def everything(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".json", ".safetensors")
    }


def test_a_pack_gives_experts_and_routing(kb):
    assert kb.expert_names == ("fruit", "multitask", "ships")
    routing = kb.route("a boat with sails")
    assert max(routing.weights, key=routing.weights.get) == "ships"
    assert sum(weight for name, weight in routing.weights.items() if name != "bm25") == pytest.approx(1)
    assert routing.known_documents == pytest.approx({"fruit": 0.5, "ships": 0.5, "multitask": 1.0})
    assert routing.pilots[0].text == "a boat with sails"
    assert len(routing.pilots) == 3
    assert kb.search("a boat with sails", 2).routing == routing
    assert (kb.info()["pack"], kb.info()["lexical_weight"]) == ("tiny", 0.3)


def test_a_forced_expert_writes_the_query_at_its_own_strength(kb):
    expert = linear_expert("ships", seed=2)
    base = ENCODER.encode_queries(["ship"])
    vector = expert.encode_queries(QueryBatch(("ship",), base), strengths=np.array([0.5], dtype=np.float32))[0]
    hits = kb.search("ship", 10, expert="ships")
    scores = dict(zip(kb.index.ids(), kb.index.vectors(np.arange(10)) @ vector, strict=True))
    assert [hit.id for hit in hits] == sorted(scores, key=scores.get, reverse=True)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(scores.values(), reverse=True), atol=1e-6)
    assert dict(hits.routing.weights) == {"ships": 1.0}
    assert dict(hits.routing.strengths) == {"ships": 0.5}


def test_an_expert_is_added_and_removed_without_touching_documents(kb, trees):
    before = kb.search("an oak with leaves", 5)
    segments = sorted(path.name for path in (kb.index.folder / "vectors").rglob("*"))
    kb.add_expert(trees)
    assert kb.expert_names == ("fruit", "multitask", "ships", "trees")
    with Retriever.open(kb.index.folder) as opened:
        for one in (kb, opened):
            routing = one.route("an oak with leaves")
            assert routing.predicted_gains["trees"] > 0
            assert [pilot.corpus for pilot in routing.pilots][0] == "trees"
            assert len(one.search("an oak", 3, expert="trees")) == 3
    kb.remove_expert("trees")
    assert kb.expert_names == ("fruit", "multitask", "ships")
    after = kb.search("an oak with leaves", 5)
    # The pilots' vectors are kept in half precision, so the router that is fitted anew is the old one up to that.
    assert dict(after.routing.weights) == pytest.approx(dict(before.routing.weights), abs=1e-4)
    assert [hit.id for hit in after] == [hit.id for hit in before]
    assert after.routing.pilots == before.routing.pilots
    assert sorted(path.name for path in (kb.index.folder / "vectors").rglob("*")) == segments


def test_an_expert_is_added_with_a_description_in_place_of_its_own(kb, trees):
    kb.add_expert(trees, description="woods and forests")
    assert kb.expert_descriptions == {"fruit": None, "multitask": None, "ships": None, "trees": "woods and forests"}
    with Retriever.open(kb.index.folder) as opened:
        assert opened.expert_descriptions["trees"] == "woods and forests"
        added = opened.searcher.pool.adapter_by_name["trees"]
        assert description_of(added) == "woods and forests"
        assert DescriptionRouter.fit([added], base=ENCODER).descriptions == ("woods and forests",)
    # Everything else is as it was trained, and the expert's own folder is left alone.
    own = load_expert(trees)
    assert description_of(own) == "trees"
    np.testing.assert_array_equal(added.weight, own.weight)
    assert {**own.details, "description": "woods and forests"} == added.details
    copied = kb.index.folder / "experts" / "trees"
    for file in (path for path in trees.rglob("*") if path.is_file() and path != trees / "manifest.json"):
        assert (copied / file.relative_to(trees)).read_bytes() == file.read_bytes()


def test_a_description_of_an_expert_comes_along_unless_another_is_given(kb, trees, tmp_path):
    kb.add_expert(trees, description="woods")
    described = tmp_path / "described"
    shutil.copytree(kb.index.folder / "experts" / "trees", described)
    for given, kept in ((None, "woods"), ("groves", "groves")):
        kb.remove_expert("trees")
        kb.add_expert(described, description=given)
        assert kb.expert_descriptions["trees"] == kept


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_blank_description_is_refused_before_anything_changes(kb, trees, blank):
    with pytest.raises(InputError, match="the description is '.*', expected words: say what the expert is for"):
        kb.add_expert(trees, description=blank)
    with pytest.raises(InputError, match="the description is '.*', expected words"):
        kb.add_model("hashing-48", name="other", description=blank)
    assert kb.expert_names == ("fruit", "multitask", "ships")


def test_leftovers_go_at_the_next_change(kb, trees):
    folder = kb.index.folder
    kb.add_expert(trees)
    assert (folder / "router-1").is_dir()
    assert (folder / "router-2").is_dir()
    (folder / "experts" / ".half.tmp-x").mkdir()
    kb.remove_expert("trees")
    assert sorted(path.name for path in folder.glob("router-*")) == ["router-2", "router-3"]
    assert sorted(path.name for path in (folder / "experts").iterdir()) == ["fruit", "multitask", "ships", "trees"]
    kb.add_expert(trees)
    assert sorted(path.name for path in folder.glob("router-*")) == ["router-3", "router-4"]
    assert sorted(path.name for path in (folder / "experts").iterdir()) == ["fruit", "multitask", "ships", "trees"]


def test_an_open_reader_survives_a_change(kb, trees, tmp_path):
    with Retriever.open(tmp_path / "kb") as reader:
        kb.remove_expert("fruit")
        assert reader.expert_names == ("fruit", "multitask", "ships")
        assert len(reader.search("apple", 2, expert="fruit")) == 2
        kb.add_expert(trees)
        reader.refresh()
        assert reader.expert_names == ("multitask", "ships", "trees")
        assert len(reader.search("apple", 2)) == 2


def test_without_any_expert_the_base_answers_alone(kb, trees):
    for name in ("fruit", "ships", "multitask"):
        kb.remove_expert(name)
    assert kb.expert_names == ()
    assert dict(kb.route("apple").weights) == pytest.approx({BASE: 1.0, "bm25": 0.3})
    kb.add_expert(trees)
    assert kb.expert_names == ("trees",)
    assert kb.route(TREES[0]).predicted_gains["trees"] > 0


def test_pilots_leave_with_the_last_expert_that_brought_them(kb, tmp_path):
    shared = [write_expert(tmp_path / name, linear_expert(name), pilot_corpus("trees", {name: 0.2}, texts=TREES))
              for name in ("oaks", "pines")]  # fmt: skip
    for folder in shared:
        kb.add_expert(folder)

    def corpora():
        library = library_of(kb.index.folder, Contents.read(kb.index.folder))
        return {corpus.name: sorted(corpus.gains) for corpus in library.corpora}

    assert corpora()["trees"] == ["oaks", "pines"]
    kb.remove_expert("oaks")
    assert corpora()["trees"] == ["pines"]
    kb.remove_expert("pines")
    assert sorted(corpora()) == ["fruit", "ships"]


@pytest.mark.parametrize(
    ("expert", "error", "message"),
    [
        (
            lambda: linear_expert("ships"),
            InputError,
            "has an expert 'ships' already; choose another name, or remove it",
        ),
        (
            lambda: replace(linear_expert("law"), query_tower="f" * 16),
            SpaceMismatchError,
            f"query tower {ENCODER.query_tower}, expert 'law' was made for ffffffffffffffff",
        ),
        (
            lambda: replace(linear_expert("law"), space=HashingEncoder(DIM, document_prompt="doc: ").space),
            SpaceMismatchError,
            "document_prompt",
        ),
    ],
)
def test_an_expert_that_does_not_fit_changes_nothing(kb, tmp_path, expert, error, message):
    folder = write_expert(tmp_path / "one", expert(), pilot_corpus("trees", {"law": 0.5}, texts=TREES))
    before = everything(kb.index.folder)
    with pytest.raises(error, match=message):
        kb.add_expert(folder)
    assert everything(kb.index.folder) == before
    assert len(kb.search("apple", 1)) == 1


def test_an_expert_without_pilots_is_refused(kb, tmp_path):
    linear_expert("law").save(tmp_path / "law")
    with pytest.raises(InputError, match="has no pilots"):
        kb.add_expert(tmp_path / "law")
    with pytest.raises(ArtifactError, match=r"has no manifest.json"):
        kb.add_expert(tmp_path / "nowhere")


def test_a_change_that_fails_leaves_the_retriever_as_it_was(kb, trees, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("routeret.retriever.folder.write_manifest", fail)
    with pytest.raises(OSError, match="no space left"):
        kb.add_expert(trees)
    monkeypatch.undo()
    with Retriever.open(kb.index.folder) as opened:
        assert opened.expert_names == ("fruit", "multitask", "ships")
        opened.add_expert(trees)
        assert opened.expert_names == ("fruit", "multitask", "ships", "trees")
        assert len(opened.search("an oak", 1, expert="trees")) == 1


def test_one_change_at_a_time(kb, trees):
    with writer_lock(kb.index.folder), pytest.raises(IndexLockedError, match="being written"):
        kb.add_expert(trees)


def test_a_damaged_expert_shows_at_opening(kb):
    folder = kb.index.folder / "experts" / "ships"
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match="manifest.json is damaged"):
        Retriever.open(kb.index.folder)
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match="manifest.json is missing"):
        Retriever.open(kb.index.folder)


def test_another_query_prompt_keeps_the_index_but_not_the_experts(tmp_path, kb):
    asking = HashingEncoder(DIM, query_prompt="query: ")
    with Retriever.open(tmp_path / "kb", base=asking) as opened:
        with pytest.raises(SpaceMismatchError, match="The index is still good") as error:
            opened.search("apple")
        assert asking.query_tower in str(error.value)
        assert ENCODER.query_tower in str(error.value)
    for name in kb.expert_names:
        kb.remove_expert(name)
    with Retriever.open(tmp_path / "kb", base=asking) as opened:
        assert len(opened.search("apple", 2)) == 2


def test_a_pack_for_another_base_is_refused(tmp_path):
    pack = write_pack(tmp_path / "tiny")
    with pytest.raises(SpaceMismatchError, match="pack 'tiny' holds space"):
        Retriever.create(tmp_path / "kb", pack=pack, base="hashing-16")
    with pytest.raises(SpaceMismatchError, match="pack 'tiny' was made for"):
        Retriever.create(tmp_path / "kb", pack=pack, base=HashingEncoder(DIM, query_prompt="query: "))
    assert not (tmp_path / "kb").exists()


def test_the_manifest_names_what_is_there(kb):
    manifest = json.loads((kb.index.folder / "manifest.json").read_text(encoding="utf-8"))
    assert sorted(manifest["files"]) == [
        "experts/fruit/manifest.json",
        "experts/multitask/manifest.json",
        "experts/ships/manifest.json",
        "router-1/manifest.json",
    ]
    assert manifest["router"] == "router-1"
