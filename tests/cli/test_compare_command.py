"""``routeret compare``."""

import pytest
from command_line import error_of, run, run_json, write_lines

from routeret.datasets import write_run

QUERIES = {"q1": "lost card", "q2": "open a zip", "q3": "fix a door", "q4": "what is asthma"}


@pytest.fixture
def faq(tmp_path):
    """Query number n is answered by document number n."""
    folder = tmp_path / "faq"
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", [{"_id": f"d{n}", "text": f"document {n}"} for n in range(1, 5)])
    write_lines(folder / "queries.jsonl", [{"_id": query, "text": text} for query, text in QUERIES.items()])
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(1, 5))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


def ranked(path, rank_by_query, *, prefix=""):
    """A run that finds the answer of a query at a rank."""
    found = {
        query: {f"{prefix}x{place}": 10.0 - place for place in range(1, rank)} | {f"{prefix}d{query[1:]}": 10.0 - rank}
        for query, rank in rank_by_query.items()
    }
    write_run(path, found, system="test")
    return path


@pytest.fixture
def before(tmp_path):
    return ranked(tmp_path / "before.trec", {"q1": 2, "q2": 1, "q3": 4, "q4": 1})


@pytest.fixture
def after(tmp_path):
    return ranked(tmp_path / "after.trec", {"q1": 1, "q2": 1, "q3": 1, "q4": 2})


def test_two_runs_by_hand(faq, before, after):
    # MRR: 1/2, 1, 1/4, 1 and 1, 1, 1, 1/2; differences 1/2, 0, 3/4 and -1/2.
    found = run_json("compare", before, after, "--data", faq, "--by", "mrr@10")
    assert (found["measure"], found["baseline"], found["run"]) == ("mrr@10", 0.6875, 0.875)
    assert (found["wins"], found["ties"], found["losses"], found["n_clusters"]) == (2, 1, 1, 4)
    # Of 8 sign patterns of 1/2, 3/4 and 1/2, all but those with sum +-1/4 lie as far out as 3/4: 8 - 2.
    assert found["test"]["p_value"] == 6 / 8
    assert found["test"]["mean"] == 0.1875
    assert found["non_inferior"] is False
    assert found["changes"] == [
        {"query_id": "q3", "text": "fix a door", "baseline": 0.25, "run": 1.0},
        {"query_id": "q1", "text": "lost card", "baseline": 0.5, "run": 1.0},
        {"query_id": "q4", "text": "what is asthma", "baseline": 1.0, "run": 0.5},
    ]


def test_what_people_read(faq, before, after):
    lines = run("compare", before, after, "--data", faq, "--by", "mrr@10").stdout.splitlines()
    assert lines[0].startswith("mrr@10 0.688 -> 0.875: +0.188 [")
    assert lines[0].endswith("p = 0.7500, 2 wins, 1 ties, 1 losses over 4 queries")
    assert lines[1:] == [
        "Not inferior, at most 0.01 worse: no",
        "",
        "The queries that changed most:",
        "  0.250 -> 1.000  q3  fix a door",
        "  0.500 -> 1.000  q1  lost card",
        "  1.000 -> 0.500  q4  what is asthma",
    ]
    same = run("compare", after, after, "--data", faq).stdout.splitlines()
    assert same[1:] == ["Not inferior, at most 0.01 worse: yes"]


def test_a_run_of_one_index_over_several_sets(faq, before, after, tmp_path):
    merged = ranked(tmp_path / "merged.trec", {"q1": 1, "q2": 1, "q3": 1, "q4": 2}, prefix="faq/")
    expected = run_json("compare", before, after, "--data", faq)
    assert run_json("compare", before, merged, "--data", faq) == expected


def test_what_cannot_be_compared_is_refused(faq, before, after, tmp_path):
    nowhere = tmp_path / "nowhere.trec"
    assert f"{nowhere} is not a file" in error_of("compare", nowhere, after, "--data", faq)
    assert "unknown measure 'ndcg'" in error_of("compare", before, after, "--data", faq, "--by", "ndcg")
    assert "no split 'dev'" in error_of("compare", before, after, "--data", faq, "--split", "dev")
    other = ranked(tmp_path / "other.trec", {"r1": 1})
    assert "none of them among the 4 judged queries ('q1' and others)" in error_of(
        "compare", before, other, "--data", faq
    )
    strange = ranked(tmp_path / "strange.trec", {"q1": 1}, prefix="other/")
    assert "holds none of the 4 relevant documents ('d1'" in error_of("compare", before, strange, "--data", faq)
    broken = tmp_path / "broken.trec"
    broken.write_text("q1 Q0 d1 1\n")
    assert f"{broken}:1" in error_of("compare", broken, after, "--data", faq)


def test_a_hit_that_is_the_query_does_not_count(tmp_path):
    folder = tmp_path / "arguments"
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", [{"_id": "a", "text": "yes it is"}, {"_id": "b", "text": "no it is not"}])
    write_lines(folder / "queries.jsonl", [{"_id": "a", "text": "yes it is"}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\na\tb\t1\n")
    with_itself, without = tmp_path / "with.trec", tmp_path / "without.trec"
    write_run(with_itself, {"a": {"a": 2.0, "b": 1.0}}, system="test")
    write_run(without, {"a": {"b": 1.0}}, system="test")
    found = run_json("compare", with_itself, without, "--data", folder)
    assert (found["baseline"], found["run"]) == (1.0, 1.0)
