"""Recipe files of towers and mixtures, and which of the sources their tasks mean."""

import re
from pathlib import Path

import numpy as np
import pytest

from routeret.errors import InputError
from routeret.mining import BipartiteGraph
from routeret.training.recipe_file import field_names
from routeret.training.tower_recipe import TowerRecipe
from routeret.training.tower_recipe_file import TaskSettings, TowerRecipeFile
from routeret.training.tower_sources import tasks_of

TOWER = """
checkpoints = [10, 20]
learning_rate = 1e-4
objective = "symmetric"
n_hard_negatives = 4
rounds = 2
interaction = 0.1
token_storage = "int8"
space_fusion = "ranks"

[[tasks]]
name = "skills"
weight = 2
temperature = 0.02

[[tasks]]
name = "aliases"
weight = 0.5
"""


def read(tmp_path, text, kind="tower"):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    return TowerRecipeFile.read(file, kind=kind)


def test_a_tower_and_its_tasks_are_read(tmp_path):
    found = read(tmp_path, TOWER)
    assert found.recipe == TowerRecipe(
        checkpoints=(10, 20),
        learning_rate=1e-4,
        objective="symmetric",
        n_hard_negatives=4,
        rounds=2,
        interaction=0.1,
        token_storage="int8",
    )
    assert found.space_fusion == "ranks"
    assert found.tasks == (TaskSettings("skills", 2, 0.02), TaskSettings("aliases", 0.5, None))
    assert found.layers is None


def test_a_mixture_has_layers_and_no_tasks(tmp_path):
    found = read(tmp_path, "batch = 16\nlayers = [4, 5]\n", "moe")
    assert (found.recipe, found.layers, found.space_fusion) == (TowerRecipe(batch=16), (4, 5), "scores")
    with pytest.raises(InputError, match="unknown field 'tasks'"):
        read(tmp_path, TOWER, "moe")
    with pytest.raises(InputError, match="unknown field 'layers'"):
        read(tmp_path, "layers = [5]")


def test_without_a_file_the_defaults_hold(tmp_path):
    assert TowerRecipeFile.read(None, kind="tower") == read(tmp_path, "") == TowerRecipeFile()


def test_none_stands_for_none(tmp_path):
    found = read(tmp_path, 'interaction = "none"\ntoken_storage = "none"\n[[tasks]]\nname = "a"\ntemperature = "none"')
    assert (found.recipe, found.tasks) == (TowerRecipe(), (TaskSettings("a"),))
    assert read(tmp_path, 'layers = "none"', "moe") == TowerRecipeFile()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rte = 1", r"the recipe .*recipe\.toml has the unknown field 'learning_rte'; its fields are checkp"),
        ('batch = "8"', "batch is '8', expected a whole number"),
        ("batch = 1", r"recipe\.toml cannot be used: batch is 1"),
        ('objective = "best"', "objective is 'best', expected one of one_way, symmetric, many_to_many, mnr_plus"),
        ('space_fusion = "sum"', "space_fusion is 'sum', expected one of scores, ranks"),
        ("checkpoints = [3, 2]", r"checkpoints are \(3, 2\), expected rising"),
        ("tasks = 3", r"has tasks = 3, expected tables: begin each with \[\[tasks\]\]"),
        ("[[tasks]]\nweight = 2", "task 1 of the recipe .* lacks the field 'name'"),
        ('[[tasks]]\nname = "a"\n[[tasks]]\nname = "b"\nwieght = 2', "task 2 of the recipe .* unknown field 'wieght'"),
        ('[[tasks]]\nname = "a"\nweight = "2"', "task 1 of the recipe .* weight is '2', expected a finite number"),
        ('[[tasks]]\nname = "a"\nweight = inf', "task 1 of the recipe .* weight is inf, expected a finite number"),
        ('[[tasks]]\nname = "a"\ntemperature = nan', 'temperature is nan, expected a finite number or "none"'),
        ("interaction = inf", 'interaction is inf, expected a finite number or "none"'),
        ("learning_rate = nan", "learning_rate is nan, expected a finite number"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def graph(folder, name):
    edges = np.array([[0, 0]])
    BipartiteGraph.from_edges(name, edges, left={"a": "b"}, right={"c": "d"}).save(folder)
    return folder


def test_tasks_are_meant_by_name_or_by_path(tmp_path):
    sources = [graph(tmp_path / "one", "skills"), graph(tmp_path / "two", "aliases"), graph(tmp_path / "three", "rest")]
    settings = [TaskSettings("aliases", 2.0, 0.1), TaskSettings(str(tmp_path / "one"), 3.0)]
    tasks = tasks_of(sources, settings=settings)
    assert [(task.graph.name, task.weight, task.temperature) for task in tasks] == [
        ("skills", 3.0, None),
        ("aliases", 2.0, 0.1),
        ("rest", 1.0, None),
    ]


def test_tasks_that_mean_no_source_or_several_are_named(tmp_path):
    sources = [graph(tmp_path / "one", "skills"), graph(tmp_path / "two", "skills")]
    with pytest.raises(InputError, match=r"task 'jobs' of the recipe means 0 of the sources 'skills' \(.*one\), 's"):
        tasks_of(sources, settings=[TaskSettings("jobs")])
    with pytest.raises(InputError, match="task 'skills' of the recipe means 2 of the sources"):
        tasks_of(sources, settings=[TaskSettings("skills")])
    with pytest.raises(InputError, match="tasks 'skills' and '.*one' of the recipe both mean"):
        tasks_of(sources[:1], settings=[TaskSettings("skills"), TaskSettings(str(sources[0]))])
    with pytest.raises(InputError, match="weight 0"):
        tasks_of(sources[:1], settings=[TaskSettings("skills", weight=0)])


def test_the_recipes_of_the_documents_are_recipes(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tower,) = (block for block in blocks if "[[tasks]]" in block)
    (mixture,) = (block for block in blocks if "layers" in block)
    assert read(tmp_path, tower).tasks == (TaskSettings("skill_job", 2.0, 0.02),)
    assert read(tmp_path, mixture, "moe").layers == (5,)
    # The page's table has a line for every field.
    fields = {*field_names(TowerRecipe), "space_fusion", "[[tasks]]"}
    section = page.partition("### The recipe of a tower")[2].partition("\n### ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    assert fields <= named
