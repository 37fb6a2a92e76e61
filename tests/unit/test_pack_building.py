"""Building packs from recipes: a tiny model, tiny data sets, experts of both kinds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from letters import ANSWERS, ASKED, write_letters

from routeret.errors import ArtifactError, InputError
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.experts import LinearExpert, LoraExpert, load_expert
from routeret.packs import read_pack
from routeret.retriever import Retriever
from routeret.routing import STRENGTHS, UtilityRouter
from routeret.routing.description import description_of
from routeret.training import build_pack, lora, pack
from routeret.training.linear import LinearRecipe
from routeret.training.lora import LoraRecipe
from routeret.training.pack_recipe import PackRecipe

RECIPE = """
name = "tiny"
base = "{base}"
data = "data"
seed = 0

[lora]
rank = 4
alpha = 8.0
batch = 8
learning_rates = [1e-2, 3e-2]
checkpoints = [5, 30]

[[experts]]
name = "flat"
sets = ["one"]
description = "the first answers"

[[experts]]
name = "deep"
kind = "lora"
sets = ["two"]
"""


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Linear experts of a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "LinearRecipe", lambda: LinearRecipe(checkpoints=(20,)))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data sets "one" and "two", which answer the same queries in opposite ways."""
    folder = tmp_path_factory.mktemp("packs")
    write_letters(folder / "data" / "one")
    write_letters(folder / "data" / "two", answers=ANSWERS[::-1])
    return folder


@pytest.fixture(scope="module")
def built(folder, e5_model):
    """A pack, for tests that only look at it, with the report of its building."""
    return folder / "tiny", build_pack(written(folder, RECIPE.format(base=e5_model)), out=folder / "tiny")


@pytest.fixture
def recipe(folder, tmp_path, e5_model):
    """The recipe with a folder of its own, and few steps."""
    (tmp_path / "data").symlink_to(folder / "data")
    return written(tmp_path, RECIPE.format(base=e5_model).replace("[5, 30]", "[2, 4]"))


def written(folder, text):
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def weights_of(folder):
    files = (folder / "experts" / "deep").rglob("*.safetensors")
    return {file.name: file.read_bytes() for file in files}


# --- the pack --------------------------------------------------------------------------------------------------------


def test_a_pack_holds_experts_of_both_kinds(built, folder):
    path, report = built
    assert {name: scores["kind"] for name, scores in report.experts.items()} == {"flat": "linear", "deep": "lora"}
    assert report.experts["deep"]["gain"] > 0.2
    found = read_pack(path)
    assert found.manifest["recipe"] == PackRecipe.read(folder / "recipe.toml").checksum
    flat, deep = (load_expert(found.expert_folders[name]) for name in ("flat", "deep"))
    assert (type(flat), type(deep)) == (LinearExpert, LoraExpert)
    assert (deep.adapter.rank, deep.details["recipe"]["checkpoints"]) == (4, [5, 30])
    assert deep.details["learning_rate"] in (1e-2, 3e-2)
    assert deep.details["dev"] == report.experts["deep"]
    assert list(deep.details["data"]) == ["two"]
    assert [description_of(expert) for expert in (flat, deep)] == ["the first answers", "deep"]
    assert "description" not in deep.details
    # No file that an interrupted training goes on from is left.
    assert sorted(path.name for path in folder.iterdir()) == ["data", "recipe.toml", "tiny"]


def test_both_kinds_are_measured_on_every_set(built):
    path, report = built
    corpora = {corpus.name: corpus for corpus in UtilityRouter.load(path / "router").library.corpora}
    assert {name: corpus.home_experts for name, corpus in corpora.items()} == {"one": ("flat",), "two": ("deep",)}
    for corpus in corpora.values():
        assert {name: gains.shape for name, gains in corpus.gains.items()} == {"flat": (16, 4), "deep": (16, 4)}
        assert all(np.isfinite(gains[:8]).all() for gains in corpus.gains.values())
    at = STRENGTHS.index(report.experts["deep"]["strength"])
    own = corpora["two"].gains["deep"][:8, at].mean()
    assert own == pytest.approx(report.experts["deep"]["gain"], abs=0.05)
    assert corpora["one"].gains["deep"][:8, at].mean() < own


