import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_packs import DIM, ENCODER, QUERIES, TEXTS, documents_of, linear_expert, write_dataset, write_pack

from routeret.datasets import load_dataset, read_run
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import CorpusError, InputError, UnknownDocumentError
from routeret.evaluation import EvaluationSettings, evaluate, evaluating
from routeret.index.lexical import Fulltext
from routeret.measures import NDCG, mean_measures, measure
from routeret.retriever import Retriever
from routeret.types import QueryBatch

TEST = (1, 2, 3, 4)


@pytest.fixture
def sets(tmp_path):
    return [write_dataset(tmp_path / "data" / name) for name in TEXTS]


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "tiny")


def texts_of(name):
    return [QUERIES[name][number] for number in TEST]


def expert_vectors(name, texts, *, seed, strength=0.5):
    base = ENCODER.encode_queries(texts)
    strengths = np.full(len(texts), strength, dtype=np.float32)
    return linear_expert(name, seed=seed).encode_queries(QueryBatch(tuple(texts), base), strengths=strengths)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def slow_means(name, vectors, *, lexical=0.0, others=()):
    """The measures of query vectors over the documents of some sets, by whole sorted rankings."""
    documents = [document for one in (name, *others) for document in documents_of(one)]
    embedded = ENCODER.encode_documents(documents).vectors.astype(np.float16).astype(np.float64)
    scores = np.asarray(vectors, dtype=np.float64) @ embedded.T
    if lexical:
        fulltext = Fulltext.of(enumerate(document.text for document in documents), n_documents=len(documents))
        words = np.stack([fulltext.scores(text) for text in texts_of(name)])
        best = words.max(axis=1, keepdims=True)
        scores = scores + lexical * np.divide(words, best, out=np.zeros_like(words), where=best > 0)
    run = {
        f"q{number}": {document.id: float(score) for document, score in zip(documents, line, strict=True)}
        for number, line in zip(TEST, scores, strict=True)
    }
    return mean_measures(measure(run, {f"q{number}": {f"{name[0]}{number}": 1} for number in TEST}))


@pytest.mark.parametrize("merged", [False, True])
def test_every_system_is_its_slow_twin(sets, pack, merged):
    report = evaluate(sets, pack=pack, settings=EvaluationSettings(merged=merged))
    assert report.merged is merged
    assert list(report.datasets) == ["fruit", "ships"]
    for name in TEXTS:
        texts, others = texts_of(name), [other for other in TEXTS if other != name and merged]
        base = ENCODER.encode_queries(texts)
        written = [expert_vectors(one, texts, seed=seed) for seed, one in enumerate(("fruit", "ships", "multitask"), 1)]
        expected = {
            "base": slow_means(name, base, others=others),
            "hybrid": slow_means(name, base, lexical=0.3, others=others),
            "expert:fruit": slow_means(name, written[0], others=others),
            "expert:ships": slow_means(name, written[1], others=others),
            "expert:multitask": slow_means(name, written[2], others=others),
            "multitask": slow_means(name, written[2], others=others),
            "average": slow_means(name, unit(base + written[2]), others=others),
            "uniform": slow_means(name, unit(base + sum(written)), others=others),
        }
        for system, means in expected.items():
            assert report.datasets[name].systems[system] == pytest.approx(means, abs=1e-5), system


def test_the_report_is_whole(sets, pack):
    report = evaluate(sets, pack=pack)
    assert list(report.mean) == [
        "base", "bm25", "hybrid", "routed", "routed_hybrid", "centroid", "multitask", "average", "uniform",
        "known_index", "dataset_oracle", "query_oracle", "expert:fruit", "expert:multitask", "expert:ships",
    ]  # fmt: skip
    fruit = report.datasets["fruit"]
    assert fruit.n_queries == 4
    assert None not in fruit.systems.values()
    assert set(fruit.weights) == {"base", "fruit", "ships", "multitask", "bm25"}
    assert sum(weight for name, weight in fruit.weights.items() if name != "bm25") == pytest.approx(1, abs=1e-4)
    # Query 1 is answered by a document that a train query is answered by too.
    assert (fruit.gold_seen.n_queries, fruit.gold_unseen.n_queries) == (1, 3)
    # It is a train query itself; the others are fresh, and every query has an answer of its own.
    assert (fruit.fresh.n_queries, fruit.n_clusters, fruit.n_self) == (3, 4, 0)
    assert fruit.regret["query_oracle"].mean == 0
    assert report.diff_to_base["routed"].mean == pytest.approx(
        report.mean["routed"][NDCG] - report.mean["base"][NDCG], abs=1e-5
    )
    assert report.best_single_model in ("base", "expert:fruit", "expert:multitask", "expert:ships")
    oracle = max(fruit.systems[name][NDCG] for name in fruit.systems if name == "base" or name.startswith("expert:"))
    assert fruit.systems["dataset_oracle"][NDCG] == oracle
    assert fruit.systems["query_oracle"][NDCG] >= oracle
    assert report.provenance.split == "test"
    assert len(report.provenance.pack) == 16
    assert set(report.provenance.indexes) == {"fruit", "ships"}


