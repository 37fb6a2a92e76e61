"""One mixture of experts trained on two domains whose queries are the same and mean different documents."""

import re
from dataclasses import replace

import numpy as np
import pytest
from letters import ANSWERS, ASKED, without_dropout, write_letters
from safetensors.numpy import load_file
from tiny_mixtures import write_mixture

from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.encoders.moe import MoeEncoder
from routeret.encoders.moe.document_domains import DocumentDomains
from routeret.errors import ExpertNotHelpfulError, InputError, TrainingDivergedError
from routeret.experts import load_expert
from routeret.mining import graph_of_qrels
from routeret.retriever import Retriever
from routeret.training import tower_fit, tower_report
from routeret.training.moe import MoeDomain, balanced, train_moe
from routeret.training.tower import Tower
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.tower_report import DevSet, judged
from routeret.training.tower_sources import domains_of
from routeret.types import Document

WORD = {"north": "river", "south": "tax"}
"""What begins every document of a domain, and tells it."""
SHIFT = {"north": 0, "south": 3}
PLACES = [("one", "north"), ("one", "south"), ("two", "north")]
RECIPE = TowerRecipe(checkpoints=(80,), learning_rate=5e-3, batch=8, max_tokens=12)


@pytest.fixture(scope="module")
def base(tiny_models, tmp_path_factory):
    folder = without_dropout(tiny_models.write(tmp_path_factory.mktemp("base") / "tiny"))
    return TorchEncoder(folder, device="cpu", precision="float32")


def answers(name):
    return [f"{WORD[name]} {letter}" for letter in ANSWERS]


def write_domain(folder):
    return write_letters(folder, answers=answers(folder.name), shift=SHIFT[folder.name])


def domain(folder):
    return MoeDomain(folder.name, [TowerTask(graph_of_qrels(load_dataset(folder), "train"))], [folder])


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moe")
    data = [write_domain(folder / name) for name in WORD]
    report = train_moe([domain(one) for one in data], out=folder / "out", base=base, recipe=RECIPE)
    return folder, data, report


def test_every_domain_learns_its_own_pairs(trained):
    folder, _, trained_report = trained
    assert [report.name for report in trained_report.experts] == ["north", "south"]
    for report in trained_report.experts:
        (alone,), (before,) = report.alone.values(), report.base.values()
        assert alone > 0.9 > before
        assert report.helpful


def test_the_report_says_how_well_documents_are_told_apart(trained):
    folder, _, report = trained
    documents = {
        "n_fitted": {"north": 7, "south": 7},
        "n_held_out": {"north": 1, "south": 1},
        "accuracy": {"north": 1.0, "south": 1.0},
    }
    assert report.documents.as_dict() == documents
    assert report.as_dict()["documents"] == documents
    assert list(report.as_dict()["experts"]) == ["north", "south"]
    assert load_expert(folder / "out" / "experts" / "north").details["documents"] == documents


def test_the_experts_share_one_model_and_one_space(trained):
    folder, _, _ = trained
    experts = [load_expert(folder / "out" / "experts" / name) for name in WORD]
    assert {expert.model for expert in experts} == {str(folder / "out" / "model")}
    assert experts[0].space == experts[1].space
    assert experts[0].query_tower != experts[1].query_tower
    assert [expert.encoder.domain for expert in experts] == ["north", "south"]
    assert not list((folder / "out" / "experts").rglob("model.safetensors"))


def test_in_an_index_with_the_documents_of_both_every_query_finds_its_own(trained, base, tmp_path):
    folder, _, _ = trained
    with Retriever.create(tmp_path / "kb", base=base) as kb:
        for name in WORD:
            kb.add([Document(id=text, text=text) for text in answers(name)])
            kb.add_expert(folder / "out" / "experts" / name)
        assert {held["rows"] for held in kb.info()["spaces"].values()} == {16}
        assert len(kb.info()["spaces"]) == 2
        for name, shift in SHIFT.items():
            texts = answers(name)
            found = [kb.search(letter, 1, expert=name)[0].text for letter in ASKED]
            wanted = texts[shift:] + texts[:shift]
            assert np.mean([one == other for one, other in zip(found, wanted, strict=True)]) > 0.7


