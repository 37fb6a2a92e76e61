"""``routeret train tower`` and ``train moe``: what they refuse, and what a recipe tells them."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from letters import without_dropout
from safetensors.numpy import load_file

from routeret.cli import main
from routeret.encoders import TorchEncoder
from routeret.experts import load_expert
from routeret.mining import BipartiteGraph
from routeret.routing import load_pilots
from routeret.training.tower_recipe import TowerRecipe


def run(line):
    return CliRunner().invoke(main, line)


@pytest.fixture
def words(tmp_path):
    folder = tmp_path / "words"
    (folder / "qrels").mkdir(parents=True)
    texts = ["river bank", "tax return", "water card", "bank card"]
    lines = "".join(json.dumps({"_id": f"d{number}", "text": text}) + "\n" for number, text in enumerate(texts))
    (folder / "corpus.jsonl").write_text(lines)
    (folder / "queries.jsonl").write_text(lines.replace('"d', '"q'))
    for split in ("train", "dev"):
        judged = "".join(f"q{number}\td{number}\t1\n" for number in range(4))
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


@pytest.fixture
def without_dropout_model(tiny_models, tmp_path):
    return without_dropout(tiny_models.write(tmp_path / "tiny"))


def test_pairs_without_their_corpus_are_refused(words, tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"a": "d0", "b": "d1", "count": 2}\n')
    result = run(["train", "tower", "x", "--on", str(tmp_path / "pairs.jsonl"), "--data", str(words), "--out", "o"])
    assert result.exit_code == 2
    assert "give the corpus that they name with --corpus" in result.output


def test_a_domain_needs_a_name_and_a_folder(words, tmp_path):
    result = run(["train", "moe", "--domain", str(words), "--out", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert "give every --domain as NAME=FOLDER" in result.output
    result = run(["train", "moe", "--domain", f"a={words}", "--out", str(tmp_path / "o")])
    assert "found the domains a; expected at least two" in result.output
    assert not (tmp_path / "o").exists()


def test_a_folder_that_is_no_graph_is_refused(words, tmp_path):
    result = run(["train", "tower", "x", "--on", str(words), "--data", str(words), "--out", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert "words has no manifest.json; it is not a routeret bipartite graph" in result.output


def test_a_tower_is_trained_from_a_base_by_a_recipe(words, without_dropout_model, tmp_path):
    edges = np.array([[0, 0], [1, 1]])
    sides = {"left": {"a": "tax", "b": "bank"}, "right": {"c": "return", "d": "card"}}
    for name in ("one", "two"):
        BipartiteGraph.from_edges(name, edges, **sides).save(tmp_path / name)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'checkpoints = [1]\nbatch = 4\nobjective = "symmetric"\nspace_fusion = "ranks"\n\n'
        '[[tasks]]\nname = "two"\nweight = 2.0\n'
    )
    line = ["train", "tower", "jobs", "--on", str(tmp_path / "one"), str(tmp_path / "two"), "--data", str(words)]
    out, base = tmp_path / "out", str(without_dropout_model)
    result = run([*line, "--out", str(out), "--base", base, "--recipe", str(recipe), "--force", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    expert = load_expert(out)
    assert expert.details["recipe"] == TowerRecipe(checkpoints=(1,), batch=4, objective="symmetric").as_dict()
    assert expert.details["space_fusion"] == "ranks"
    assert load_pilots(out / "pilots").query_tower == TorchEncoder(base, device="cpu").query_tower
    recipe.write_text('[[tasks]]\nname = "three"\n')
    result = run([*line, "--out", str(tmp_path / "o"), "--base", base, "--recipe", str(recipe)])
    assert result.exit_code == 2
    assert "task 'three' of the recipe means 0 of the sources 'one'" in result.output


def test_a_mixture_is_trained_from_a_base_by_a_recipe(words, without_dropout_model, tmp_path):
    other = tmp_path / "others"
    shutil.copytree(words, other)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("checkpoints = [1]\nbatch = 4\nlayers = [1]\n")
    line = ["train", "moe", "--domain", f"a={words}", f"b={other}", "--base", str(without_dropout_model), "--force"]
    result = run([*line, "--out", str(tmp_path / "out"), "--recipe", str(recipe), "--device", "cpu", "--json"])
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)["experts"]) == ["a", "b"]
    model = tmp_path / "out" / "model" / "model.safetensors"
    assert {name.split("layer.")[1][0] for name in load_file(model) if "experts" in name} == {"1"}
    recipe.write_text("layer = 1\n")
    result = run([*line, "--out", str(tmp_path / "o"), "--recipe", str(recipe)])
    assert result.exit_code == 2
    assert "has the unknown field 'layer'; its fields are checkpoints, learning_rate" in result.output
    assert not (tmp_path / "o").exists()