def test_a_pack_with_a_lora_expert_starts_indexes_and_is_evaluated(built, folder, tmp_path):
    path, _ = built
    two = folder / "data" / "two"
    with Retriever.create(tmp_path / "kb", pack=path) as kb:
        kb.add(two)
    with Retriever.open(tmp_path / "kb") as kb:
        assert set(kb.expert_names) == {"flat", "deep"}
        found = [kb.search(letter, 1, expert="deep")[0].text for letter in ASKED]
    n_right = sum(map(str.__eq__, found, ANSWERS[::-1]))
    assert n_right >= 4
    systems = ("expert:deep", "expert:flat", "centroid", "routed", "query_oracle")
    report = evaluate([two], pack=path, settings=EvaluationSettings(split="dev", systems=systems))
    scores = {name: values["ndcg@10"] for name, values in report.datasets["two"].systems.items()}
    assert set(scores) == {"base", "dataset_oracle", *systems}
    assert scores["expert:deep"] > scores["base"] + 0.2
    assert scores["expert:deep"] >= n_right / 8


def test_an_interrupted_build_goes_on_to_the_same_adapter(recipe, tmp_path, monkeypatch):
    build_pack(recipe, out=tmp_path / "a")
    whole, calls = lora.many_positives, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return whole(*arguments, **settings)

    monkeypatch.setattr(lora, "many_positives", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_pack(recipe, out=tmp_path / "b")
    states = [".b-deep-0.01.training", ".b-deep-0.03.training"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".b")) == states
    build_pack(recipe, out=tmp_path / "b")
    # 4 steps at one rate, 2 kept and 1 lost at the other, then the 2 that were left.
    assert len(calls) == 4 + 3 + 2
    assert weights_of(tmp_path / "b") == weights_of(tmp_path / "a")
    assert not list(tmp_path.glob(".b*"))


