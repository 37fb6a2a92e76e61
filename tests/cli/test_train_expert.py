"""``routeret train expert --kind``."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from routeret.cli import main
from routeret.encoders import HashingEncoder
from routeret.experts import load_expert


def run(*arguments):
    return CliRunner().invoke(main, ["train", "expert", "letters", *map(str, arguments)], prog_name="routeret")


@pytest.fixture
def letters(tmp_path):
    folder = tmp_path / "letters"
    (folder / "qrels").mkdir(parents=True)
    texts = {"corpus": ["s", "t", "u", "v"], "queries": ["a", "b", "c", "d"]}
    for name, values in texts.items():
        lines = [json.dumps({"_id": f"{name[0]}{number}", "text": text}) for number, text in enumerate(values)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    judged = "".join(f"q{number}\tc{number}\t1\n" for number in range(4))
    for split in ("train", "dev"):
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


def test_a_kind_is_linear_or_lora(letters, tmp_path):
    result = run("--data", letters, "--out", tmp_path / "out", "--kind", "tree")
    assert result.exit_code == 2
    assert "'tree' is not one of 'linear', 'lora'" in result.stderr


def test_lora_needs_a_base_with_layers(letters, tmp_path):
    result = run("--data", letters, "--out", tmp_path / "out", "--kind", "lora", "--base", "hashing")
    assert result.exit_code == 2
    assert "a LoRA expert adapts the layers of a transformer, found a HashingEncoder" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["linear", "lora"])
def test_an_expert_of_either_kind_is_written(letters, tmp_path, kind, e5_model):
    out = tmp_path / "out"
    given = ("--data", letters, "--out", out, "--kind", kind, "--base", e5_model, "--description", "the letters")
    result = run(*given, "--force", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["folder"] == str(out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["expert"], manifest["details"]["description"]) == (kind, "the letters")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("linear", "checkpoints = [2, 3]\nmargin = 0.1\n"), ("lora", "checkpoints = [2, 3]\nlearning_rates = [1e-3]\n")],
)
def test_a_recipe_says_how_either_kind_is_fitted(letters, tmp_path, kind, text, e5_model):
    out, recipe = tmp_path / "out", tmp_path / "letters.toml"
    recipe.write_text(text)
    result = run("--data", letters, "--out", out, "--kind", kind, "--base", e5_model, "--force", "--recipe", recipe)
    assert result.exit_code == 0, result.stderr
    used = json.loads((out / "manifest.json").read_text())["details"]["recipe"]
    assert used["checkpoints"] == [2, 3]
    if kind == "linear":
        assert used["margin"] == 0.1
    else:
        assert used["learning_rates"] == [1e-3]


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        (
            "linear",
            "rank = 4\n",
            "of the kind 'linear' has the unknown field 'rank'; its fields are checkpoints, batch",
        ),
        (
            "lora",
            "n_negatives = 4\n",
            "of the kind 'lora' has the unknown field 'n_negatives'; its fields are learning_",
        ),
        ("linear", 'batch = "all"\n', "holds a value of the wrong type: batch is 'all', expected a whole number"),
        ("linear", "rounds = 2\n", "cannot be used: rounds is 2 and n_hard_negatives 0"),
        ("linear", "rounds: 2\n", "letters.toml cannot be read"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_named(letters, tmp_path, kind, text, found):
    recipe = tmp_path / "letters.toml"
    recipe.write_text(text)
    result = run("--data", letters, "--out", tmp_path / "out", "--kind", kind, "--base", "hashing", "--recipe", recipe)
    assert result.exit_code == 2
    assert found in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_recipe_is_named(letters, tmp_path):
    result = run("--data", letters, "--out", tmp_path / "out", "--base", "hashing", "--recipe", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert f"the recipe {tmp_path / 'none.toml'} cannot be read" in result.stderr


def test_a_repeated_call_takes_all_vectors_from_the_cache(letters, tmp_path, monkeypatch):
    call = ["--data", letters, "--anchor", letters, "--base", "hashing", "--force", "--cache", tmp_path / "vectors"]
    call.append("--out")
    assert run(*call, tmp_path / "first").exit_code == 0
    kept = sorted(file.name for file in (tmp_path / "vectors").iterdir())
    # The train, dev and anchor queries are the same texts.
    assert [name.split("-")[0] for name in kept] == ["documents", "queries"]

    def refused(*_):
        raise AssertionError("a text was embedded again")

    monkeypatch.setattr(HashingEncoder, "encode_documents", refused)
    monkeypatch.setattr(HashingEncoder, "encode_queries", refused)
    result = run(*call, tmp_path / "second")
    assert result.exit_code == 0, result.output
    first, second = (load_expert(tmp_path / name).weight for name in ("first", "second"))
    np.testing.assert_array_equal(first, second)
    assert sorted(file.name for file in (tmp_path / "vectors").iterdir()) == kept
