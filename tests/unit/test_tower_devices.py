"""Where the models of experts with documents of their own run: where it was asked for, or else beside the base."""

import pytest

from routeret.encoders import HashingEncoder, TorchEncoder
from routeret.experts import TowerExpert, load_expert, load_experts
from routeret.retriever import Retriever
from routeret.retriever.pool import load_pool
from routeret.training.towers import measured_expert

BASE = HashingEncoder(32)


@pytest.fixture(scope="module")
def expert(e5_model, tmp_path_factory):
    """An expert's folder; its model is on no device, since nothing is encoded."""
    folder = tmp_path_factory.mktemp("experts") / "other"
    tower = TowerExpert("other", TorchEncoder(e5_model), model=str(e5_model))
    measured_expert(tower, [], query_tower=BASE.query_tower, how="scores").save(folder)
    return folder


def test_a_device_that_is_asked_for_holds_whatever_the_base_is(e5_model, expert):
    for base in (BASE, TorchEncoder(e5_model, device="cpu")):
        (loaded,) = load_experts([expert], base=base, device="cuda:1")
        assert loaded.encoder.device == "cuda:1"
        pool = load_pool(base, experts=[expert], router=None, device="cuda:1")
        assert pool.tower_by_name["other"].encoder.device == "cuda:1"
    assert load_expert(expert, device="cuda:1").encoder.device == "cuda:1"


def test_without_one_a_tower_runs_beside_the_base_or_where_it_likes(e5_model, expert):
    beside = TorchEncoder(e5_model, device="cuda:1")
    assert load_experts([expert], base=beside)[0].encoder.device == "cuda:1"
    assert load_pool(beside, experts=[expert], router=None).experts[0].encoder.device == "cuda:1"
    assert load_experts([expert], base=BASE)[0].encoder.device is None
    assert load_expert(expert).encoder.device is None


def test_an_opened_retriever_runs_its_towers_where_it_was_asked_to(expert, tmp_path):
    with Retriever.create(tmp_path / "kb", base="hashing-32", device="cpu") as kb:
        kb.add_expert(expert)
    for device in ("cpu", "cuda:1", None):
        with Retriever.open(tmp_path / "kb", device=device) as kb:
            assert kb.searcher.pool.tower_by_name["other"].encoder.device == device
