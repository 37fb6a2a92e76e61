"""The study of tuning goes on where it stopped, and measures what an untuned index does."""

import json
from pathlib import Path

import pytest
from letters import write_letters
from scripts import loaded

from routeret.errors import InputError
from routeret.retriever import Retriever

STUDY = Path(__file__).parents[2] / "eval" / "tune_study.py"


class StoppedError(Exception):
    """Somebody has stopped the study."""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Runs the study on letters, every expert installed, with so many draws and other options."""
    monkeypatch.syspath_prepend(str(STUDY.parent))
    module = loaded(STUDY)
    data = write_letters(tmp_path / "letters")
    fixed = ["study", "--data", str(data), "--pack", "none", "--base", "hashing-32", "--force"]
    fixed += ["--indexes", str(tmp_path / "indexes"), "--out", str(tmp_path / "out")]

    def run(*options):
        monkeypatch.setattr("sys.argv", [*fixed, *map(str, options)])
        module.main()
        return json.loads((tmp_path / "out" / "letters-dev.json").read_text())

    run.module = module
    return run


def stop_at(monkeypatch, owner, name, *, call):
    """Stop the study at a call of a function."""
    function, calls = getattr(owner, name), []

    def stopping(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            raise StoppedError
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, stopping)


def test_a_study_that_was_stopped_after_an_install_goes_on_as_if_it_had_not_been(study, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_at(patched, Retriever, "remove_expert", call=2)
        with pytest.raises(StoppedError):
            study("--draws", 3, "--queries", 6)
    with Retriever.open(tmp_path / "indexes" / "letters") as left:
        assert left.expert_names == ("tuned",)
    kept = json.loads((tmp_path / "out" / "letters-dev.json").read_text())
    assert [draw["seed"] for draw in kept["draws"]] == [0]
    with monkeypatch.context() as patched:
        stop_at(patched, Retriever, "tune", call=3)
        found = study("--draws", 3, "--queries", 6)
    assert [draw["seed"] for draw in found["draws"]] == [0, 1, 2]
    assert (found["before"], found["draws"][0]) == (kept["before"], kept["draws"][0])
    assert found["experts"] == []
    with Retriever.open(tmp_path / "indexes" / "letters") as left:
        assert left.expert_names == ()
    assert json.loads((tmp_path / "out" / "summary-dev.json").read_text())["n_draws"] == 3


def test_an_index_that_was_not_finished_is_built_again(study, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_at(patched, Retriever, "add", call=1)
        with pytest.raises(StoppedError):
            study("--draws", 1, "--queries", 6)
    assert not (tmp_path / "indexes" / "letters").exists()
    assert study("--draws", 1, "--queries", 6)["n_queries"] == 8
    with Retriever.open(tmp_path / "indexes" / "letters") as whole:
        assert len(whole.index) == 8


def test_results_of_other_settings_are_not_gone_on_with(study):
    study("--draws", 1, "--queries", 6)
    with pytest.raises(InputError, match="n_labelled 6, expected 5"):
        study("--draws", 2, "--queries", 5)
