"""Evaluation on indexes of spans: a document's score is the best of its spans."""

import json

import numpy as np
import pytest
from tiny_packs import ENCODER, write_pack

from routeret.chunking import SentenceWindows, WholeText
from routeret.datasets import load_dataset, read_run
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import InputError
from routeret.evaluation import EvaluationSettings, Report, evaluate
from routeret.evaluation.indexing import indexes_of
from routeret.retriever import Retriever

CHUNKER = SentenceWindows(size=40, overlap=0)
SENTENCES = {
    "d1": ["The first sentence is about red cats.", "The second one tells of two dogs."],
    "d2": ["Three birds are sitting on the fence."],
    "d3": ["Ünder the sea four fish are swimming.", "The second one tells of two dogs.", "Five mice run to the barn."],
}
QUERIES = {"q1": ("red cats", "d1"), "q2": ("five mice in a barn", "d3"), "q3": ("birds on a fence", "d2")}


def write_set(folder):
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": one, "title": f"about {one}", "text": "\n\n".join(parts)} for one, parts in SENTENCES.items()]
    queries = [{"_id": one, "text": text} for one, (text, _) in QUERIES.items()]
    for name, values in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    judged = "".join(f"{one}\t{document}\t1\n" for one, (_, document) in QUERIES.items())
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
    return folder


@pytest.fixture
def sets(tmp_path):
    return [write_set(tmp_path / "data" / name) for name in ("animals", "beasts")]


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "tiny")


def slow_scores(query):
    """The best inner product of every document's sentences, with its title, as they are stored."""
    (vector,) = ENCODER.encode_queries([query]).astype(np.float64)
    scores = {}
    for document, parts in SENTENCES.items():
        texts = [ENCODER.space.joined(title=f"about {document}", text=part) for part in parts]
        stored = ENCODER.encode_queries(texts).astype(np.float16).astype(np.float64)
        scores[document] = float((stored @ vector).max())
    return scores


@pytest.mark.parametrize("merged", [False, True])
def test_a_document_scores_as_its_best_span(sets, pack, tmp_path, merged):
    report = evaluate(
        sets,
        pack=pack,
        settings=EvaluationSettings(chunker=CHUNKER, merged=merged, systems=["base"], save_runs=tmp_path / "runs"),
    )
    run = read_run(tmp_path / "runs" / "animals" / "base.trec")
    for query, (text, _) in QUERIES.items():
        expected = slow_scores(text)
        if merged:
            expected = {f"{name}/{one}": score for name in ("animals", "beasts") for one, score in expected.items()}
        assert run[query] == pytest.approx(expected, abs=1e-5)
    assert report.provenance.chunker == CHUNKER.as_dict()
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_merging_copies_the_vector_of_every_span(sets):
    datasets = [load_dataset(folder) for folder in sets]
    with indexes_of(datasets, ENCODER, chunker=CHUNKER, merged=True, cache=None, show_progress=False) as searched:
        index = searched["animals"].index
        assert (len(index), index.n_rows) == (6, 12)
        documents = index.documents(index.row_documents)
        texts = [
            ENCODER.space.joined(title=document.title, text=document.text[start:end])
            for document, (start, end) in zip(documents, index.spans(range(12)), strict=True)
        ]
        assert [document.id for document in documents[:3]] == ["animals/d1", "animals/d1", "animals/d2"]
        expected = ENCODER.encode_queries(texts).astype(np.float16)
        np.testing.assert_array_equal(index.vectors(np.arange(12)), expected)


def test_a_cache_keeps_an_index_for_every_chunker(sets, pack, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    whole = evaluate(sets[:1], pack=pack, settings=EvaluationSettings(cache=cache, systems=["base"]))
    cut = evaluate(sets[:1], pack=pack, settings=EvaluationSettings(chunker=CHUNKER, cache=cache, systems=["base"]))
    other = evaluate(
        sets[:1],
        pack=pack,
        settings=EvaluationSettings(chunker=SentenceWindows(size=80, overlap=0), cache=cache, systems=["base"]),
    )
    prints = [report.provenance.indexes["animals"] for report in (whole, cut, other)]
    assert len(set(prints)) == 3
    assert len(list((cache / "index-2" / ENCODER.space.fingerprint).iterdir())) == 3

    def refuse(*_):
        raise AssertionError("embedded again")

    monkeypatch.setattr(HashingEncoder, "encode_documents", refuse)
    again = evaluate(sets[:1], pack=pack, settings=EvaluationSettings(chunker=CHUNKER, cache=cache, systems=["base"]))
    assert again.to_json() == cut.to_json()
    # Documents in one piece are found whether the chunker is named or not.
    named = evaluate(
        sets[:1], pack=pack, settings=EvaluationSettings(chunker=WholeText(), cache=cache, systems=["base"])
    )
    assert named.to_json() == whole.to_json()
    assert whole.provenance.chunker == {"kind": "none"}


def test_an_index_has_its_own_chunker(sets, pack, tmp_path):
    with Retriever.create(tmp_path / "kb", pack=pack, chunker=CHUNKER) as kb:
        kb.add(sets[0])
    report = evaluate(sets[:1], index=tmp_path / "kb", settings=EvaluationSettings(systems=["base"]))
    expected = evaluate(sets[:1], pack=pack, settings=EvaluationSettings(chunker=CHUNKER, systems=["base"]))
    assert report.provenance.chunker == CHUNKER.as_dict()
    assert report.mean["base"] == pytest.approx(expected.mean["base"], abs=1e-6)
    with pytest.raises(InputError, match="both a chunker and an index"):
        evaluate(sets[:1], index=tmp_path / "kb", settings=EvaluationSettings(chunker=CHUNKER))