def test_routed_systems_are_what_a_retriever_does(sets, pack, tmp_path):
    report = evaluate([sets[1]], pack=pack)
    with Retriever.create(tmp_path / "kb", pack=pack) as kb:
        kb.add(sets[1])
        found = kb.search_batch(texts_of("ships"), 100)
    run = {f"q{n}": {hit.id: hit.score for hit in hits} for n, hits in zip(TEST, found, strict=True)}
    qrels = {f"q{number}": {f"s{number}": 1} for number in TEST}
    means = mean_measures(measure(run, qrels))
    assert report.datasets["ships"].systems["routed_hybrid"] == pytest.approx(means, abs=1e-6)
    weights = [hits.routing.weights for hits in found]
    for name in ("base", "ships", "bm25"):
        expected = np.mean([one.get(name, 0.0) for one in weights])
        assert report.datasets["ships"].weights[name] == pytest.approx(expected, abs=1e-5)


def test_a_set_or_pack_without_something_has_null_there(tmp_path):
    pack = write_pack(tmp_path / "small", multitask=False)
    other = write_dataset(tmp_path / "data" / "fruit").rename(tmp_path / "data" / "unknown")
    systems = evaluate([other], pack=pack).datasets["unknown"].systems
    assert [name for name, values in systems.items() if values is None] == ["multitask", "average", "known_index"]


def test_a_cache_makes_a_second_evaluation_without_embedding(sets, pack, tmp_path, monkeypatch):
    first = evaluate(sets, pack=pack, settings=EvaluationSettings(merged=True, cache=tmp_path / "cache"))

    def refuse(*_):
        raise AssertionError("embedded again")

    monkeypatch.setattr(HashingEncoder, "encode_documents", refuse)
    monkeypatch.setattr(HashingEncoder, "encode_queries", refuse)
    again = evaluate(sets, pack=pack, settings=EvaluationSettings(merged=True, cache=tmp_path / "cache"))
    assert again.to_json() == first.to_json()
    # A cache serves one index a set as well.
    evaluate(sets, pack=pack, settings=EvaluationSettings(cache=str(tmp_path / "cache")))


def test_a_changed_corpus_is_embedded_again(sets, pack, tmp_path):
    first = evaluate(sets[:1], pack=pack, settings=EvaluationSettings(cache=tmp_path / "cache", systems=["base"]))
    corpus = sets[0] / "corpus.jsonl"
    corpus.write_text(corpus.read_text(encoding="utf-8").replace("sour lemon", "green lime"), encoding="utf-8")
    second = evaluate(sets[:1], pack=pack, settings=EvaluationSettings(cache=tmp_path / "cache", systems=["base"]))
    assert first.provenance.indexes != second.provenance.indexes


def test_runs_are_written_as_they_are_measured(sets, pack, tmp_path):
    report = evaluate(
        sets,
        pack=pack,
        settings=EvaluationSettings(merged=True, save_runs=str(tmp_path / "runs"), systems=["bm25", "expert:ships"]),
    )
    files = sorted(str(path.relative_to(tmp_path / "runs")) for path in (tmp_path / "runs").rglob("*.trec"))
    assert files == [f"{name}/{system}.trec" for name in TEXTS for system in ("base", "bm25", "expert:ships")]
    for name in TEXTS:
        qrels = {f"q{number}": {f"{name}/{name[0]}{number}": 1} for number in TEST}
        for system in ("base", "bm25", "expert:ships"):
            means = mean_measures(measure(read_run(tmp_path / "runs" / name / f"{system}.trec"), qrels))
            assert report.datasets[name].systems[system] == pytest.approx(means, abs=1e-6)


def test_chosen_systems_and_always_the_base(sets, pack):
    assert list(evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["uniform"])).mean) == ["base", "uniform"]
    oracles = evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["query_oracle"])).mean
    assert set(oracles) >= {"base", "query_oracle", "expert:fruit"}


def test_wrong_systems_are_named_before_anything_is_embedded(sets, pack, monkeypatch):
    monkeypatch.setattr(evaluating, "load_encoder", None)
    with pytest.raises(InputError, match="unknown system 'magic'; there are base, bm25"):
        evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["magic"]))
    with pytest.raises(InputError, match="unknown system 'expert:magic'"):
        evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["expert:magic"]))
    with pytest.raises(InputError, match=r"systems is the string 'routed', expected a list of names: \['routed'\]"):
        evaluate(sets, pack=pack, settings=EvaluationSettings(systems="routed"))


