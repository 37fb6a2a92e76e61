import gzip
import json

import numpy as np
import pytest

from routeret.artifact import MANIFEST
from routeret.datasets import load_dataset
from routeret.errors import ArtifactError, CorpusError, DuplicateIdError, InputError
from routeret.mining import BipartiteGraph, graph_of_qrels, mine_bipartite, sentence_graph

SKILLS = {"s1": "weld", "s2": "paint", "s3": "schweißen"}
JOBS = {"j1": "welder", "j2": "painter", "j3": "driver"}
EDGES = [("s2", "j2"), ("s1", "j1"), ("s3", "j1"), ("s2", "j1")]


def write_corpus(path, texts):
    path.write_text("".join(json.dumps({"_id": one, "text": text}) + "\n" for one, text in texts.items()))
    return path


def write_edges(path, edges, **more):
    path.write_text("".join(json.dumps({"left": one, "right": two, **more}) + "\n" for one, two in edges))
    return path


@pytest.fixture
def sides(tmp_path):
    skills = write_corpus(tmp_path / "skills.jsonl", SKILLS)
    return {"left": skills, "right": write_corpus(tmp_path / "jobs.jsonl", JOBS)}


@pytest.fixture
def listed(tmp_path):
    return write_edges(tmp_path / "edges.jsonl", EDGES)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "skill_job"


def rows(*pairs):
    return np.array(pairs, dtype=np.int64)


def test_a_list_becomes_a_graph(listed, sides, out):
    report = mine_bipartite(listed, **sides, out=out)
    graph = BipartiteGraph.load(out)
    assert graph.name == report.name == "skill_job"
    assert graph.left_ids == ("s1", "s2", "s3")
    assert graph.left_texts == ("weld", "paint", "schweißen")
    assert (graph.right_ids, graph.right_texts) == (("j1", "j2"), ("welder", "painter"))
    assert graph.edges.dtype == np.int64
    assert graph.edges.tolist() == [[0, 0], [1, 0], [1, 1], [2, 0]]
    assert graph.weights.dtype == np.float32
    assert graph.weights.tolist() == [1, 1, 1, 1]
    assert [graph.positives_of_left(row).tolist() for row in range(3)] == [[0], [0, 1], [0]]
    assert [graph.positives_of_right(row).tolist() for row in range(2)] == [[0, 1, 2], [1]]
    found = graph.are_positive(np.array([2, 1]), np.array([0, 1, 0]))
    assert found.tolist() == [[True, False, True], [True, True, True]]
    assert report.as_dict() == {
        "name": "skill_job",
        "folder": str(out),
        "read_by_file": {str(listed): 4},
        "duplicate_edges": 0,
        "edges": 4,
        "left": 3,
        "right": 2,
        "left_without_edges": 0,
        "right_without_edges": 1,
    }


def test_the_files_are_plain(listed, sides, out):
    mine_bipartite(listed, **sides, out=out, name="welding")
    assert sorted(path.name for path in out.iterdir()) == ["edges.tsv", "left.jsonl", "manifest.json", "right.jsonl"]
    assert (out / "edges.tsv").read_text().splitlines()[:2] == ["left\tright\tweight", "0\t0\t1.0"]
    assert json.loads((out / "left.jsonl").read_text(encoding="utf-8").splitlines()[2]) == {
        "_id": "s3",
        "text": "schweißen",
    }
    manifest = json.loads((out / MANIFEST).read_text())
    assert (manifest["name"], manifest["n_left"], manifest["n_right"], manifest["n_edges"]) == ("welding", 3, 2, 4)


def test_several_lists_make_one_graph_with_every_edge_once(listed, sides, out, tmp_path):
    more = tmp_path / "more.csv.gz"
    more.write_bytes(gzip.compress(b"weight,right,left\n1.0,j1,s1\n0.25,j3,s1\n0.25,j3,s1\n"))
    report = mine_bipartite([listed, more], **sides, out=out)
    assert (report.read_by_file, report.duplicate_edges) == ({str(listed): 4, str(more): 3}, 2)
    graph = BipartiteGraph.load(out)
    assert graph.right_ids == ("j1", "j2", "j3")
    assert graph.edges.tolist() == [[0, 0], [0, 2], [1, 0], [1, 1], [2, 0]]
    assert graph.weights.tolist() == [1, 0.25, 1, 1, 1]


def test_an_edge_with_two_weights_is_an_error(listed, sides, out, tmp_path):
    more = write_edges(tmp_path / "more.jsonl", [("s3", "j1"), ("s2", "j1")], weight=2)
    message = r"more.jsonl:1 gives the edge 's3' - 'j1' the weight 2, an earlier line 1; keep one of the two"
    with pytest.raises(CorpusError, match=message):
        mine_bipartite([listed, more], **sides, out=out)
    assert not out.exists()


@pytest.mark.parametrize("weight", [0, -1, True, "x", "", None, [], float("nan"), float("inf"), 1e300])
def test_bad_weights_name_file_and_line(sides, out, tmp_path, weight):
    listed = write_edges(tmp_path / "edges.jsonl", EDGES, weight=weight)
    with pytest.raises(CorpusError, match=r"edges.jsonl:1 has the weight .*; expected a number from"):
        mine_bipartite(listed, **sides, out=out)