def test_dev_is_judged_over_documents_of_their_own_domains(e5_model, tmp_path, monkeypatch):
    monkeypatch.setattr("routeret.encoders.torch._computes_in_bfloat16", lambda _: False)
    letters = [f"{word} {letter}" for letter in "stuvwxyz" for word in WORD.values()][:8]
    dataset = load_dataset(write_letters(tmp_path / "both", answers=letters))
    model = write_mixture(e5_model, tmp_path / "model")
    DocumentDomains.fit([["tax s", "tax t"], ["river u", "river v"]]).save(model)
    encoder = MoeEncoder(model, domain="law", device="cpu", precision="float32")
    sets = [DevSet.of(dataset, TorchEncoder(e5_model, device="cpu"), cache=None, show_progress=False)]
    tower = Tower(encoder)
    documents_by = Tower(encoder.for_documents(), model=tower.model)
    (values,) = judged(tower, sets, interaction=None, documents_by=documents_by).arrays.values()
    scores = encoder.encode_queries(ASKED) @ encoder.encode_documents(dataset.load_documents()).vectors.T
    ranks = [int(np.sum(row > row[number])) for number, row in enumerate(scores)]
    np.testing.assert_allclose(values, [1 / np.log2(rank + 2) for rank in ranks], atol=1e-6)
    (alone,) = judged(tower, sets, interaction=None).arrays.values()
    assert np.abs(values - alone).max() > 0.02


def test_where_no_domain_helps_nothing_is_written(base, tmp_path):
    data = [write_domain(tmp_path / name) for name in WORD]
    lazy = TowerRecipe(checkpoints=(1,), learning_rate=1e-9, batch=8)
    with pytest.raises(ExpertNotHelpfulError, match="expert 'north' changes.*expert 'south' changes"):
        train_moe([domain(one) for one in data], out=tmp_path / "out", base=base, recipe=lazy)
    assert sorted(path.name for path in tmp_path.iterdir() if "training" not in path.name) == ["north", "south"]


def test_domains_that_cannot_be_trained_are_refused(base, tmp_path):
    one = domain(write_domain(tmp_path / "north"))
    for domains in ([one], [one, one]):
        with pytest.raises(InputError, match="expected at least two, each once"):
            train_moe(domains, out=tmp_path / "out", base=base)
    empty = MoeDomain("south", [], [tmp_path / "north"])
    with pytest.raises(InputError, match=r"domain 'south' has 0 tasks with training pairs and 1 data sets"):
        train_moe([one, empty], out=tmp_path / "out", base=base)


def test_domains_count_alike_however_many_folders_they_have(tmp_path):
    north, south, more = (domain(write_domain(tmp_path / place / name)) for place, name in PLACES)
    both = MoeDomain("north", [*north.tasks, *more.tasks], [*north.data])
    assert [(task.domain, task.weight) for task in balanced([both, south])] == [
        ("north", 0.5),
        ("north", 0.5),
        ("south", 1.0),
    ]
    heavy = MoeDomain("south", [replace(south.tasks[0], weight=3.0)], south.data)
    assert [task.weight for task in balanced([north, heavy])] == [1.0, 3.0]


def test_data_sets_of_one_name_are_refused_before_anything_is_embedded(base, tmp_path, monkeypatch):
    monkeypatch.setattr(tower_report, "embed_dataset", lambda *_, **__: pytest.fail("a data set was embedded"))
    north, south, more = (domain(write_domain(tmp_path / place / name)) for place, name in PLACES)
    for domains in (
        [MoeDomain("north", north.tasks, [*north.data, *more.data]), south],
        [north, MoeDomain("south", south.tasks, more.data)],
    ):
        with pytest.raises(InputError, match="found two data sets called 'north', .*rename one folder"):
            train_moe(domains, out=tmp_path / "out", base=base)


