"""The demo's corpora are unchanged cuts of the data sets, and complete."""

import gzip
import json
from pathlib import Path

import pytest
from scripts import loaded

from routeret.datasets import load_dataset

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "routeret" / "demo_data"
FULL = ROOT / "eval" / "data"
DOMAINS = ["acl_citances", "amazon_google", "attack_ttp", "banking77", "esco_titles", "medquad_liveqa", "tldr_cli"]


def lines_of(path):
    return gzip.decompress(path.read_bytes()).splitlines()


def test_these_sets_are_there():
    assert sorted(folder.name for folder in DEMO.iterdir()) == sorted([*DOMAINS, "tatqa"])


def test_it_is_small():
    assert sum(file.stat().st_size for file in DEMO.rglob("*") if file.is_file()) < 1_500_000


@pytest.mark.parametrize("name", [*DOMAINS, "tatqa"])
def test_lines_are_those_of_the_whole_set(name):
    for file in ("corpus.jsonl.gz", "queries.jsonl.gz"):
        cut = lines_of(DEMO / name / file)
        assert len(set(cut)) == len(cut)
        assert set(cut) <= set(lines_of(FULL / name / file))


@pytest.mark.parametrize(
    ("name", "split", "n_queries"),
    [
        *((name, "test", 38 if name == "medquad_liveqa" else 40) for name in DOMAINS),
        ("tatqa", "test", 150),
        ("tatqa", "train", 100),
    ],
)
def test_relevant_documents_are_inside(name, split, n_queries):
    dataset = load_dataset(DEMO / name)
    dataset.check(split)
    queries, qrels = dataset.split(split)
    assert len(queries) == n_queries
    whole = load_dataset(FULL / name).qrels_by_split[split]
    inside = {document.id for document in dataset.corpus}
    for query, grades in qrels.items():
        assert grades == {one: grade for one, grade in whole[query].items() if grade > 0 and one in inside}


def test_reserved_pages_stay_out():
    ids = [json.loads(line)["_id"] for line in lines_of(DEMO / "medquad_liveqa" / "corpus.jsonl.gz")]
    assert not [one for one in ids if one.startswith(("lq_ADAM", "lq_MPlusDrugs", "lq_MPlusHerbs"))]


def test_every_set_stands_in_the_notices():
    for notice, folder in ((FULL / "NOTICE", FULL), (ROOT / "NOTICE", DEMO)):
        text = notice.read_text(encoding="utf-8")
        assert "The MITRE Corporation. This work is reproduced" in text
        assert "ESCO classification of the European Commission" in text
        for data in folder.iterdir():
            assert not data.is_dir() or data.name in text


def test_the_script_makes_these_lines_again(tmp_path):
    make_demo_data = loaded(ROOT / "eval" / "make_demo_data.py")
    cut = make_demo_data.CUTS["tatqa"]
    make_demo_data.write_set(FULL / "tatqa", cut, out=tmp_path / "tatqa")
    for file in ("corpus.jsonl.gz", "queries.jsonl.gz"):
        assert lines_of(tmp_path / "tatqa" / file) == lines_of(DEMO / "tatqa" / file)
    for file in ("train.tsv", "test.tsv"):
        assert (tmp_path / "tatqa" / "qrels" / file).read_text() == (DEMO / "tatqa" / "qrels" / file).read_text()
