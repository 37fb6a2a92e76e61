"""The study of mixtures of experts runs on a tiny model and two domains that contradict each other."""

import json
from pathlib import Path

import numpy as np
import pytest
from letters import without_dropout, write_letters
from scripts import loaded

from routeret.errors import InputError
from routeret.training.tower_recipe import TowerRecipe

STUDY = Path(__file__).parents[2] / "eval" / "moe_study.py"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY.parent))
    module = loaded(STUDY)
    write_letters(tmp_path / "north", shift=0)
    write_letters(tmp_path / "south", shift=3)
    monkeypatch.setattr(module, "DATA", tmp_path)
    recipe = TowerRecipe(checkpoints=(20, 40), learning_rate=5e-3, batch=8, max_tokens=12)
    monkeypatch.setattr(module, "RECIPE", recipe)
    return module


@pytest.fixture
def call(study, own_model, tmp_path, monkeypatch):
    out = tmp_path / "results" / "moe.json"
    fixed = ["--base", str(without_dropout(own_model)), "--device", "cpu", "--out", str(out), "--split", "dev"]

    def run(*more):
        monkeypatch.setattr("sys.argv", ["study", *fixed, "--data", "north", "south", *more])
        study.main()
        return json.loads(out.read_text()), json.loads(out.with_suffix(".queries.json").read_text())

    return run


def refuse(*_, **__):
    raise AssertionError("something is trained again")


def test_encoders_with_parts_of_their_own_learn_what_one_dense_encoder_cannot(call, study, monkeypatch):
    figures, values = call("--seeds", "1")
    mean = figures["mean"]
    assert set(mean) == {"base", "moe", "moe_last", "singles", "multitask", "linear"}
    for system in ("moe", "singles"):
        assert all(domain["alone"] > 0.9 for domain in mean[system]["domains"].values())
    # A letter has another answer in either domain, so one ranking for both has one of the two at rank 2 at best.
    assert mean["multitask"]["alone"] <= (1 + 1 / np.log2(3)) / 2 + 1e-6
    assert mean["moe"]["seconds"] > mean["moe"]["judging_seconds"] > 0

    above = figures["compared"]["moe - multitask"]["alone"]
    assert above["n"] == 16
    assert above["mean"] == pytest.approx(mean["moe"]["alone"] - mean["multitask"]["alone"], abs=1e-4)
    north = np.subtract(values["moe"]["0"]["north"]["alone"], values["multitask"]["0"]["north"]["alone"])
    assert above["domains"]["north"]["mean"] == pytest.approx(north.mean())

    size = {system: runs["0"]["bytes"] for system, runs in figures["runs"].items()}
    assert size["multitask"] < size["moe_last"] < size["moe"] < size["singles"]
    costs = figures["costs"]["systems"]
    assert {system: costs[system]["documents_to_embed"] for system in ("moe", "linear")} == {"moe": 16, "linear": 0}
    assert costs["singles"]["documents_to_embed_again"] == {"north": 8, "south": 8}
    assert costs["moe"]["documents_to_embed_again"] == {"north": 16, "south": 16}
    assert costs["moe"]["vector_bytes_per_1000_documents"] == 1000 * 32 * 4

    # Another call goes on: no tower is trained again, and the mean is over both seeds.
    monkeypatch.setattr(study, "fit_to_tasks", refuse)
    more, values = call("--seeds", "2", "--systems", "linear")
    assert more["runs"]["moe"] == figures["runs"]["moe"]
    assert more["mean"]["linear"]["n_seeds"] == 2
    by_hand = [np.mean(values["linear"][seed][name]["alone"]) for seed in "01" for name in ("north", "south")]
    assert more["mean"]["linear"]["alone"] == pytest.approx(np.mean(by_hand), abs=1e-5)
    assert more["compared"]["linear - base"]["alone"]["mean"] == pytest.approx(
        np.mean(by_hand) - more["mean"]["base"]["alone"], abs=1e-5
    )


def test_results_of_other_settings_are_not_gone_on_with(call):
    figures, _ = call("--seeds", "0")
    assert set(figures["mean"]) == {"base"}
    with pytest.raises(InputError, match=r"holds results with recipe .*expected .*give another --out"):
        call("--seeds", "0", "--steps", "3")


def test_a_domain_whose_dev_queries_would_be_trained_on_is_refused(call, tmp_path):
    (tmp_path / "south" / "qrels" / "dev.tsv").rename(tmp_path / "south" / "qrels" / "test.tsv")
    with pytest.raises(InputError, match=r"south has the splits train, expected train, dev, since"):
        call("--seeds", "0")
