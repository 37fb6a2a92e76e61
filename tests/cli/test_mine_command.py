import json

import pytest
from command_line import error_of, run, run_json, write_lines

from routeret.cli.mine import cocitations
from routeret.mining import BipartiteGraph
from routeret.mining.cocitations import MOST_REFERENCES


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lines(
        tmp_path / "citations.jsonl",
        [{"citing": citing, "cited": cited} for citing in ("p1", "p2", "p3") for cited in ("ä", "b", "c", citing)],
    )
    (tmp_path / "papers").mkdir()
    write_lines(tmp_path / "papers" / "corpus.jsonl", [{"_id": one, "text": f"On {one}."} for one in ("ä", "b")])
    write_lines(tmp_path / "skills.jsonl", [{"_id": "s1", "text": "weld"}, {"_id": "s2", "text": "paint"}])
    write_lines(tmp_path / "jobs.jsonl", [{"_id": "j1", "text": "welder"}])
    (tmp_path / "skill_job.csv").write_text("left,right,note\ns1,j1,certain\n")
    return tmp_path


def test_cocitations_prints_what_was_found_and_left_out(folder):
    result = run("mine", "cocitations", "citations.jsonl", "--out", "pairs.jsonl", "--most-references", "3")
    assert "edges: 12\n" in result.stdout
    assert "self_citations: 3\n" in result.stdout
    assert "files: pairs.jsonl\n" in result.stdout
    assert "Pairing: 100%" in result.stderr
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert pairs == [{"a": a, "b": b, "count": 3} for a, b in (("b", "c"), ("b", "ä"), ("c", "ä"))]


def test_cocitations_with_every_option(folder):
    (folder / "held-out.txt").write_text("p3\n")
    report = run_json(
        "mine", "cocitations", "citations.jsonl", "--out", "pairs.jsonl.gz", "--corpus", "papers", "--skip-unknown",
        "--min-count", "2", "--most-per-document", "1", "--most-references", "2", "--hold-out", "held-out.txt",
        "--split", "train=1", "--seed", "4",
    )  # fmt: skip
    assert (report["unknown_edges"], report["held_out_edges"], report["self_citations"]) == (2, 4, 2)
    assert (report["pairs"], report["pairs_by_split"], report["seed"]) == (1, {"train": 1}, 4)
    assert report["files"] == ["pairs.train.jsonl.gz"]
    assert (folder / "pairs.train.jsonl.gz").is_file()


def test_surveys_are_named(folder):
    citations = [{"citing": "survey", "cited": f"d{number}"} for number in range(5)]
    citations += [{"citing": "p", "cited": "d0"}, {"citing": "p", "cited": "d1"}]
    write_lines(folder / "more.jsonl", citations)
    result = run("mine", "cocitations", "more.jsonl", "--out", "pairs.jsonl", "--most-references", "4")
    assert "n_left_out_papers: 1\nleft_out_papers:\n  survey: 5\n" in result.stdout
    assert "pairs: 1\n" in result.stdout


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--corpus", "papers"], "citations.jsonl:3 cites 'c', which corpus 'papers' does not hold"),
        (["--split", "train"], "expected NAME=SHARE"),
        (["--hold-out", "none.txt"], "none.txt is no file"),
        (["--min-count", "4"], "no pair of documents is left"),
    ],
)
def test_bad_input_to_cocitations(options, message):
    assert message in error_of("mine", "cocitations", "citations.jsonl", "--out", "pairs.jsonl", *options)


@pytest.mark.usefixtures("folder")
def test_wrong_usage_of_cocitations():
    for options, message in (
        (["--min-count", "0"], "0 is not in the range x>=1"),
        (["--most-references", "1"], "1 is not in the range x>=2"),
        (["--out", "no/pairs.jsonl"], "folder no does not exist"),
    ):
        arguments = ["mine", "cocitations", "citations.jsonl", "--out", "pairs.jsonl", *options]
        assert message in run(*arguments, code=2).stderr


@pytest.mark.usefixtures("folder")
def test_bipartite_writes_a_graph_that_opens():
    sides = ("--left", "skills.jsonl", "--right", "jobs.jsonl")
    report = run_json("mine", "bipartite", "skill_job.csv", *sides, "--out", "graphs/skill_job")
    assert (report["name"], report["edges"], report["left_without_edges"]) == ("skill_job", 1, 1)
    assert BipartiteGraph.load("graphs/skill_job").left_texts == ("weld",)
    result = run("mine", "bipartite", "skill_job.csv", *sides, "--out", "other", "--name", "skills")
    assert "name: skills\n" in result.stdout
    assert "read_by_file:\n  skill_job.csv: 1\n" in result.stdout


@pytest.mark.usefixtures("folder")
def test_swapped_sides():
    swapped = ("mine", "bipartite", "skill_job.csv", "--left", "jobs.jsonl", "--right", "skills.jsonl", "--out", "g")
    message = error_of(*swapped)
    assert "skill_job.csv:2 has its sides swapped" in message
    assert "--swap" in message
    assert run_json(*swapped, "--swap")["edges"] == 1


def test_the_help_shows_the_librarys_own_limit():
    assert next(one.default for one in cocitations.params if one.name == "most_references") == MOST_REFERENCES
