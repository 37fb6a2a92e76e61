"""The study of a mixture behind the router runs from data to file, on a tiny model."""

import json
from pathlib import Path

import pytest
from letters import ANSWERS, without_dropout, write_letters
from scripts import loaded

from routeret.training.tower_recipe import TowerRecipe

STUDY = Path(__file__).parents[2] / "eval" / "mixture_retriever.py"
WORD = {"north": "river", "south": "tax"}
"""What begins every document of a domain, and tells it."""
SHIFT = {"north": 0, "south": 3}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY.parent))
    module = loaded(STUDY)
    for name, word in WORD.items():
        write_letters(tmp_path / name, answers=[f"{word} {letter}" for letter in ANSWERS], shift=SHIFT[name])
    recipe = TowerRecipe(checkpoints=(60,), learning_rate=5e-3, batch=8, max_tokens=12)
    monkeypatch.setattr(module, "DATA", tmp_path)
    monkeypatch.setattr(module, "RECIPE", recipe)
    return module


def test_the_experts_of_a_mixture_are_measured_in_one_index_of_all_domains(study, tiny_models, tmp_path, monkeypatch):
    base, out = without_dropout(tiny_models.write(tmp_path / "base" / "tiny")), tmp_path / "results" / "out.json"
    call = ["study", "--base", str(base), "--device", "cpu", "--out", str(out), "--split", "dev", "--data", *WORD]
    monkeypatch.setattr("sys.argv", call)
    study.main()
    values = json.loads(out.read_text())
    report = values["report"]
    assert report["merged"] is True
    assert set(report["datasets"]) == set(WORD)
    for name, other in (("north", "south"), ("south", "north")):
        ndcg = {system: one["ndcg@10"] for system, one in report["datasets"][name]["systems"].items()}
        # The same letters are asked in both domains: only a domain's own expert knows which document is meant.
        assert ndcg[f"expert:{name}"] > 0.7 > max(ndcg["base"], ndcg[f"expert:{other}"])
        assert set(report["datasets"][name]["weights"]) >= {"base", *WORD}
    assert values["documents"]["accuracy"] == dict.fromkeys(WORD, 1.0)
