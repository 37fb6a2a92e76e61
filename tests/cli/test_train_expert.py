"""``routeret train expert --kind``."""

import json

import pytest
from click.testing import CliRunner

from routeret.cli import main


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
    result = run("--data", letters, "--out", out, "--kind", kind, "--base", e5_model, "--force", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["folder"] == str(out)
    assert json.loads((out / "manifest.json").read_text())["expert"] == kind
