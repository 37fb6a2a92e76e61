"""A device that is asked for reaches whatever loads a model."""

from contextlib import contextmanager

import pytest
from command_line import error_of, run, write_lines
from letters import write_letters

from routeret.errors import InputError
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
SUITE = f"""
name = "tiny"
work = "work"
split = "dev"
separate = ["one"]
systems = ["expert:up"]

[pack]{RECIPE.replace("[[experts]]", "[[pack.experts]]")}
"""


@pytest.fixture
def refusing(monkeypatch):
    """Makes a module refuse to load a model, with the device that it was to run on, inside a block."""

    def refuse(model, *, device=None, **_):
        raise InputError(f"{model} on {device}")

    @contextmanager
    def refused(module):
        with monkeypatch.context() as patched:
            patched.setattr(f"routeret.{module}.load_encoder", refuse)
            yield

    return refused


@pytest.fixture
def files(tmp_path):
    write_letters(tmp_path / "data" / "one")
    (tmp_path / "pack.toml").write_text(RECIPE)
    (tmp_path / "suite.toml").write_text(SUITE)
    return tmp_path


def test_pack_build(files, refusing):
    words = ("pack", "build", files / "pack.toml", "--out", files / "pack")
    with refusing("training.pack"):
        assert error_of(*words, "--device", "cuda:7") == "Error: hashing-32 on cuda:7"
        assert error_of(*words) == "Error: hashing-32 on None"


def test_a_suite_trains_and_measures_there(files, refusing, monkeypatch):
    monkeypatch.setattr("routeret.training.pack.LinearRecipe", lambda: LinearRecipe(checkpoints=(5,)))
    words = ("suite", files / "suite.toml", "--device", "cuda:7")
    with refusing("training.pack"):
        assert error_of(*words) == "Error: hashing-32 on cuda:7"
    run("suite", files / "suite.toml")
    with refusing("evaluation.evaluating"):
        assert error_of(*words) == "Error: hashing-32 on cuda:7"


def test_bench_index(files, refusing):
    words = ("bench", "index", "--corpus", files / "data" / "one", "--stores", "", "--device", "cuda:7")
    with refusing("benchmarks.running"):
        assert error_of(*words) == "Error: all-MiniLM-L6-v2 on cuda:7"


def test_demo(files, refusing):
    with refusing("building.new"):
        message = error_of("demo", "--folder", files / "demo", "--device", "cuda:7")
    assert message == "Error: all-MiniLM-L6-v2 on cuda:7"


def test_optimise(files, refusing):
    docs = write_lines(files / "docs.jsonl", [{"id": "a", "text": "a b"}])
    run("build", files / "kb", docs, "--base", "hashing-32")
    with refusing("retriever.loading"):
        assert error_of("optimise", files / "kb", "--device", "cuda:7") == "Error: hashing-32 on cuda:7"