@pytest.mark.parametrize("layers", [[], [2], [0, 99]])
def test_layers_that_the_base_lacks_are_refused_before_anything_is_embedded(base, tmp_path, monkeypatch, layers):
    monkeypatch.setattr(tower_report, "embed_dataset", lambda *_, **__: pytest.fail("a data set was embedded"))
    domains = [domain(write_domain(tmp_path / name)) for name in WORD]
    recipe = replace(RECIPE, n_hard_negatives=1)
    with pytest.raises(InputError, match=rf"found layers {re.escape(str(layers))}, expected at least one of 0 to 1$"):
        train_moe(domains, out=tmp_path / "out", base=base, layers=layers, recipe=recipe)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["north", "south"]


def test_without_dev_queries_a_mixture_is_not_trained_on_those_that_judge_it(base, tmp_path, monkeypatch):
    whole = tower_fit._Source.loss
    data = [write_domain(tmp_path / name) for name in WORD]
    for folder in data:
        (folder / "qrels" / "dev.tsv").unlink()
    seen = {name: set() for name in WORD}

    def watched(source, tower, step):
        seen[source.task.domain] |= {*source.task.graph.left_texts}
        return whole(source, tower, step)

    monkeypatch.setattr(tower_fit._Source, "loss", watched)
    recipe = replace(RECIPE, checkpoints=(1,))
    domains = domains_of([(folder.name, folder) for folder in data])
    report = train_moe(domains, out=tmp_path / "out", base=base, recipe=recipe, force=True)
    judging = {one.name: DevSet.of(load_dataset(one), base, cache=None, show_progress=False).division for one in data}
    for name, texts in seen.items():
        assert judging[name].held_out
        assert texts == {*ASKED} - {*judging[name].dev.texts}
    assert [one.n_pairs for one in report.experts] == [{"north_train": 7}, {"south_train": 7}]


def test_a_mixture_takes_layers_hard_negatives_rounds_and_another_fusion(base, tmp_path, monkeypatch):
    domains = [domain(write_domain(tmp_path / name)) for name in WORD]
    whole, seen = tower_fit._fit_round, []

    def watched(tower, tasks, **settings):
        seen.append([(task.domain, task.hard_negatives.shape) for task in tasks])
        return whole(tower, tasks, **settings)

    monkeypatch.setattr(tower_fit, "_fit_round", watched)
    recipe = replace(RECIPE, checkpoints=(2,), n_hard_negatives=2, rounds=2, interaction=0.1, token_storage="int8")
    out = tmp_path / "out"
    report = train_moe(domains, out=out, base=base, layers=[1], recipe=recipe, how="ranks", force=True)
    assert seen == [[("north", (8, 2)), ("south", (8, 2))]] * 2
    assert [set(one.history) for one in report.experts] == [{2, 4}, {2, 4}]
    layers = {
        name.split("layer.")[1][0] for name in load_file(out / "model" / "model.safetensors") if "experts" in name
    }
    assert layers == {"1"}
    experts = [load_expert(out / "experts" / name) for name in WORD]
    assert [expert.details["space_fusion"] for expert in experts] == ["ranks", "ranks"]
    assert [(expert.interaction, expert.token_storage) for expert in experts] == [(0.1, "int8")] * 2
    assert not list(tmp_path.glob(".out*"))


def test_what_was_good_before_a_loss_that_is_no_number_becomes_experts_by_force(base, tmp_path, monkeypatch):
    domains = [domain(write_domain(tmp_path / name)) for name in WORD]
    whole, n_losses = tower_fit.symmetric, []

    def broken(*found, **how):
        # Two a step, so the sixth belongs to step 2.
        n_losses.append(1)
        return whole(*found, **how) * (float("nan") if len(n_losses) > 5 else 1.0)

    monkeypatch.setattr(tower_fit, "symmetric", broken)
    recipe, out = replace(RECIPE, checkpoints=(1, 4)), tmp_path / "out"
    with pytest.raises(TrainingDivergedError, match=r"step 2 is nan.*task 'south_train'.*--force"):
        train_moe(domains, out=out, base=base, recipe=recipe)
    assert not out.exists()
    report = train_moe(domains, out=out, base=base, recipe=recipe, force=True)
    for one in report.experts:
        assert (one.steps, set(one.history)) == (1, {1})
        assert "step 2 is nan" in one.diverged
        assert load_expert(out / "experts" / one.name).details["scores"]["diverged"] == one.diverged