def test_the_routers_of_the_papers_comparison_are_measured_when_named(sets, pack, tmp_path):
    named = ["expert_classifiers", "classifier_head", "dataset_router"]
    report = evaluate(sets, pack=pack, settings=EvaluationSettings(systems=[*named, "expert:fruit", "expert:ships"]))
    assert list(report.mean) == [
        "base", "dataset_router", "classifier_head", "expert_classifiers", "expert:fruit", "expert:ships",
    ]  # fmt: skip
    for name in TEXTS:
        # The test queries are pilots too, on which the expert of their own set did best.
        systems = report.datasets[name].systems
        assert [systems[router] for router in named] == [systems[f"expert:{name}"]] * 3
    with Retriever.create(tmp_path / "kb", base=f"hashing-{DIM}") as kb:
        kb.add(sets[0])
    bare = (
        evaluate(sets[:1], index=tmp_path / "kb", settings=EvaluationSettings(systems=named)).datasets["fruit"].systems
    )
    assert [bare[router] for router in named] == [None] * 3


@pytest.mark.parametrize("prefix_ids", [False, True])
def test_an_index_is_searched_as_it_is(sets, pack, tmp_path, prefix_ids):
    with Retriever.create(tmp_path / "kb", pack=pack) as kb:
        for folder in sets:
            kb.add(folder, prefix_ids=prefix_ids)
    report = evaluate(sets, index=tmp_path / "kb", settings=EvaluationSettings(merged=True))
    expected = evaluate(sets, pack=pack, settings=EvaluationSettings(merged=True))
    for name in TEXTS:
        for system, values in expected.datasets[name].systems.items():
            assert report.datasets[name].systems[system] == pytest.approx(values, abs=1e-6), system


def test_an_index_without_experts_has_base_and_bm25(sets, tmp_path):
    with Retriever.create(tmp_path / "kb", base=f"hashing-{DIM}") as kb:
        kb.add(sets[0])
    systems = evaluate(sets[:1], index=tmp_path / "kb").datasets["fruit"].systems
    assert systems["routed"] == systems["base"]
    assert systems["routed_hybrid"] == systems["hybrid"]
    assert [name for name, values in systems.items() if values is None] == [
        "centroid", "multitask", "average", "uniform", "known_index",
    ]  # fmt: skip


def test_relevant_documents_must_be_in_the_index(sets, tmp_path):
    with Retriever.create(tmp_path / "kb", base=f"hashing-{DIM}") as kb:
        kb.add(sets[0])
    with pytest.raises(UnknownDocumentError, match=r"'s1', which 'ships' judges relevant.*4 of 4"):
        evaluate(sets, index=tmp_path / "kb")


def test_a_hit_that_is_the_query_does_not_count(sets, pack, tmp_path):
    queries = sets[0] / "queries.jsonl"
    lines = [json.loads(line) for line in queries.read_text(encoding="utf-8").splitlines()]
    # Query f2 is document f2, as in ArguAna; query f3 has a document's id only by chance.
    lines[2] |= {"_id": "f2", "text": "a sour lemon"}
    lines[3] |= {"_id": "f3"}
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    qrels = "query-id\tcorpus-id\tscore\nf2\tf0\t1\nf3\tf3\t1\n"
    (sets[0] / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    report = evaluate(sets[:1], pack=pack, settings=EvaluationSettings(systems=["base"], save_runs=tmp_path / "runs"))
    assert report.datasets["fruit"].n_self == 1
    assert "fruit: 1 of 2 queries are documents of the set, which do not count among their own hits" in report.table()
    run = read_run(tmp_path / "runs" / "fruit" / "base.trec")
    assert sorted(run["f2"]) == ["f0", "f1", "f3", "f4"]
    assert sorted(run["f3"]) == ["f0", "f1", "f2", "f3", "f4"]


def test_bad_input(sets, pack, tmp_path):
    with pytest.raises(InputError, match="expected a list of at least one"):
        evaluate([], pack=pack)
    with pytest.raises(InputError, match="expected a list"):
        evaluate(str(sets[0]), pack=pack)
    with pytest.raises(InputError, match="both a pack and an index"):
        evaluate(sets, pack=pack, index=tmp_path)
    with pytest.raises(InputError, match="two data sets are called 'fruit'"):
        evaluate([sets[0], sets[0]], pack=pack)
    with pytest.raises(CorpusError, match="no split 'dev'"):
        evaluate(sets, pack=pack, settings=EvaluationSettings(split="dev"))
    with (sets[0] / "qrels" / "test.tsv").open("a", encoding="utf-8") as file:
        file.write("q0\tnowhere\t1\n")
    with pytest.raises(CorpusError, match="'nowhere'"):
        evaluate(sets, pack=pack)


def test_a_data_set_is_not_changed(sets, pack):
    before = load_dataset(sets[0])
    evaluate(sets, pack=pack, settings=EvaluationSettings(systems=["base"]))
    assert replace(load_dataset(sets[0]), corpus=before.corpus) == before