def test_unknown_ids_name_file_line_and_side(sides, out, tmp_path):
    for edge, message in (
        (("s9", "j1"), r"edges.jsonl:2 names 's9', which the left corpus does not hold; add it there, or remove"),
        (("s1", "s2"), r"edges.jsonl:2 names 's2', which the right corpus does not hold"),
    ):
        listed = write_edges(tmp_path / "edges.jsonl", [("s1", "j1"), edge])
        with pytest.raises(CorpusError, match=message):
            mine_bipartite(listed, **sides, out=out)
    assert not out.exists()


def test_swapped_sides_say_so_and_can_be_swapped(listed, sides, out, tmp_path):
    swapped = write_edges(tmp_path / "swapped.jsonl", [edge[::-1] for edge in EDGES])
    message = (
        r"swapped.jsonl:1 has its sides swapped: 's2' is in the left corpus and 'j2' in the right one; give --swap"
    )
    with pytest.raises(CorpusError, match=message):
        mine_bipartite(swapped, **sides, out=out)
    mine_bipartite(swapped, **sides, out=out, swap=True)
    mine_bipartite(listed, **sides, out=tmp_path / "straight", name="skill_job")
    assert (out / "edges.tsv").read_bytes() == (tmp_path / "straight" / "edges.tsv").read_bytes()
    with pytest.raises(CorpusError, match=r"edges.jsonl:1 has its sides swapped.*do without --swap"):
        mine_bipartite(listed, **sides, out=tmp_path / "third", swap=True)


def test_titles_belong_to_an_entitys_text(tmp_path, out):
    documents = [{"id": "a", "title": "Welder", "text": "joins metal"}, {"id": "b", "title": "Painter", "text": ""}]
    corpus = tmp_path / "jobs.jsonl"
    corpus.write_text("".join(json.dumps(one) + "\n" for one in documents))
    listed = write_edges(tmp_path / "edges.jsonl", [("a", "b"), ("b", "a")])
    mine_bipartite(listed, left=corpus, right=corpus, out=out)
    assert BipartiteGraph.load(out).left_texts == ("Welder joins metal", "Painter")


def test_wrong_calls(listed, sides, out, tmp_path):
    with pytest.raises(InputError, match="the edge lists are none; give at least one"):
        mine_bipartite([], **sides, out=out)
    with pytest.raises(InputError, match="give at least one, each once"):
        mine_bipartite([listed, listed], **sides, out=out)
    with pytest.raises(InputError, match="the graph is called ' '"):
        mine_bipartite(listed, **sides, out=out, name=" ")
    (tmp_path / "edges.csv").write_text("a\nb\n")
    with pytest.raises(CorpusError, match=r"edges.csv:1 has the columns 'a' and no 'left'"):
        mine_bipartite(tmp_path / "edges.csv", **sides, out=out)
    double = tmp_path / "double.jsonl"
    double.write_text(sides["left"].read_text() * 2)
    with pytest.raises(DuplicateIdError, match="'s1' comes twice"):
        mine_bipartite(listed, left=double, right=sides["right"], out=out)
    out.mkdir()
    with pytest.raises(ArtifactError, match="exists already"):
        mine_bipartite(listed, **sides, out=out)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["skill_job"]


def test_a_graph_of_one_edge():
    graph = BipartiteGraph.from_edges("g", rows((1, 1)), left=SKILLS, right=JOBS, weights=np.array([0.1], np.float32))
    assert (graph.left_ids, graph.right_ids, graph.edges.tolist()) == (("s2",), ("j2",), [[0, 0]])
    assert graph.positives_of_left(0).tolist() == graph.positives_of_right(0).tolist() == [0]
    assert graph.are_positive(np.array([0]), np.zeros(0, dtype=np.int64)).shape == (1, 0)
    for row in (-1, 1):
        with pytest.raises(InputError, match=rf"there is no row {row}; the rows of this side are 0 to 0"):
            graph.positives_of_left(row)
        with pytest.raises(InputError, match=rf"there is no row {row}"):
            graph.positives_of_right(row)


