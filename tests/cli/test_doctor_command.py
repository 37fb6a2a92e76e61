"""``routeret doctor``."""

import sys
from dataclasses import replace

import pytest
from command_line import BASE, error_of, run, run_json, write_lines
from spoiled_pool import TEXTS, spoiled_index

from routeret.cli.diagnosis_text import diagnosis_text
from routeret.doctor import Diagnosis, Drift, ExpertUse
from routeret.significance import PairedTest


@pytest.fixture
def kb(tmp_path):
    return spoiled_index(tmp_path)


@pytest.fixture
def clicks(tmp_path):
    """Six queries with the document that was clicked, and one without."""
    lines = [{"query": text, "clicked": [text]} for text in TEXTS[:6]]
    return write_lines(tmp_path / "clicks.jsonl", [*lines, {"query": "an owl"}])


def test_what_people_read(kb, clicks):
    result = run("doctor", kb, "--queries", clicks)
    lines = result.stdout.splitlines()
    assert lines[0] == f"7 queries routed over {kb}, 6 of them with right documents."
    assert lines[2].split() == (
        "weight largest acts strength predicted gain nDCG@10 with it minus without, 95 % interval".split()
    )
    table = {line.split()[0]: line.split()[1:] for line in lines[3:6]}
    # 0.4 shrunk by 12 / (12 + 10), and the mean of the four strengths.
    assert table == {
        "base": ["0.00", "0", "%", "-", "-", "-", "-"],
        "spoiler": ["1.00", "100", "%", "100", "%", "0.62", "+0.218", "-1.000", "[-1.000,", "-1.000]"],
        "idle": ["0.00", "0", "%", "0", "%", "-", "-", "+0.000", "[+0.000,", "+0.000]"],
    }
    assert lines[7:] == [
        "Entropy of the mean weights 0.00, mean entropy of a query's weights 0.00 (0: one has it all, 1: all have the "
        "same).",
        "The router held back for 0 % of the queries, the index's own map turned 0 %, and the mean weight of bm25 is "
        "0.20.",
        "",
        f"idle never acts on these queries; if that stays so: routeret experts remove {kb} idle",
        "spoiler harms: without it the search finds more, by the whole interval; to remove it: routeret experts "
        f"remove {kb} spoiler",
        "Every query is like some training corpus, or finds documents that some expert knows.",
        "",
        *run("experts", "list", kb, "--fit").stdout.splitlines(),
    ]
    assert lines[-2].startswith("spoiler knows 100% of 12 documents looked at")
    assert lines[-1].startswith("idle knows 100% of 12 documents looked at")
    assert "routing" in result.stderr


def test_what_programs_read(kb, clicks):
    found = run_json("doctor", kb, "--queries", clicks)
    assert (found["n_queries"], found["n_labelled"], found["harmful"], found["plots"]) == (7, 6, ["spoiler"], [])
    assert [expert["wins"] for expert in found["experts"]] == [1.0, 0.0]
    assert found["experts"][0]["effect"]["mean"] == -1
    assert [(fit["expert"], fit["known"]) for fit in found["fits"]] == [("spoiler", 1.0), ("idle", 1.0)]
    assert found["drift"]["n_far"] == 0


