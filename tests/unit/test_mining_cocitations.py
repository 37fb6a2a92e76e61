import gzip
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from routeret.errors import ArtifactError, CorpusError, DuplicateIdError, InputError
from routeret.mining import DocumentSplit, mine_cocitations, parse_split
from routeret.mining.citations import CitationGraph
from routeret.mining.pair_files import put_in_place

# p1 cites a, b, c; p2 cites a, b; p3 cites b, c; so a-b and b-c count 2, a-c counts 1.
EDGES = [("p1", "b"), ("p1", "a"), ("p1", "c"), ("p2", "a"), ("p2", "b"), ("p3", "c"), ("p3", "b")]
AB, AC, BC = ({"a": a, "b": b, "count": n} for a, b, n in (("a", "b", 2), ("a", "c", 1), ("b", "c", 2)))


def write_edges(path, edges):
    path.write_text("".join(json.dumps({"citing": a, "cited": b}) + "\n" for a, b in edges), encoding="utf-8")
    return path


def write_corpus(path, ids):
    path.write_text("".join(json.dumps({"_id": one, "text": "some text"}) + "\n" for one in ids), encoding="utf-8")
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def listed(tmp_path):
    return write_edges(tmp_path / "edges.jsonl", EDGES)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "pairs.jsonl"


