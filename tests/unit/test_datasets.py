import gzip

import pytest

from routeret.datasets import check, load_dataset, read_run, write_run
from routeret.errors import CorpusError, InputError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "one"}\n{"_id": "d2", "text": "two"}\n')
    queries = '{"_id": "q2", "text": "zwei"}\n{"_id": "q1", "text": "eins"}\n{"_id": "q3", "text": "drei"}\n'
    (folder / "queries.jsonl.gz").write_bytes(gzip.compress(queries.encode()))
    header = "query-id\tcorpus-id\tscore\n"
    (folder / "qrels" / "test.tsv").write_text(f"{header}q1\td1\t2\nq2\td2\t1\nq2\td1\t0\n")
    (folder / "qrels" / "dev.tsv").write_text("q3\td2\t1\n")
    (folder / "qrels" / "train.tsv").write_text(header)
    return folder


def test_splits_hold_judged_queries_in_file_order(folder):
    dataset = load_dataset(folder)
    queries, qrels = dataset.split("test")
    assert dataset.name == dataset.corpus.name == "tiny"
    assert list(queries.items()) == [("q2", "zwei"), ("q1", "eins")]
    assert qrels == {"q2": {"d2": 1, "d1": 0}, "q1": {"d1": 2}}
    assert dataset.split("dev") == ({"q3": "drei"}, {"q3": {"d2": 1}})
    assert [document.id for document in dataset.load_documents()] == ["d1", "d2"]
    check(dataset, "test")
    assert load_dataset(folder, name="other").name == "other"


def test_missing_and_empty_splits_list_the_others(folder):
    dataset = load_dataset(folder)
    with pytest.raises(CorpusError, match="'tiny' has an empty split 'train'; it has: dev, test"):
        dataset.split("train")
    with pytest.raises(CorpusError, match="'tiny' has no split 'valid'; it has: dev, test"):
        dataset.split("valid")


def test_unknown_ids_in_qrels(folder):
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q1\td9\t1\nq2\td8\t1\n")
    with pytest.raises(CorpusError, match=r"test.tsv judges document 'd8'.*\(2 ids are unknown\)"):
        check(load_dataset(folder), "test")
    with (folder / "qrels" / "dev.tsv").open("a") as file:
        file.write("q9\td1\t1\n")
    with pytest.raises(CorpusError, match=r"dev.tsv judges query 'q9'.*\(1 id is unknown\)"):
        load_dataset(folder).split("dev")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 0 d1 1", "test.tsv:5 is 'q1 0 d1 1'; expected a query id"),
        ("q1\td1\t0.5", "test.tsv:5"),
        ("q1\td1\t1", "test.tsv:5 grades document 'd1' 1 for query 'q1', an earlier line 2"),
    ],
)
def test_broken_qrels(folder, line, message):
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(CorpusError, match=message):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "q1", "text": "x"}', "queries.jsonl:2 has query id 'q1', which an earlier line has"),
        ('{"_id": "q2", "text": ""}', "queries.jsonl:2 has no text"),
        ('{"text": "x"}', "queries.jsonl:2 has no '_id' or 'id'"),
    ],
)
def test_broken_queries(folder, line, message):
    (folder / "queries.jsonl.gz").unlink()
    (folder / "queries.jsonl").write_text(f'{{"_id": "q1", "text": "eins"}}\n{line}\n')
    with pytest.raises(CorpusError, match=message):
        load_dataset(folder)


def test_folders_that_are_not_beir(folder, tmp_path):
    with pytest.raises(CorpusError, match="is not a folder"):
        load_dataset(tmp_path / "nowhere")
    for split in ("test", "dev", "train"):
        (folder / "qrels" / f"{split}.tsv").unlink()
    with pytest.raises(CorpusError, match="holds no .tsv file"):
        load_dataset(folder)
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(CorpusError, match="corpus.jsonl and corpus.jsonl.gz are missing"):
        load_dataset(folder)


def test_runs_come_back_from_trec_form(tmp_path):
    run = {"q1": {"d1": 0.1, "d2": 1 / 3, "süß": 0.1}, "q2": {"d1": -2.0}}
    write_run(tmp_path / "run.trec", run, system="routed")
    assert (tmp_path / "run.trec").read_text() == (
        "q1 Q0 d2 1 0.3333333333333333 routed\nq1 Q0 d1 2 0.1 routed\nq1 Q0 süß 3 0.1 routed\nq2 Q0 d1 1 -2.0 routed\n"
    )
    assert read_run(tmp_path / "run.trec") == run


@pytest.mark.parametrize(
    ("run", "system", "message"),
    [
        ({"q": {"a b": 1.0}}, "s", "document id 'a b'"),
        ({"q\u00a01": {"a": 1.0}}, "s", "query id"),
        ({"q": {"": 1.0}}, "s", "document id ''"),
        ({"q": {"a": 1.0}}, "my system", "system name"),
        ({"q": {"a": float("nan")}}, "s", "score of document 'a' for query 'q' is nan"),
    ],
)
def test_runs_that_trec_form_cannot_keep(tmp_path, run, system, message):
    with pytest.raises(InputError, match=message):
        write_run(tmp_path / "run.trec", run, system=system)
    assert list(tmp_path.iterdir()) == []


def test_broken_runs(tmp_path):
    path = tmp_path / "run.trec"
    path.write_text("q Q0 d 1 0.5 s\nq d 0.5\n")
    with pytest.raises(CorpusError, match="run.trec:2 is 'q d 0.5'; expected: query Q0 document rank score system"):
        read_run(path)
    path.write_text("q Q0 d 1 0.5 s\nq Q0 d 2 0.4 s\n")
    with pytest.raises(CorpusError, match="run.trec:2 has document 'd' twice"):
        read_run(path)
