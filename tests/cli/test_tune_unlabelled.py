"""Tuning without labels from the command line: what is printed, and what a build takes along."""

import numpy as np
import pytest
from command_line import run, run_json, write_lines

from routeret.retriever import unlabelled
from routeret.training.unlabelled import UnlabelledOutcome

BASE = ("--base", "hashing-32")


@pytest.fixture
def docs(tmp_path):
    rng = np.random.default_rng(4)
    texts = [" ".join(f"word{number}" for number in rng.integers(0, 60, 8)) for _ in range(500)]
    return write_lines(tmp_path / "docs.jsonl", [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)])


@pytest.fixture
def learns(monkeypatch):
    """Whatever is tuned learns a map that is no better or better, in turn."""
    outcomes = [UnlabelledOutcome(np.eye(32, dtype=np.float32), before=0.5, after=after) for after in (0.5, 0.625)]
    monkeypatch.setattr(unlabelled, "fit_unlabelled", lambda *_arguments, **_options: outcomes.pop(0))


@pytest.mark.usefixtures("learns")
def test_tune_without_queries_says_what_it_did_and_remove_undoes_it(docs, tmp_path):
    kb = tmp_path / "kb"
    run("build", kb, docs, *BASE)
    refused = run("tune", kb).stdout
    assert refused.startswith("Not installed: no better than the map that is computed of the documents: ")
    report = run_json("tune", kb)
    assert (report["installed"], report["before"], report["after"]) == (True, 0.5, 0.625)
    assert report["n_pseudo_queries"] == report["n_documents"] == 500
    assert "turned by the index's own map at strength 0.20" in run("route", kb, "word1 word2").stdout
    run("experts", "remove", kb, "own-map")
    assert "own map" not in run("route", kb, "word1 word2").stdout
    assert "has no own-map" in run("experts", "remove", kb, "own-map", code=2).stderr


@pytest.mark.usefixtures("learns")
def test_a_build_takes_what_it_learned_along(docs, tmp_path):
    report = run_json("build", tmp_path / "plain", docs, *BASE)
    assert "tuned" not in report
    assert run_json("build", tmp_path / "refused", docs, *BASE, "--tune")["tuned"]["installed"] is False
    assert not list((tmp_path / "refused").glob("map-*"))
    text = run("build", tmp_path / "kb", docs, *BASE, "--tune").stdout
    assert "tuned:" in text
    assert "  installed: " in text
    assert (tmp_path / "kb" / "map-1" / "manifest.json").is_file()
    assert run_json("verify", tmp_path / "kb")["is_whole"]


def test_a_map_that_is_refused_leaves_the_earlier_one_and_says_so(docs, tmp_path, monkeypatch):
    outcomes = [UnlabelledOutcome(np.eye(32, dtype=np.float32), before=0.5, after=after) for after in (0.625, 0.5)]
    monkeypatch.setattr(unlabelled, "fit_unlabelled", lambda *_arguments, **_options: outcomes.pop(0))
    kb = tmp_path / "kb"
    run("build", kb, docs, *BASE)
    assert run_json("tune", kb)["installed"] is True
    refused = run_json("tune", kb)
    assert refused["installed"] is False
    kept = f"; the map that was learned earlier stays, to remove it: routeret experts remove {kb} own-map"
    assert refused["reason"].endswith(kept)
    assert "own map" in run("route", kb, "word1 word2").stdout


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (("--name", "mine"), "--name says nothing without --queries, --clicks or --data"),
        (("--queries", "q.jsonl", "--least-clicks", "2"), "--least-clicks says nothing without --clicks"),
        (("--queries", "q.jsonl", "--split", "dev"), "--split says nothing without --data"),
        (("--clicks", "q.jsonl", "--prefix-ids"), "--prefix-ids says nothing without --data"),
    ],
)
def test_options_that_would_say_nothing_are_refused(options, needed, tmp_path):
    assert needed in run("tune", tmp_path, *options, code=2).stderr