def left_behind(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_pairs_are_sorted_and_counted(listed, out, tmp_path):
    report = mine_cocitations(listed, out=out)
    assert out.read_text().splitlines()[0] == '{"a": "a", "b": "b", "count": 2}'
    assert read(out) == [AB, AC, BC]
    assert (report.edges, report.distinct_edges, report.papers, report.documents) == (7, 7, 3, 3)
    assert (report.found_pairs, report.pairs, report.files) == (3, 3, (str(out),))
    assert report.pairs_by_split == report.documents_by_split == report.left_out_papers == {}
    assert left_behind(tmp_path) == ["edges.jsonl", "pairs.jsonl"]


def test_csv_and_gzip_give_the_same(listed, out, tmp_path):
    mine_cocitations(listed, out=out)
    lines = "year,cited,citing\n\n" + "".join(f'1999,"{b}",{a}\n' for a, b in EDGES)
    (tmp_path / "edges.csv").write_text(lines)
    (tmp_path / "edges.csv.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "edges.jsonl.gz").write_bytes(gzip.compress(listed.read_bytes()))
    for number, name in enumerate(("edges.csv", "edges.csv.gz", "edges.jsonl.gz")):
        mine_cocitations(tmp_path / name, out=tmp_path / f"{number}.jsonl")
        assert (tmp_path / f"{number}.jsonl").read_bytes() == out.read_bytes()
    for name in ("1.jsonl.gz", "2.jsonl.gz"):
        mine_cocitations(listed, out=tmp_path / name)
        assert gzip.decompress((tmp_path / name).read_bytes()) == out.read_bytes()
    assert (tmp_path / "1.jsonl.gz").read_bytes() == (tmp_path / "2.jsonl.gz").read_bytes()


def test_self_citations_and_duplicates_are_left_out_and_counted(out, tmp_path):
    listed = write_edges(tmp_path / "edges.jsonl", [*EDGES, ("p1", "a"), ("a", "a"), ("p1", "a")])
    report = mine_cocitations(listed, out=out)
    assert read(out) == [AB, AC, BC]
    assert (report.edges, report.self_citations, report.duplicate_edges, report.distinct_edges) == (10, 1, 2, 7)


def test_min_count(listed, out):
    report = mine_cocitations(listed, out=out, min_count=2)
    assert read(out) == [AB, BC]
    assert (report.found_pairs, report.below_min_count, report.pairs) == (3, 1, 2)


def test_a_pair_stays_if_it_is_among_the_best_of_both_and_ties_go_to_the_lower_id(listed, out):
    # The best of b is a (2, as c, and the lower id); that of a is b; that of c is b, which prefers a.
    report = mine_cocitations(listed, out=out, most_per_document=1)
    assert read(out) == [AB]
    assert (report.over_cap, report.pairs) == (2, 1)


def test_a_cap_larger_than_what_is_there_keeps_all(listed, out):
    assert mine_cocitations(listed, out=out, most_per_document=9).over_cap == 0
    assert read(out) == [AB, AC, BC]


def test_papers_with_too_many_references_are_named(listed, out):
    report = mine_cocitations(listed, out=out, most_references=2)
    assert report.left_out_papers == {"p1": 3}
    assert report.as_dict()["n_left_out_papers"] == 1
    assert report.papers == 3
    assert read(out) == [AB | {"count": 1}, BC | {"count": 1}]


def test_held_out_papers_count_neither_as_citing_nor_as_cited(listed, out):
    report = mine_cocitations(listed, out=out, hold_out=["p2", "c", "unseen"])
    assert read(out) == [AB | {"count": 1}]
    assert (report.held_out_edges, report.held_out_papers, report.distinct_edges) == (4, 2, 3)


def test_held_out_ids_that_hold_nothing_out_are_an_error(listed, out, tmp_path):
    with pytest.raises(InputError, match=r"none of the 2 held-out ids is in .*edges.jsonl, the first of them 'P1'"):
        mine_cocitations(listed, out=out, hold_out=["P1", "P2"])
    with pytest.raises(InputError, match=r"hold_out is one text 'p1'.*write \[id\]"):
        mine_cocitations(listed, out=out, hold_out="p1")
    assert left_behind(tmp_path) == ["edges.jsonl"]


def test_a_cited_document_must_be_in_the_corpus_a_citing_paper_need_not(listed, out, tmp_path):
    corpus = write_corpus(tmp_path / "corpus.jsonl", ["a", "b", "z"])
    message = r"edges.jsonl:3 cites 'c', which corpus .* does not hold; add the document, .*--skip-unknown"
    with pytest.raises(CorpusError, match=message):
        mine_cocitations(listed, out=out, corpus=corpus)
    assert not out.exists()
    report = mine_cocitations(listed, out=out, corpus=corpus, skip_unknown=True)
    assert read(out) == [AB]
    assert (report.unknown_edges, report.distinct_edges) == (2, 5)
    with pytest.raises(InputError, match="only be skipped beside a corpus"):
        mine_cocitations(listed, out=tmp_path / "other.jsonl", skip_unknown=True)


def test_ids_are_compared_as_they_stand(out, tmp_path):
    listed = write_edges(tmp_path / "edges.jsonl", [("p", "é"), ("p", "e\u0301"), ("p", "Z"), ("p", 'a"\t')])
    mine_cocitations(listed, out=out)
    ids = ["Z", 'a"\t', "e\u0301", "é"]
    assert [(one["a"], one["b"]) for one in read(out)] == [(ids[i], ids[j]) for i in range(4) for j in range(i + 1, 4)]


def test_a_split_leaks_no_document_and_gets_a_file_each(out, tmp_path):
    shares = {"train": 0.5, "test": 0.5}
    ids = [f"d{number}" for number in range(20)]
    listed = write_edges(tmp_path / "edges.jsonl", [("p", one) for one in ids])
    split = DocumentSplit(shares, seed=7)
    n_train = sum(split.name_of(one) == "train" for one in ids)
    assert 5 < n_train < 15
    report = mine_cocitations(listed, out=out, split=shares, seed=7)
    assert report.files == (str(tmp_path / "pairs.train.jsonl"), str(tmp_path / "pairs.test.jsonl"))
    n_test = 20 - n_train
    pairs = {"train": n_train * (n_train - 1) // 2, "test": n_test * (n_test - 1) // 2}
    assert report.pairs_by_split == pairs
    assert report.documents_by_split == {"train": n_train, "test": n_test}
    assert report.across_splits == n_train * n_test
    for name in shares:
        found = read(tmp_path / f"pairs.{name}.jsonl")
        assert {split.name_of(one[end]) for one in found for end in "ab"} == {name}
    assert not out.exists()


def test_a_split_without_pairs_is_an_empty_file(tmp_path):
    listed = write_edges(tmp_path / "edges.jsonl", [("p", "a"), ("p", "b")])
    split = {"train": 0.999999, "x-1": 0.000001}
    report = mine_cocitations(listed, out=tmp_path / "pairs.tsv.gz", split=split)
    assert report.pairs_by_split == {"train": 1, "x-1": 0}
    assert gzip.decompress((tmp_path / "pairs.x-1.tsv.gz").read_bytes()) == b""


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("pairs.jsonl.gz", ["pairs.dev.jsonl.gz"]),
        ("pairs", ["pairs.dev"]),
        ("my.pairs.jsonl", ["my.pairs.dev.jsonl"]),
        (".pairs", [".pairs.dev"]),
    ],
)
def test_the_splits_name_goes_before_the_ending(listed, tmp_path, name, files):
    report = mine_cocitations(listed, out=tmp_path / name, split={"dev": 1.0})
    assert report.files == tuple(str(tmp_path / file) for file in files)


def test_shares_of_many_documents_come_out_right():
    split = DocumentSplit({"train": 0.8, "dev": 0.1, "test": 0.1})
    names = [split.name_of(f"d{number}") for number in range(10_000)]
    assert abs(names.count("train") - 8000) < 120  # three standard deviations
    assert abs(names.count("dev") - 1000) < 90
    other = DocumentSplit({"train": 0.8, "dev": 0.1, "test": 0.1}, seed=1)
    assert [other.name_of(f"d{number}") for number in range(100)] != names[:100]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "has 'train', expected NAME=SHARE"),
        ("train=x,dev=1", "has 'train=x', expected NAME=SHARE"),
        ("a=0.5,a=0.5", "names split 'a' twice"),
    ],
)
def test_split_texts(text, message):
    with pytest.raises(InputError, match=message):
        parse_split(text)