def test_a_log_of_plain_lines_without_answers(kb, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("apples\nbridge\n", encoding="utf-8")
    found = run("doctor", kb, "--queries", log).stdout
    assert found.startswith(f"2 queries routed over {kb}.\n")
    assert "nDCG@10" not in found
    assert "harms" not in found


def test_few_answers_tell_no_harm(kb, tmp_path):
    log = write_lines(tmp_path / "few.jsonl", [{"query": "apples", "relevant": ["apples"]}])
    found = run("doctor", kb, "--queries", log).stdout
    assert "cannot be told from 1 independent labelled queries; expected at least 6." in found
    assert "harms:" not in found


def test_queries_that_match_no_expert(kb, tmp_path):
    run("delete", kb, *TEXTS)
    docs = write_lines(tmp_path / "new.jsonl", [{"id": "z", "text": "zygote"}, {"id": "q", "text": "quorum"}])
    run("add", kb, docs)
    log = tmp_path / "log.txt"
    log.write_text("zygote\nzygote\nquorum\nwhere to find apples\n", encoding="utf-8")
    lines = run("doctor", kb, "--queries", log).stdout.splitlines()
    assert lines[-7:-3] == [
        "75 % of 4 queries match no expert; typical:",
        "  zygote (stands for 2)",
        "  quorum (stands for 1)",
        f"To make an expert for them, label some and run: routeret tune {kb} --queries labelled.jsonl",
    ]


def test_wrong_input_is_refused(kb, clicks, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("\n", encoding="utf-8")
    assert "log.txt is empty" in error_of("doctor", kb, "--queries", log)
    write_lines(tmp_path / "broken.jsonl", [{"query": "a"}, {"question": "b"}])
    assert "broken.jsonl:2 has no 'query'" in error_of("doctor", kb, "--queries", tmp_path / "broken.jsonl")
    write_lines(tmp_path / "gone.jsonl", [{"query": "a", "clicked": ["gone"]}])
    assert "document 'gone' is not in index 'kb'" in error_of("doctor", kb, "--queries", tmp_path / "gone.jsonl")
    docs = write_lines(tmp_path / "docs.jsonl", [{"id": "a", "text": "a boat"}])
    run("build", tmp_path / "plain", docs, *BASE)
    message = error_of("doctor", tmp_path / "plain", "--queries", clicks)
    assert "has no experts, so there is nothing to diagnose" in message
    assert f"routeret tune {tmp_path / 'plain'} --queries labelled.jsonl" in message


def test_an_expert_that_never_has_the_largest_weight_goes_unless_it_helps():
    quiet = ExpertUse("law", weight=0.3, wins=0.0, acts=0.004, strength=0.5, predicted_gain=0.01)
    drift = Drift(n_far=0, share=0.0, typical=())
    without = Diagnosis(
        index="kb", n_queries=1000, n_labelled=0, n_clusters=0, base_weight=0.7, base_wins=1.0, experts=(quiet,),
        entropy=0.9, query_entropy=0.9, held_back=0.0, turned=0.0, lexical_weight=0.2, likeness=(1000,), drift=drift,
    )  # fmt: skip
    advice = (
        "law acts on under 1 % of the queries and never has the largest weight; if that stays so: routeret experts "
        "remove kb law"
    )
    assert advice in diagnosis_text(without)
    helped = replace(quiet, effect=PairedTest(mean=0.02, low=0.01, high=0.03, p_value=0.01, n=100))
    assert "never has" not in diagnosis_text(replace(without, n_labelled=100, n_clusters=100, experts=(helped,)))
    unsure = replace(quiet, effect=PairedTest(mean=0.02, low=-0.01, high=0.05, p_value=0.2, n=100))
    assert advice in diagnosis_text(replace(without, n_labelled=100, n_clusters=100, experts=(unsure,)))


def test_pictures_are_refused_before_the_work_where_nothing_draws_them(kb, clicks, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = error_of("doctor", kb, "--queries", clicks, "--plots", tmp_path / "pictures")
    assert "pip install 'routeret[bench]'" in message
    assert not (tmp_path / "pictures").exists()


def test_pictures(kb, clicks, tmp_path):
    folder = tmp_path / "pictures"
    expected = [folder / "weights.svg", folder / "likeness.svg"]
    assert run_json("doctor", kb, "--queries", clicks, "--plots", folder)["plots"] == [str(one) for one in expected]
    lines = run("doctor", kb, "--queries", clicks, "--plots", folder).stdout.splitlines()
    assert lines[-2:] == [f"Wrote {one}" for one in expected]
    assert ">spoiler<" in expected[0].read_text()
    assert "match no expert" in expected[1].read_text()
