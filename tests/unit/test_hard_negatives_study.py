"""The study of hard negatives runs from data to file, on a tiny model."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from letters import write_letters
from scripts import loaded

from routeret.errors import InputError

STUDY = Path(__file__).parents[2] / "eval" / "hard_negatives_study.py"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY.parent))
    module = loaded(STUDY)
    write_letters(tmp_path / "letters")
    write_letters(tmp_path / "others")
    monkeypatch.setattr(module, "DATA", tmp_path)
    monkeypatch.setattr(module, "SETS", ("letters", "others"))
    monkeypatch.setattr(module, "RECIPE", replace(module.RECIPE, checkpoints=(5, 20), n_negatives=2))
    return module


def test_every_way_is_compared_with_negatives_by_chance(study, e5_model, tmp_path, monkeypatch):
    out = tmp_path / "results" / "hard_negatives.json"
    call = ["study", "--base", str(e5_model), "--device", "cpu", "--out", str(out), "--data", "letters"]
    monkeypatch.setattr("sys.argv", [*call, "--seeds", "2"])
    study.main()
    values = json.loads(out.read_text())
    assert (values["split"], values["recipe"]["n_negatives"], values["n_seeds"]) == ("dev", 2, 2)
    found = values["sets"]["letters"]
    assert (found["n_train"], found["n_dev"], found["n_documents"]) == (8, 8, 8)
    assert set(found["ways"]) == set(study.WAYS)
    gain = {way: values["gain"]["mean"] for way, values in found["ways"].items()}
    for way, control in itertools.product(study.WAYS, (study.BY_CHANCE, study.AS_MANY)):
        difference = found["ways"][way]["against"][control]["mean"]
        assert difference == pytest.approx(gain[way] - gain[control], abs=1e-6)
    monkeypatch.setattr("sys.argv", [*call, "--seeds", "1"])
    monkeypatch.setattr(study, "study", None)
    with pytest.raises(InputError, match="holds results with n_seeds 2, expected 1"):
        study.main()
