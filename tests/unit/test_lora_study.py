"""The study of LoRA experts runs from data to file, on a tiny model."""

import json
from pathlib import Path

import pytest
from letters import write_letters
from scripts import loaded

from routeret.routing import STRENGTHS

STUDY = Path(__file__).parents[2] / "eval" / "lora_study.py"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY.parent))
    module = loaded(STUDY)
    write_letters(tmp_path / "letters")
    write_letters(tmp_path / "others")
    monkeypatch.setattr(module, "DATA", tmp_path)
    monkeypatch.setattr(module, "SETS", ("letters", "others"))
    monkeypatch.setattr(module, "SETTINGS", {"defaults": {}, "rank 2": {"rank": 2}})
    return module


def test_it_measures_both_kinds_and_keeps_what_it_found_before(study, e5_model, tmp_path, monkeypatch):
    out = tmp_path / "results" / "lora.json"
    call = ["study", "--base", str(e5_model), "--device", "cpu", "--out", str(out), "--data", "letters"]
    monkeypatch.setattr("sys.argv", [*call, "--rates", "1e-2", "--steps", "2", "20"])
    study.main()
    monkeypatch.setattr("sys.argv", [*call, "--rates", "1e-2", "--steps", "2", "--settings"])
    study.main()
    values = json.loads(out.read_text())
    assert values["split"] == "dev"
    found = values["sets"]["letters"]
    assert (found["n_train"], found["n_dev"]) == (8, 8)
    assert set(found["settings"]) == {"defaults", "rank 2"}
    assert [fit["steps"] for fit in found["lora"]["grid"]] == [2, 20]
    assert found["lora"]["ndcg"] > found["base"]
    assert found["lora"]["bytes"] > 10_000
    assert found["lora"]["query"]["ratio"] > 1
    between, inside = (found["strength"][form]["ndcg"] for form in ("between_vectors", "inside_layers"))
    assert set(between) == {str(strength) for strength in STRENGTHS}
    # At full strength both forms are the adapted base itself.
    assert between["1.0"] == pytest.approx(inside["1.0"])