def test_edges_that_lead_nowhere():
    with pytest.raises(InputError, match="has no edge"):
        BipartiteGraph.from_edges("g", np.zeros((0, 2), dtype=np.int64), left=SKILLS, right=JOBS)
    for bad in (rows((0, 3)), rows((-1, 0))):
        with pytest.raises(InputError, match=r"expected 0 to \[2, 2\]"):
            BipartiteGraph.from_edges("g", bad, left=SKILLS, right=JOBS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left_texts": ("weld",)}, "2 ids, 2 of them different, and 1 texts on the left"),
        ({"right_ids": ("j1", "j1")}, "2 ids, 1 of them different, and 2 texts on the right"),
        ({"edges": rows((0, 0), (0, 1))}, "2 entities on the left, and edges of 1 rows from 0 to 0"),
        ({"edges": rows((1, 1), (0, 0))}, "not sorted"),
        ({"edges": rows((0, 0), (1, 1), (1, 1)), "weights": np.ones(3, np.float32)}, "one comes twice"),
        ({"edges": np.zeros((2, 3), dtype=np.int64)}, r"edges of shape \(2, 3\)"),
        ({"weights": np.ones(3, np.float32)}, r"weights of shape \(3,\)"),
        ({"weights": np.array([1, np.nan], np.float32)}, "weight that is not a finite number above 0"),
    ],
)
def test_what_is_no_graph(change, message):
    fields = {
        "left_ids": ("s1", "s2"),
        "left_texts": ("weld", "paint"),
        "right_ids": ("j1", "j2"),
        "right_texts": ("welder", "painter"),
        "edges": rows((0, 0), (1, 1)),
        "weights": np.ones(2, np.float32),
    }
    BipartiteGraph("g", **fields)
    with pytest.raises(InputError, match=message):
        BipartiteGraph("g", **{**fields, **change})


def test_weights_come_back_as_they_were(out):
    weights = np.array([0.1, 1e-30, 1e30, 1 / 3], dtype=np.float32)
    edges = rows((0, 0), (0, 1), (1, 0), (2, 2))
    graph = BipartiteGraph.from_edges("g", edges, left=SKILLS, right=JOBS, weights=weights)
    graph.save(out)
    np.testing.assert_array_equal(BipartiteGraph.load(out).weights, weights)
    with pytest.raises(ArtifactError, match="exists already"):
        graph.save(out)


def test_damage_is_told(listed, sides, out):
    with pytest.raises(ArtifactError, match="has no manifest.json"):
        BipartiteGraph.load(out)
    mine_bipartite(listed, **sides, out=out)
    (out / "edges.tsv").write_text("left\tright\tweight\n0\t0\t1\n")
    with pytest.raises(ArtifactError, match="edges.tsv is damaged"):
        BipartiteGraph.load(out)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": "d1", "title": "Welder", "text": "Joins metal. Works in a hall."},
        {"_id": "d2", "title": "Painter", "text": "Paints walls.\n\nWorks in a hall."},
        {"_id": "d3", "title": "Driver", "text": ""},
        {"_id": "d4", "title": "Welder", "text": "Cuts metal."},
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    queries = [{"_id": f"q{number}", "text": text} for number, text in enumerate(["weld", "paint", "drive"])]
    (folder / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in queries))
    (folder / "qrels" / "train.tsv").write_text("q1\td4\t2\nq1\td2\t1\nq0\td4\t1\nq2\td3\t0\n")
    (folder / "qrels" / "dev.tsv").write_text("q2\td3\t0\n")
    return folder


def test_the_graph_of_judged_queries(folder):
    graph = graph_of_qrels(load_dataset(folder), "train")
    assert graph.name == "tiny_train"
    assert (graph.left_ids, graph.left_texts) == (("q0", "q1"), ("weld", "paint"))
    assert graph.right_ids == ("d2", "d4")
    assert graph.right_texts[1] == "Welder Cuts metal."
    assert graph.edges.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert graph_of_qrels(load_dataset(folder), "train", name="title_job").name == "title_job"


def test_judged_queries_that_give_no_graph(folder):
    with pytest.raises(CorpusError, match="split 'dev' of data set 'tiny' has no relevant document"):
        graph_of_qrels(load_dataset(folder), "dev")
    with pytest.raises(CorpusError, match="has no split 'test'"):
        graph_of_qrels(load_dataset(folder), "test")
    (folder / "qrels" / "test.tsv").write_text("q0\td9\t1\n")
    with pytest.raises(CorpusError, match="test.tsv judges document 'd9'"):
        graph_of_qrels(load_dataset(folder), "test")


def test_the_graph_of_sentences_joins_equal_sentences_and_equal_titles(folder):
    graph = sentence_graph(folder)
    assert graph.name == "tiny_sentences"
    assert graph.left_texts == ("Joins metal.", "Works in a hall.", "Paints walls.", "Cuts metal.")
    assert graph.left_ids == ("d1:0-12", "d1:13-29", "d2:0-13", "d4:0-11")
    assert (graph.right_ids, graph.right_texts) == (("d1", "d2"), ("Welder", "Painter"))
    assert graph.edges.tolist() == [[0, 0], [1, 0], [1, 1], [2, 1], [3, 0]]


def test_documents_that_give_no_sentences():
    with pytest.raises(CorpusError, match=r"\[1\] has no title \(document 'b'\)"):
        sentence_graph_of({"id": "a", "title": "A", "text": "One."}, {"id": "b", "text": "Two."})
    with pytest.raises(CorpusError, match="has titles and no text"):
        sentence_graph_of({"id": "a", "title": "A"})
    with pytest.raises(DuplicateIdError, match="'a' comes twice"):
        sentence_graph_of({"id": "a", "title": "A", "text": "One."}, {"id": "a", "title": "B", "text": "Two."})


def sentence_graph_of(*documents):
    from routeret.corpus import Corpus

    return sentence_graph(Corpus.from_documents(documents))
