"""One mixture of experts trained on two domains whose queries are the same and mean different documents."""

import numpy as np
import pytest
from letters import ANSWERS, ASKED, without_dropout, write_letters
from tiny_mixtures import write_mixture

from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.encoders.moe import MoeEncoder
from routeret.encoders.moe.document_domains import DocumentDomains
from routeret.errors import ExpertNotHelpfulError, InputError
from routeret.experts import load_expert
from routeret.mining import graph_of_qrels
from routeret.retriever import Retriever
from routeret.training.moe import MoeDomain, train_moe
from routeret.training.tower import Tower
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.tower_report import DevSet, judged
from routeret.types import Document

WORD = {"north": "river", "south": "tax"}
"""What begins every document of a domain, and tells it."""
SHIFT = {"north": 0, "south": 3}
RECIPE = TowerRecipe(checkpoints=(200,), learning_rate=2e-3, batch=8, max_tokens=12)


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