def test_a_split_text_is_read():
    assert parse_split("train=0.8, dev = 0.1,test=.1") == {"train": 0.8, "dev": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "found 0 splits"),
        ({"a/b": 1.0}, "called 'a/b'"),
        ({"a": 1.5, "b": -0.5}, "share of split 'a' is 1.5"),
        ({"a": float("nan")}, "share of split 'a' is nan"),
        ({"a": 0.5, "b": 0.4}, "sum to 0.9, expected 1"),
    ],
)
def test_bad_shares(shares, message):
    with pytest.raises(InputError, match=message):
        DocumentSplit(shares)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.jsonl", '{"citing": "p", "cited": "a"}\n{"citing": "p"}\n', r"e.jsonl:2 has no 'cited'; it has 'citing'"),
        ("e.jsonl", '{"citing": "p", "cited": " "}\n', r"e.jsonl:1 has a blank 'cited'"),
        ("e.jsonl", '{"citing": 7, "cited": "a"}\n', r"e.jsonl:1 has 7 \(int\) as 'citing'; ids must be strings"),
        ("e.jsonl", '{"citing": "p", "cited": "\\ud800"}\n', r"e.jsonl:1 has half a surrogate pair in 'cited'"),
        ("e.jsonl", '{"citing": "p", "cited": "a"}\n{"citing": \n', r"e.jsonl:2 is not valid JSON"),
        ("e.jsonl", '["p", "a"]\n', r"e.jsonl:1 is a JSON list"),
        ("e.jsonl", "\n", r"e.jsonl holds no edge"),
        ("e.csv", "citing,cited\n", r"e.csv holds no edge"),
        ("e.csv", "p1,a\np1,b\n", r"e.csv:1 has the columns 'p1', 'a' and no 'citing'; the first line must name"),
        ("e.csv", "citing,cited\np,a\np\n", r"e.csv:3 has 1 cells, the header has 2 columns \(citing, cited\)"),
        ("e.csv", "citing,cited\np,\n", r"e.csv:2 has a blank 'cited'"),
        ("e.csv", 'citing,cited\np,"a\n', r"e.csv:2 is not valid CSV"),
        ("e.csv", "citing,cited,cited\np,a,b\n", r"e.csv:1 names a column twice"),
        ("e.txt", "p a\n", r"e.txt is of an unknown kind; give JSON lines .* with 'citing' and 'cited'"),
    ],
)
def test_broken_lists_name_file_and_line(tmp_path, out, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        mine_cocitations(tmp_path / name, out=out)
    assert left_behind(tmp_path) == [name]


def test_missing_lists_and_corpora(tmp_path, listed, out):
    with pytest.raises(CorpusError, match="no.jsonl does not exist"):
        mine_cocitations(tmp_path / "no.jsonl", out=out)
    with pytest.raises(CorpusError, match="is a folder"):
        mine_cocitations(tmp_path, out=out)
    with pytest.raises(CorpusError, match="no-corpus does not exist"):
        mine_cocitations(listed, out=out, corpus=tmp_path / "no-corpus")
    with pytest.raises(InputError, match="folder .*nowhere does not exist"):
        mine_cocitations(listed, out=tmp_path / "nowhere" / "pairs.jsonl")


def test_a_corpus_with_an_id_twice_is_an_error(tmp_path, listed, out):
    corpus = write_corpus(tmp_path / "corpus.jsonl", ["a", "b", "c", "a"])
    with pytest.raises(DuplicateIdError, match=r"'a' comes twice: at .*corpus.jsonl:1 and at .*corpus.jsonl:4"):
        mine_cocitations(listed, out=out, corpus=corpus)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"min_count": 0}, "min_count is 0"),
        ({"most_per_document": 0}, "most_per_document is 0"),
        ({"most_references": 1}, "most_references is 1, expected at least 2"),
        ({"split": {"train": 0.5}}, "sum to 0.5"),
        ({"min_count": 3}, "cite 3 pairs together; of these, 3 are cited by fewer than 3 papers and 0 lie across"),
    ],
)
def test_arguments_out_of_range_and_nothing_left(listed, out, tmp_path, setting, message):
    with pytest.raises(InputError, match=message):
        mine_cocitations(listed, out=out, **setting)
    assert left_behind(tmp_path) == ["edges.jsonl"]


