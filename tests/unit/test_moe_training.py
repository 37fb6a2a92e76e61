"""One mixture of experts trained on two domains whose pairs contradict each other."""

import numpy as np
import pytest
from letters import ANSWERS, ASKED, without_dropout, write_letters

from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.errors import ExpertNotHelpfulError, InputError
from routeret.experts import load_expert
from routeret.mining import graph_of_qrels
from routeret.retriever import Retriever
from routeret.training.moe import MoeDomain, train_moe
from routeret.training.tower_recipe import TowerRecipe, TowerTask

RECIPE = TowerRecipe(checkpoints=(200,), learning_rate=2e-3, batch=8, max_tokens=12)


@pytest.fixture(scope="module")
def base(tiny_models, tmp_path_factory):
    folder = without_dropout(tiny_models.write(tmp_path_factory.mktemp("base") / "tiny"))
    return TorchEncoder(folder, device="cpu", precision="float32")


def domain(folder):
    return MoeDomain(folder.name, [TowerTask(graph_of_qrels(load_dataset(folder), "train"))], [folder])


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("moe")
    data = [write_letters(folder / name, shift=shift) for name, shift in (("north", 0), ("south", 3))]
    reports = train_moe([domain(one) for one in data], out=folder / "out", base=base, recipe=RECIPE)
    return folder, data, reports


def test_every_domain_learns_its_own_pairs(trained):
    _, _, reports = trained
    assert [report.name for report in reports] == ["north", "south"]
    for report in reports:
        (alone,), (before,) = report.alone.values(), report.base.values()
        assert alone > 0.9 > before
        assert report.helpful


def test_the_experts_share_one_model_and_join_a_retriever(trained, base, tmp_path):
    folder, data, _ = trained
    experts = [load_expert(folder / "out" / "experts" / name) for name in ("north", "south")]
    assert {expert.model for expert in experts} == {str(folder / "out" / "model")}
    assert experts[0].space != experts[1].space
    assert [expert.encoder.domain for expert in experts] == ["north", "south"]
    assert not list((folder / "out" / "experts").rglob("model.safetensors"))
    with Retriever.create(tmp_path / "kb", base=base) as kb:
        kb.add(data[0])
        for name in ("north", "south"):
            kb.add_expert(folder / "out" / "experts" / name)
        found = {name: [kb.search(letter, 1, expert=name)[0].text for letter in ASKED] for name in ("north", "south")}
    assert np.mean([one == other for one, other in zip(found["north"], ANSWERS, strict=True)]) > 0.8
    assert np.mean([one == other for one, other in zip(found["south"], ANSWERS[3:] + ANSWERS[:3], strict=True)]) > 0.8


def test_where_no_domain_helps_nothing_is_written(base, tmp_path):
    data = [write_letters(tmp_path / name) for name in ("north", "south")]
    lazy = TowerRecipe(checkpoints=(1,), learning_rate=1e-9, batch=8)
    with pytest.raises(ExpertNotHelpfulError, match="expert 'north' changes.*expert 'south' changes"):
        train_moe([domain(one) for one in data], out=tmp_path / "out", base=base, recipe=lazy)
    assert sorted(path.name for path in tmp_path.iterdir() if "training" not in path.name) == ["north", "south"]


def test_domains_that_cannot_be_trained_are_refused(base, tmp_path):
    one = domain(write_letters(tmp_path / "north"))
    for domains in ([one], [one, one]):
        with pytest.raises(InputError, match="expected at least two, each once"):
            train_moe(domains, out=tmp_path / "out", base=base)
    empty = MoeDomain("south", [], [tmp_path / "north"])
    with pytest.raises(InputError, match=r"domain 'south' has 0 tasks with training pairs and 1 data sets"):
        train_moe([one, empty], out=tmp_path / "out", base=base)
