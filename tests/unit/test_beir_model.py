"""BEIR's own evaluation on a routed retriever."""

import pytest
from beir.retrieval.evaluation import EvaluateRetrieval
from tiny_beir import write_things
from tiny_packs import write_pack

from routeret.datasets import load_dataset
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.integrations.beir import RoutedModel
from routeret.measures import NDCG, mean_measures, measure
from routeret.retriever import Retriever


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_things(tmp_path_factory.mktemp("data") / "things")


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("packs") / "tiny")


def loaded(folder):
    """A data set as BEIR's loader gives it."""
    dataset = load_dataset(folder)
    queries, qrels = dataset.split("test")
    corpus = {document.id: {"title": document.title, "text": document.text} for document in dataset.corpus}
    return corpus, queries, qrels


def test_ndcg_is_ours(folder, pack, tmp_path):
    corpus, queries, qrels = loaded(folder)
    with RoutedModel.create(pack=pack) as model:
        evaluation = EvaluateRetrieval(model)
        results = evaluation.retrieve(corpus, queries)
        ndcg, mean_ap, recall, _ = evaluation.evaluate(qrels, results, evaluation.k_values)
    ours = (
        evaluate([folder], pack=pack, settings=EvaluationSettings(systems=["base", "routed_hybrid"]))
        .datasets["things"]
        .systems
    )
    assert ndcg["NDCG@10"] == round(ours["routed_hybrid"][NDCG], 5)
    assert mean_ap["MAP@100"] == pytest.approx(ours["routed_hybrid"]["map"], abs=1e-5)
    assert recall["Recall@100"] == 1.0
    # The pack makes a difference here, so the base alone would not have passed.
    assert abs(ours["base"][NDCG] - ours["routed_hybrid"][NDCG]) > 0.01
    with Retriever.create(tmp_path / "kb", pack=pack) as retriever:
        retriever.add(folder)
        found = retriever.search_batch(list(queries.values()), 100)
    run = {query: {hit.id: hit.score for hit in hits} for query, hits in zip(queries, found, strict=True)}
    assert ndcg["NDCG@10"] == round(mean_measures(measure(run, qrels, drop_self_hits=True))[NDCG], 5)


def test_a_query_never_finds_itself_and_all_else_is_found(folder, pack):
    corpus, queries, qrels = loaded(folder)
    with RoutedModel.create(pack=pack) as model:
        results = EvaluateRetrieval(model, k_values=[1, 1000]).retrieve(corpus, queries)
        assert list(results) == list(queries)
        assert set(results["red-apple"]) == set(corpus) - {"red-apple"}
        assert set(results["q1"]) == set(corpus)
        # A copy of the query under another id does find the document.
        copied = {"red-apple": queries["red-apple"], "copy": queries["red-apple"]}
        best = EvaluateRetrieval(model, k_values=[1]).retrieve(corpus, copied)
        assert {query: len(hits) for query, hits in best.items()} == {"red-apple": 1, "copy": 1}
        assert list(best["copy"]) == ["red-apple"]
        assert "red-apple" not in best["red-apple"]
    kept = EvaluateRetrieval.evaluate(qrels, results, [10], ignore_identical_ids=False)
    assert kept == EvaluateRetrieval.evaluate(qrels, results, [10])


def test_a_corpus_that_changed_is_searched_as_it_is_now(folder, pack, tmp_path):
    corpus, queries, _ = loaded(folder)
    with RoutedModel.create(pack=pack) as model:
        before = model.search(corpus, queries, 5)
        assert model.search(corpus, queries, 5, score_function="dot") == before
        fewer = {name: fields for name, fields in corpus.items() if name.startswith("red")}
        assert {document for hits in model.search(fewer, queries, 5).values() for document in hits} <= set(fewer)
        assert model.search(corpus, queries, 5) == before
    with Retriever.create(tmp_path / "kb", pack=pack) as retriever:
        given = RoutedModel(retriever)
        assert given.search(corpus, queries, 5) == before
        with pytest.raises(ValueError, match="index 'kb' holds 40 documents, the corpus has 8"):
            given.search(fewer, queries, 5)


def test_missing_titles_are_empty_titles():
    corpus = {"a": {"text": "red apple"}, "b": {"title": None, "text": "blue boat"}, "c": {"title": "lamp"}}
    with RoutedModel.create(base="hashing-32") as model:
        found = model.search(corpus, {"1": "lamp", "2": "boat"}, 1)
    assert {query: list(hits) for query, hits in found.items()} == {"1": ["c"], "2": ["b"]}
