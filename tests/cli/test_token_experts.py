"""Experts whose late interaction is asked for on the command line."""

import re

import pytest
from command_line import BASE, error_of, run, run_json, write_lines
from letters import write_letters

from routeret.experts import load_expert


@pytest.fixture
def kb(tmp_path):
    docs = write_lines(tmp_path / "docs.jsonl", [{"id": "a", "text": "a b"}, {"id": "b", "text": "river"}])
    run("build", tmp_path / "kb", docs, *BASE)
    return tmp_path / "kb"


@pytest.mark.parametrize(
    ("targets", "storage", "n_bytes"),
    [("tokens", "fp16", 11 * 64 + 2 * 8), ("tokens-int8", "int8", 11 * 36 + 2 * 8), ("pooled", None, None)],
)
def test_targets_are_kept_and_shown(kb, e5_model, targets, storage, n_bytes):
    run("experts", "add", kb, "--model", e5_model, "--name", "fine", "--interaction", "0", "--targets", targets)
    expert = load_expert(kb / "experts" / "fine")
    assert (expert.interaction, expert.token_storage) == (0, storage)
    held = run_json("info", kb)["spaces"][expert.space.fingerprint]
    # The prompt "passage: " is two tokens, and two special ones stand around each text.
    expected = None if storage is None else {"storage": storage, "tokens": 11, "bytes": n_bytes}
    assert held.get("tokens") == expected
    assert {hit["id"] for hit in run_json("search", kb, "river", "--expert", "fine")["hits"]} == {"a", "b"}


def test_a_model_takes_other_prompts_than_its_own(kb, e5_model):
    model = ("--model", e5_model)
    run("experts", "add", kb, *model, "--name", "own")
    run("experts", "add", kb, *model, "--name", "other", "--document-prompt", "text: ", "--query-prompt", "q: ")
    own, other = (load_expert(kb / "experts" / name) for name in ("own", "other"))
    assert (own.space.document_prompt, own.encoder.query_prompt) == ("passage: ", "query: ")
    assert (other.space.document_prompt, other.encoder.query_prompt) == ("text: ", "q: ")
    assert len(run_json("info", kb)["spaces"]) == 3


def test_options_that_say_nothing_are_refused(kb, e5_model):
    for option in ("--query-prompt", "--document-prompt", "--data"):
        assert f"{option}" in error_of("experts", "add", kb, kb, option, "x")
    model = ("--model", e5_model, "--name", "fine")
    assert "give --interaction too" in error_of("experts", "add", kb, *model, "--targets", "tokens")
    assert "--interaction goes with --model" in error_of("experts", "add", kb, kb, "--interaction", "1")
    assert "x>=0" in error_of("experts", "add", kb, *model, "--interaction", "-1")
    assert "'words' is not one of 'pooled', 'tokens', 'tokens-int8'" in error_of(
        "experts", "add", kb, *model, "--interaction", "0", "--targets", "words"
    )


def test_adding_a_model_says_what_it_gains(kb, e5_model, tmp_path):
    data = write_letters(tmp_path / "letters")
    words = ("experts", "add", kb, "--model", e5_model)
    report = run_json(*words, "--name", "one", "--data", data)
    assert report["difference"]["n"] == 8
    assert report["experts"] == ["one"]
    assert report["difference"] == load_expert(kb / "experts" / "one").details["scores"]["difference"]
    shown = run(*words, "--name", "two", "--query-prompt", "q: ", "--data", data).output
    assert re.search(r"changes nDCG@10 on dev by [+-]\d\.\d{4} \(p = \d\.\d{4}\)", shown)
    assert "difference" not in run_json(*words, "--name", "three", "--query-prompt", "r: ")
