"""The study of mixed adapters runs from experts to file, on a tiny model; a summed adapter is the weighted sum."""

import json
from pathlib import Path

import numpy as np
import pytest
from letters import write_letters
from scripts import loaded

from routeret.encoders.adapter import Adapter
from routeret.training import train_expert
from routeret.training.lora import LoraRecipe

STUDY = Path(__file__).parents[2] / "eval" / "adapter_mixture_study.py"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY.parent))
    return loaded(STUDY)


def adapter(rank, alpha, *, down, up, target="layer"):
    weights = {f"{target}.lora_A.weight": np.full((rank, 3), down), f"{target}.lora_B.weight": np.full((2, rank), up)}
    return Adapter(rank=rank, alpha=alpha, targets=(target,), weights=weights)


def test_the_product_of_a_summed_adapter_is_the_weighted_sum_of_the_products(study):
    # alpha / rank * B A is 4 / 1 * 3 * 2 = 24 in every place of the one, 1 / 2 * 2 * (5 * 1) = 5 of the other.
    summed = study.summed([adapter(1, 4.0, down=2.0, up=3.0), adapter(2, 1.0, down=1.0, up=5.0)], 0.25)
    a, b = (summed.weights[f"layer.lora_{letter}.weight"].astype(np.float32) for letter in "AB")
    assert summed.rank == 3
    np.testing.assert_allclose(summed.alpha / summed.rank * b @ a, np.full((2, 3), (24 + 5) / 4))


def test_adapters_of_different_layers_are_refused(study):
    with pytest.raises(SystemExit, match="adapters of different layers"):
        study.summed([adapter(1, 1.0, down=1.0, up=1.0), adapter(1, 1.0, down=1.0, up=1.0, target="other")], 0.5)


def test_it_measures_from_experts_to_file(study, graphs, e5_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    data = [write_letters(tmp_path / "letters"), write_letters(tmp_path / "others")]
    recipe = LoraRecipe(learning_rates=(3e-2,), checkpoints=(5,), rank=4, alpha=8.0, batch=8)
    folders = [tmp_path / "experts" / name for name in ("one", "two")]
    for folder, one in zip(folders, data, strict=True):
        train_expert(folder.name, [one], out=folder, kind="lora", base=e5_model, recipe=recipe, force=True)
    out = tmp_path / "results" / "mixtures.json"
    call = ["study", "--base", str(e5_model), "--out", str(out), "--experts", *map(str, folders)]
    monkeypatch.setattr("sys.argv", [*call, "--data", *map(str, data)])
    study.main()
    found = json.loads(out.read_text())
    assert found["experts"] == ["one", "two"]
    assert set(found["sets"]) == {"letters", "others"}
    halves, quarters = found["sets"]["letters"]["mixtures"]
    assert (halves["weight_of_each"], halves["weight_of_base"]) == (0.5, 0.0)
    assert (quarters["weight_of_each"], quarters["weight_of_base"]) == (0.25, 0.5)
    assert halves["difference"]["mean"] == pytest.approx(halves["vectors"] - halves["inside_layers"])
    assert found["time"]["2"]["inside_over_vectors"] > 0