@pytest.mark.parametrize("edges", [[("p", "a")], [("a", "a")], [("p", "a"), ("q", "b")]])
def test_a_graph_without_a_pair(tmp_path, out, edges):
    with pytest.raises(InputError, match="no pair of documents is left"):
        mine_cocitations(write_edges(tmp_path / "edges.jsonl", edges), out=out)


def test_nothing_is_written_over(listed, out, tmp_path):
    out.write_text("mine")
    (tmp_path / "pairs.dev.jsonl").write_text("mine")
    for split in (None, {"train": 0.5, "dev": 0.5}):
        with pytest.raises(ArtifactError, match="exists already; choose another file or remove it first"):
            mine_cocitations(listed, out=out, split=split)
    assert left_behind(tmp_path) == ["edges.jsonl", "pairs.dev.jsonl", "pairs.jsonl"]


def test_all_files_get_their_names_or_none(tmp_path):
    parts, files = ([tmp_path / f"{kind}{number}" for number in range(2)] for kind in ("part", "pairs"))
    for part in parts:
        part.write_text("new")
    files[1].write_text("another's")
    with pytest.raises(ArtifactError, match="pairs1 was written by another process meanwhile"):
        put_in_place(parts, files)
    assert left_behind(tmp_path) == ["pairs1", "part0", "part1"]
    assert files[1].read_text() == "another's"


def test_a_full_disk_is_told(tmp_path):
    with closing(CitationGraph(tmp_path)) as graph:
        graph._connection.execute("PRAGMA max_page_count = 12")
        with pytest.raises(ArtifactError, match=r"cannot be kept in .*full.*make room"):
            graph.add((f"p{number}", f"d{number}") for number in range(10_000))


def status_of_this_process():
    status = Path("/proc/self/status")
    return status.read_text() if status.exists() else ""


@pytest.mark.skipif("VmHWM:" not in status_of_this_process(), reason="the system does not tell the most memory held")
def test_memory_hardly_grows_with_the_graph(tmp_path):
    script = Path(__file__).with_name("mined_memory.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    held = json.loads(done.stdout)
    # Of 72,000 edges more, two bytes a paper stay in memory. A database that may keep its pages takes megabytes.
    assert held["large"] - held["small"] < 1500
    assert held["with an ample cache"] - held["large"] > 2000
