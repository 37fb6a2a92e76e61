"""``routeret eval --download``: public sets come when they are asked for, and only then."""

import pytest
from command_line import BASE, error_of, run, run_json, write_lines
from file_server import MEMBERS, serving, zipped

from routeret.downloads import fetching


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as served:
        source = served.put(zipped(MEMBERS))
        monkeypatch.setattr(fetching, "public_sets", lambda: {"tiny": source})
        yield served


@pytest.fixture
def index(tmp_path):
    lines = write_lines(tmp_path / "docs.jsonl", [{"_id": "d1", "text": "eins"}, {"_id": "d2", "text": "zwei"}])
    run("build", tmp_path / "kb", lines, *BASE)
    return tmp_path / "kb"


def test_a_missing_set_is_fetched_and_measured(server, index, tmp_path):
    arguments = ("eval", "--data", tmp_path / "sets" / "tiny", "--index", index, "--systems", "bm25")
    assert "sets/tiny is not a folder" in error_of(*arguments)
    assert server.asked == []
    report = run_json(*arguments, "--download")
    # Each query is the text of its document.
    assert report["datasets"]["tiny"]["systems"]["bm25"]["ndcg@10"] == 1.0
    assert server.asked == ["/tiny.zip"]
    assert run_json(*arguments, "--download") == report
    assert server.asked == ["/tiny.zip"]


def test_a_name_that_is_no_public_set(server, index, tmp_path):
    message = error_of("eval", "--data", tmp_path / "tyni", "--index", index, "--download")
    assert "tyni does not exist, and 'tyni' is no public data set; these can be fetched: tiny" in message
    assert server.asked == []
