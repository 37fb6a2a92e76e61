"""``routeret eval`` with several packs, which are trainings of one recipe from different seeds."""

import sys

import pytest
from command_line import error_of, run, run_json
from letters import write_letters

from routeret.evaluation import SeedsReport
from routeret.training import pack
from routeret.training.linear import LinearRecipe

RECIPE = """
name = "letters"
base = "hashing-32"
data = "data"
seed = 0

[[experts]]
name = "up"
sets = ["one"]
"""


@pytest.fixture
def packs(tmp_path, monkeypatch):
    """The same pack of two seeds, whose expert is a moment's work."""
    monkeypatch.setattr(pack, "LinearRecipe", lambda: LinearRecipe(checkpoints=(5,)))
    write_letters(tmp_path / "data" / "one")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    run("pack", "build", tmp_path / "recipe.toml", "--out", tmp_path / "pack-0")
    run("pack", "build", tmp_path / "recipe.toml", "--seed", "1", "--out", tmp_path / "pack-1")
    return tmp_path / "pack-0", tmp_path / "pack-1"


def test_a_pack_is_built_with_another_seed_than_its_recipes(packs):
    assert [run_json("pack", "info", one)["seed"] for one in packs] == [0, 1]


def test_several_packs_from_the_command_line(packs, tmp_path):
    data = ("eval", "--data", tmp_path / "data" / "one", "--split", "dev", "--systems", "routed", "expert:up")
    printed = run(*data, "--pack", *packs, "--output", tmp_path / "seeds.json").stdout
    report = SeedsReport.load(tmp_path / "seeds.json")
    assert printed == f"{report.table()}\n"
    assert list(report.reports) == [str(one) for one in packs]
    assert run_json(*data, "--pack", packs[0], "--pack", packs[1]) == report.to_json()
    one = run_json(*data, "--pack", packs[0])
    assert one == report.reports[str(packs[0])].to_json()
    assert "pack-0' are the same pack; give trainings of other seeds" in error_of(*data, "--pack", packs[0], packs[0])


def test_a_pack_or_an_index_must_be_given(tmp_path):
    result = run("eval", "--data", tmp_path, code=2)
    assert "Give either --pack NAME or --index FOLDER." in result.stderr


def test_plots_are_of_one_pack_and_refused_before_the_work(packs, tmp_path, monkeypatch):
    data = ("eval", "--data", tmp_path / "data" / "one", "--split", "dev", "--plots", tmp_path / "plots")
    result = run(*data, "--pack", *packs, code=2)
    assert "--plots draws one pack; give --pack once." in result.stderr
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'routeret[bench]'" in error_of(*data, "--pack", packs[0])
    assert not (tmp_path / "plots").exists()


def test_plots(packs, tmp_path):
    data = ("eval", "--data", tmp_path / "data" / "one", "--split", "dev", "--plots", tmp_path / "plots")
    run(*data, "--pack", packs[0])
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["costs.svg", "gains.svg"]
