"""Every command that works on an index, with the encoder that needs no model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import BASE, error_of, run, run_json, write_lines

DOCUMENTS = [
    {"id": "card", "title": "Lost card", "text": "What to do when a bank card is lost or stolen.", "lang": "en"},
    {"id": "zip", "title": "Archives", "text": "List the files inside a zip archive with unzip."},
    {"id": "tür", "title": "Türen", "text": "Wie man eine klemmende Tür repariert."},
    {"id": "asthma", "title": "", "text": "Asthma narrows the airways and makes breathing difficult."},
]


@pytest.fixture
def docs(tmp_path):
    return write_lines(tmp_path / "docs.jsonl", DOCUMENTS)


@pytest.fixture
def kb(docs, tmp_path):
    run("build", tmp_path / "kb", docs, *BASE)
    return tmp_path / "kb"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_build_reports_what_it_read(docs, tmp_path):
    more = write_lines(tmp_path / "more.jsonl", [{"_id": "tax", "text": "How to file taxes jointly."}])
    report = run_json("build", tmp_path / "kb", docs, more, *BASE)
    assert report["index"] == str(tmp_path / "kb")
    assert report["n_documents"] == report["added"] == 5
    assert report["n_by_corpus"] == {"docs": 4, "more": 1}
    assert (report["unchanged"], report["truncated"]) == (0, 0)
    assert report["seconds"] > 0
    assert names_in(tmp_path) == ["docs.jsonl", "kb", "more.jsonl"]


def test_build_for_people_shows_progress_on_stderr(docs, tmp_path):
    result = run("build", tmp_path / "kb", docs, *BASE)
    assert "n_documents: 4" in result.stdout
    assert f"routeret search {tmp_path / 'kb'}" in result.stdout
    assert "4/4" in result.stderr
    assert "0 cut" in result.stderr


def test_build_refuses_before_writing_anything(docs, tmp_path):
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"id": "a", "text": "good"}\n{"id": "b", "text": \n', encoding="utf-8")
    again = write_lines(tmp_path / "again.jsonl", DOCUMENTS[1:2])
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    before = names_in(tmp_path)
    kb = tmp_path / "kb"
    assert f"{broken}:2 is not valid JSON" in error_of("build", kb, docs, broken, *BASE)
    message = error_of("build", kb, docs, again, *BASE)
    assert f"{docs}:2" in message
    assert f"{again}:1" in message
    assert "--prefix-ids" in message
    assert "'empty' is empty" in error_of("build", kb, empty, *BASE)
    assert "does not exist" in error_of("build", kb, tmp_path / "nothing.jsonl", *BASE)
    assert "nowhere" in error_of("build", kb, docs, "--base", "nobody/nowhere")
    assert names_in(tmp_path) == before


def test_build_prefixes_ids(docs, tmp_path):
    again = write_lines(tmp_path / "again.jsonl", DOCUMENTS[1:2])
    assert run_json("build", tmp_path / "kb", docs, again, *BASE, "--prefix-ids")["n_documents"] == 5
    found = run_json("search", tmp_path / "kb", "zip archive files", "-k", 2)
    assert {hit["id"] for hit in found["hits"]} == {"docs/zip", "again/zip"}


def test_build_leaves_what_is_there(kb, docs, tmp_path):
    assert f"routeret add {kb}" in error_of("build", kb, docs, *BASE)
    assert run_json("search", kb, "asthma", "-k", 1)["hits"][0]["id"] == "asthma"
    assert names_in(tmp_path) == ["docs.jsonl", "kb"]


@pytest.fixture
def build_under_way(tmp_path):
    """A build that has checked its corpus, has begun to write, and waits for the corpus to come again."""
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "routeret", "build", "kb", pipe.name, *BASE]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    writer = wait_for(lambda: open_writer(pipe), process)
    os.write(writer, "".join(json.dumps(document) + "\n" for document in DOCUMENTS).encode())
    os.close(writer)
    wait_for(lambda: (tmp_path / ".kb.unfinished" / "kb").is_dir(), process)
    yield process
    process.kill()
    process.communicate()


def open_writer(pipe):
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def wait_for(get, process):
    give_up = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < give_up:
        found = get()
        if found:
            return found
        time.sleep(0.02)
    process.kill()
    raise AssertionError(process.communicate())


def test_a_build_that_is_interrupted_before_it_embeds_leaves_nothing(build_under_way, tmp_path):
    build_under_way.send_signal(signal.SIGINT)
    stdout, stderr = build_under_way.communicate(timeout=60)
    assert (build_under_way.returncode, stdout) == (130, "")
    assert stderr.endswith("Interrupted.\n")
    assert names_in(tmp_path) == ["pipe.jsonl"]


def test_what_a_killed_build_left_is_cleared_away_by_the_next(build_under_way, tmp_path):
    build_under_way.kill()
    build_under_way.communicate(timeout=60)
    assert names_in(tmp_path) == [".kb.unfinished", "pipe.jsonl"]
    docs = write_lines(tmp_path / "docs.jsonl", DOCUMENTS)
    run("build", tmp_path / "kb", docs, *BASE)
    assert names_in(tmp_path) == ["docs.jsonl", "kb", "pipe.jsonl"]


def test_a_running_build_is_left_alone(build_under_way, tmp_path):
    before = names_in(tmp_path)
    docs = write_lines(tmp_path / "docs.jsonl", DOCUMENTS)
    assert "is being built by another process" in error_of("build", tmp_path / "kb", docs, *BASE)
    assert build_under_way.poll() is None
    assert names_in(tmp_path) == sorted([*before, "docs.jsonl"])


def test_add_skips_what_is_there(kb, docs, tmp_path):
    more = write_lines(tmp_path / "more.jsonl", [{"_id": "tax", "text": "How to file taxes jointly."}])
    report = run_json("add", kb, docs, more)
    assert (report["added"], report["unchanged"], report["n_documents"]) == (1, 4, 5)
    assert run_json("search", kb, "taxes jointly", "-k", 1)["hits"][0]["id"] == "tax"


def test_add_adds_all_or_none(kb, tmp_path):
    more = write_lines(tmp_path / "more.jsonl", [{"_id": "tax", "text": "How to file taxes jointly."}])
    changed = write_lines(tmp_path / "changed.jsonl", [{"_id": "zip", "text": "Another text."}])
    assert "'zip'" in error_of("add", kb, more, changed)
    assert len(run_json("search", kb, "taxes", "-k", 10)["hits"]) == 4
    assert "does not exist" in error_of("add", kb, tmp_path / "nothing.jsonl")


def test_search_gives_whole_hits(kb):
    found = run_json("search", kb, "my bank card was stolen", "-k", 2)
    assert set(found) == {"query", "hits", "routing"}
    best = found["hits"][0]
    assert set(best) == {"id", "score", "title", "text", "metadata", "span"}
    assert (best["id"], best["title"], best["metadata"]) == ("card", "Lost card", {"lang": "en"})
    assert best["text"][slice(*best["span"])] == DOCUMENTS[0]["text"]
    assert found["hits"][1]["score"] <= best["score"]
    assert {"weights", "predicted_gains", "held_back"} <= set(found["routing"])
    assert found["routing"]["weights"]["base"] == pytest.approx(1.0)


def test_search_gives_all_documents_if_k_is_larger(kb):
    assert len(run_json("search", kb, "files", "-k", 100)["hits"]) == 4


def test_search_for_people(kb):
    lines = run("search", kb, "wie repariere ich eine Tür", "-k", 1, "--base-only").stdout.splitlines()
    assert lines[0].startswith("  1  ")
    assert lines[0].endswith("  tür  Türen")
    assert lines[1] == "     Wie man eine klemmende Tür repariert."
    assert lines[3].startswith("Routing: base 1.00")


def test_search_with_a_file_of_queries(kb, tmp_path):
    path = tmp_path / "queries.txt"
    path.write_text("stolen bank card\nasthma and breathing\n", encoding="utf-8")
    found = run_json("search", kb, "--queries", path, "-k", 1)
    assert [one["query"] for one in found] == ["stolen bank card", "asthma and breathing"]
    assert [one["hits"][0]["id"] for one in found] == ["card", "asthma"]
    text = run("search", kb, "--queries", path, "-k", 1).stdout
    assert text.index("stolen bank card\n") < text.index("asthma and breathing\n")


def test_search_with_bm25_alone(kb):
    found = run_json("search", kb, "unzip", "--expert", "bm25", "-k", 1)
    assert found["hits"][0]["id"] == "zip"


def test_search_refuses(kb, tmp_path):
    assert "'nobody'" in error_of("search", kb, "q", "--expert", "nobody")
    assert "blank" in error_of("search", kb, " ")
    assert "nothing" in error_of("search", tmp_path / "nothing", "q")


def test_route(kb):
    routing = run_json("route", kb, "stolen card")
    assert routing["weights"]["base"] == pytest.approx(1.0)
    assert run("route", kb, "stolen card").stdout.startswith("Routing: base 1.00")
    assert "bm25" not in run_json("route", kb, "stolen card", "--disable", "bm25")["weights"]
    assert "bm25" not in run_json("search", kb, "stolen card", "--disable", "bm25")["routing"]["weights"]


def test_info(kb):
    assert isinstance(run_json("info", kb), dict)
    assert run("info", kb).stdout


def test_experts_of_an_index_without_a_pack(kb, tmp_path):
    assert run_json("experts", "list", kb) == []
    assert "'nobody'" in error_of("experts", "remove", kb, "nobody")
    error_of("experts", "add", kb, tmp_path / "nothing")


def labelled(n):
    """Queries in words that no document has, each answered by one document."""
    words = ["plastic", "bundle", "Pforte", "wheeze"]
    ids = ["card", "zip", "tür", "asthma"]
    return [{"query": f"{words[i % 4]} {i % 5}", "relevant": [ids[i % 4]]} for i in range(n)]


def test_tune_says_what_it_did_and_remove_undoes_it(kb, tmp_path):
    path = write_lines(tmp_path / "labelled.jsonl", labelled(40))
    report = run_json("tune", kb, "--queries", path, "--force")
    assert report["installed"] is True
    assert {"before", "after", "p_value", "seconds"} <= set(report)
    assert "tuned" in [one["expert"] for one in run_json("experts", "list", kb)]
    run("experts", "remove", kb, "tuned")
    assert "tuned" not in [one["expert"] for one in run_json("experts", "list", kb)]


def test_tune_says_what_more_queries_may_add_and_draws_it(kb, tmp_path):
    path = write_lines(tmp_path / "labelled.jsonl", labelled(40))
    picture = tmp_path / "curve.svg"
    text = run("tune", kb, "--queries", path, "--picture", picture, "--force").stdout
    assert "another 40 may add about" in text
    assert picture.read_bytes().startswith(b"<?xml")
    run("experts", "remove", kb, "tuned")
    assert ".png or .svg" in error_of("tune", kb, "--queries", path, "--picture", tmp_path / "curve.gif")


def test_tune_takes_a_click_log(kb, tmp_path):
    clicks = [{"query": line["query"], "clicked": line["relevant"]} for line in labelled(20)]
    path = write_lines(tmp_path / "log.jsonl", clicks)
    assert run_json("tune", kb, "--clicks", path)["n_queries"] == 20
    broken = write_lines(tmp_path / "broken.jsonl", [*clicks, {"query": "q"}])
    assert "broken.jsonl:21 has None as 'clicked'" in error_of("tune", kb, "--clicks", broken)
    unknown = write_lines(tmp_path / "unknown.jsonl", [{"query": "q", "clicked": ["nobody"]}])
    assert "'nobody'" in error_of("tune", kb, "--clicks", unknown, "--name", "other")
    assert "20 of the 20 labelled queries taught expert 'tuned'" in error_of(
        "tune", kb, "--clicks", path, "--name", "b"
    )
    assert "at least 2 clicks" in error_of("tune", kb, "--clicks", path, "--least-clicks", 2)


def test_tune_wants_one_source_of_queries(kb, tmp_path):
    path = write_lines(tmp_path / "labelled.jsonl", labelled(20))
    assert "Give one of" in error_of("tune", kb, "--force")
    assert "Give one of" in error_of("tune", kb, "--queries", path, "--clicks", path)


def test_tune_without_queries_says_why_it_learned_nothing(kb):
    report = run_json("tune", kb)
    assert report["installed"] is False
    assert report["reason"] in run("tune", kb).stdout


def test_tune_refuses_labels_of_documents_that_are_not_there(kb, tmp_path):
    path = write_lines(tmp_path / "labelled.jsonl", [*labelled(20), {"query": "q", "relevant": ["nobody"]}])
    assert "'nobody'" in error_of("tune", kb, "--queries", path)


def test_a_folder_that_is_no_index_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for command in (["info"], ["route", "q"], ["search", "q"], ["experts list"]):
        first, *rest = command
        message = error_of(*first.split(), tmp_path / "empty", *rest)
        assert str(tmp_path / "empty") in message


def test_packs_are_listed():
    assert "minilm-domains" in run_json("pack", "list")
    assert all(Path(folder).is_dir() for folder in run_json("pack", "list").values())


def test_warm_says_what_runs_queries(kb):
    assert run_json("warm", kb) == {"index": str(kb), "graphs": []}
    assert "without a graph" in run("warm", kb).stdout