def test_an_interrupted_build_does_not_go_on_with_another_recipe(recipe, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    whole = lora.many_positives
    steps = iter([whole] * 2 + [stopped])
    monkeypatch.setattr(lora, "many_positives", lambda *found, **settings: next(steps)(*found, **settings))
    with pytest.raises(KeyboardInterrupt):
        build_pack(recipe, out=tmp_path / "tiny")
    other = written(tmp_path, recipe.read_text().replace("rank = 4", "rank = 2"))
    with pytest.raises(ArtifactError, match=r"\.tiny-deep-0\.01\.training belongs to an .* other settings \(recipe"):
        build_pack(other, out=tmp_path / "tiny")


def test_one_adapter_for_several_sets(recipe, tmp_path):
    text = recipe.read_text().replace('sets = ["two"]', 'sets = ["one", "two"]')
    report = build_pack(written(tmp_path, text), out=tmp_path / "tiny")
    scores = report.experts["deep"]
    assert set(scores["gain_by_set"]) == {"one", "two"}
    assert scores["gain"] == pytest.approx(np.mean(list(scores["gain_by_set"].values())), abs=1e-5)
    expert = load_expert(tmp_path / "tiny" / "experts" / "deep")
    assert set(expert.details["data"]) == {"one", "two"}
    assert len(expert.known_documents) == 8  # the sets hold the same documents


# --- the recipe ------------------------------------------------------------------------------------------------------


def test_a_recipe_is_read(recipe, tmp_path):
    read = PackRecipe.read(recipe)
    assert [(expert.name, expert.kind, expert.sets) for expert in read.experts] == [
        ("flat", "linear", ("one",)),
        ("deep", "lora", ("two",)),
    ]
    assert read.lora == LoraRecipe(rank=4, alpha=8.0, batch=8, learning_rates=(1e-2, 3e-2), checkpoints=(2, 4))
    assert read.folder_by_set == {"one": tmp_path / "data" / "one", "two": tmp_path / "data" / "two"}
    assert (read.cache, read.notice, read.sources) == (None, None, {})
    assert replace(read, seed=7).seed == 7
    with pytest.raises(InputError, match="the seed is -1, expected a whole number of at least 0"):
        replace(read, seed=-1)


def test_without_a_table_lora_has_the_defaults(recipe, tmp_path):
    text = recipe.read_text()
    start, end = text.index("[lora]"), text.index("[[experts]]")
    assert PackRecipe.read(written(tmp_path, text[:start] + text[end:])).lora == LoraRecipe()


def test_the_checksum_is_that_of_the_fields(recipe, tmp_path):
    text = recipe.read_text()
    first = PackRecipe.read(recipe).checksum
    assert len(first) == 64
    for same in ("# a remark\n" + text, 'cache = "kept"\n' + text, text.replace("alpha = 8.0", "alpha    = 8.0")):
        assert PackRecipe.read(written(tmp_path, same)).checksum == first
    for other in (text.replace("seed = 0", "seed = 1"), text.replace("rank = 4", "rank = 8")):
        assert PackRecipe.read(written(tmp_path, other)).checksum != first


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'kind = "lora"',
            'kind = "tree"',
            "expert 'deep' of the recipe .* wrong type: kind is 'tree', expected one of linear, lora$",
        ),
        (
            "rank = 4",
            "rnak = 4",
            r"\[lora\] of the recipe .* has the unknown field 'rnak'; its fields are learning_rat",
        ),
        ("rank = 4", "rank = 0", r"\[lora\] of the recipe .* cannot be used: rank is 0, expected more than 0"),
        ("rank = 4", 'rank = "4"', r"\[lora\] of the recipe .* holds a value of the wrong type"),
        ("checkpoints = [2, 4]", "checkpoints = [4, 2]", "cannot be used: checkpoints are"),
        ("seed = 0", "sead = 0", "the recipe .* has the unknown field 'sead'"),
        ("seed = 0", "", "the recipe .* lacks the field 'seed'"),
        ("seed = 0", 'seed = "a"', r"the recipe .*recipe\.toml .* wrong type: seed is 'a', expected a whole number$"),
        ("seed = 0", "seed = true", "the recipe .* wrong type: seed is True, expected a whole number$"),
        ("seed = 0", "seed = 1.0", "the recipe .* wrong type: seed is 1.0, expected a whole number$"),
        (
            "seed = 0",
            "seed = -1",
            "the recipe .* cannot be used: the seed is -1, expected a whole number of at",
        ),
        ("seed = 0", "seed = 0\ncache = 3", "the recipe .* wrong type: cache is 3, expected text$"),
        ("seed = 0", "seed = 0\nsources = 3", r"has sources = 3, expected a table \[sources\] with text by data set$"),
        ("[lora]", "[sources]\none = 1\n[lora]", r"has sources = \{'one': 1\}, expected a table \[sources\] with text"),
        ('sets = ["two"]', 'set = ["two"]', "expert 'deep' of the recipe .* has the unknown field 'set'"),
        ('sets = ["two"]', "", "expert 'deep' of the recipe .* lacks the field 'sets'"),
        ('sets = ["two"]', 'sets = "two"', "expert 'deep' .* wrong type: sets is 'two', expected a list, each text$"),
        ('sets = ["two"]', "sets = []", "expert 'deep' of the recipe .* cannot be used: sets is empty, expected the"),
        ('"the first answers"', "3", "expert 'flat' of the recipe .* wrong type: description is 3, expected text$"),
        ('name = "deep"', "", "expert '[?]' of the recipe .* lacks the field 'name'"),
        ('name = "deep"', 'name = "flat"', "two experts called 'flat'"),
        ('name = "deep"', 'name = "So Deep"', "expert 'So Deep' of the recipe .* cannot be used: "),
        ('sets = ["two"]', 'sets = ["three"]', r"three is missing \(1 in all\)"),
        ('name = "tiny"', 'name = "tiny', "the recipe .* cannot be read"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(recipe, tmp_path, old, new, words):
    text = recipe.read_text()
    assert text.count(old) == 1
    with pytest.raises(InputError, match=words):
        PackRecipe.read(written(tmp_path, text.replace(old, new)))


def test_a_recipe_without_experts_or_without_a_file_is_refused(recipe, tmp_path):
    text = recipe.read_text()
    without = text[: text.index("[[experts]]")]
    for line, words in (
        ("experts = []", "has no expert, expected at least one: add a table"),
        ("experts = 3", r"has experts = 3, expected tables: begin each with \[\[experts\]\]$"),
        ('experts = ["flat"]', r"has experts = \['flat'\], expected tables"),
    ):
        with pytest.raises(InputError, match=words):
            PackRecipe.read(written(tmp_path, without.replace("[lora]", f"{line}\n[lora]")))
    with pytest.raises(InputError, match=r"has lora = 3, expected a table: \[lora\]$"):
        PackRecipe.read(written(tmp_path, "lora = 3\n" + text.replace(without[without.index("[lora]") :], "")))
    with pytest.raises(InputError, match=r"no\.toml cannot be read"):
        PackRecipe.read(tmp_path / "no.toml")


@pytest.mark.usefixtures("recipe")
def test_lora_needs_a_base_with_layers(tmp_path):
    text = RECIPE.format(base="hashing-16")
    with pytest.raises(InputError, match="found a HashingEncoder as the base; choose a model, or the kind 'linear'"):
        build_pack(written(tmp_path, text), out=tmp_path / "tiny")
    only = written(tmp_path, text.replace('kind = "lora"', 'kind = "linear"'))
    assert build_pack(only, out=tmp_path / "tiny").experts["deep"]["kind"] == "linear"
    manifest = json.loads((tmp_path / "tiny" / "experts" / "deep" / "manifest.json").read_text())
    assert manifest["expert"] == "linear"
