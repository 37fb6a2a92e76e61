from dataclasses import replace

import numpy as np
import pytest
from tiny_packs import ENCODER, TEXTS, documents_of, write_pack

from routeret.chunking import parse_chunker
from routeret.errors import InputError, UnknownDocumentError
from routeret.retriever import Retriever
from routeret.retriever.changing import library_of
from routeret.retriever.folder import Contents
from routeret.retriever.tuning import LabelledSearch
from routeret.training import tune
from routeret.training.scoring import ndcg_of_scores
from routeret.types import Document, LabelledQuery

COLOURS = ["red", "blue", "green", "black", "white", "yellow", "purple", "orange"]
THINGS = ["lamp", "chair", "table", "shelf", "mirror", "carpet", "curtain", "pillow"]
FOREIGN = {"red": "rouge", "blue": "bleu", "green": "vert", "black": "noir", "white": "blanc"}
FOREIGN |= {"yellow": "jaune", "purple": "violet", "orange": "abricot"}


def documents():
    return [Document(id=f"{colour}-{thing}", text=f"a {colour} {thing}") for colour in COLOURS for thing in THINGS]


def learnable():
    """Queries that name every colour by a word that shares nothing with the documents."""
    return [
        LabelledQuery(text=f"{FOREIGN[colour]} {thing}", relevant=(f"{colour}-{thing}",))
        for colour in COLOURS
        for thing in THINGS
    ]


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", base=ENCODER) as retriever:
        retriever.add(documents())
        yield retriever


@pytest.fixture
def packed(tmp_path):
    with Retriever.create(tmp_path / "packed", pack=write_pack(tmp_path / "tiny")) as retriever:
        retriever.add([*documents(), *documents_of("fruit")])
        yield retriever


def mean_rank_quality(kb):
    """Mean of 1 / log2(1 + rank) of the one relevant document among the first ten: nDCG@10."""
    values = []
    found = kb.search_batch([query.text for query in learnable()], 10)
    for query, hits in zip(learnable(), found, strict=True):
        ids = [hit.id for hit in hits]
        values.append(1 / np.log2(2 + ids.index(query.relevant[0])) if query.relevant[0] in ids else 0.0)
    return float(np.mean(values))


def test_what_helps_is_installed_and_can_be_removed(kb):
    before = mean_rank_quality(kb)
    report = kb.tune(learnable())
    assert (report.installed, report.expert, report.n_queries) == (True, "tuned", 64)
    # Many documents are equally near here, and the last bit of a product decides between them.
    assert report.before == pytest.approx(before, abs=0.02)
    assert report.after > report.before + 0.01
    assert 0 < report.p_value < 0.05
    assert report.seconds > 0
    assert kb.expert_names == ("tuned",)
    assert mean_rank_quality(kb) > before + 0.01
    routing = kb.route("rouge lamp")
    assert routing.known_documents == {"tuned": 1.0}
    assert routing.pilots[0].corpus == "tuned"
    kb.remove_expert("tuned")
    assert mean_rank_quality(kb) == pytest.approx(before, abs=1e-3)


def test_what_does_not_help_is_refused_and_changes_nothing(kb):
    rng = np.random.default_rng(0)
    ids = [document.id for document in documents()]
    # The base finds every one of these, and the labels of the others are drawn at random.
    noise = [LabelledQuery(text=f"a {one.replace('-', ' ')}", relevant=(one,)) for one in ids]
    noise += [LabelledQuery(text=f"word{number}", relevant=(str(rng.choice(ids)),)) for number in range(40)]
    manifest = (kb.index.folder / "manifest.json").read_bytes()
    report = kb.tune(noise)
    assert not report.installed
    assert report.reason.startswith("too risky")
    assert (kb.index.folder / "manifest.json").read_bytes() == manifest
    forced = kb.tune(noise, name="forced", force=True)
    assert forced.installed
    assert kb.expert_names == ("forced",)


def test_a_tuned_expert_joins_a_pack_and_leaves_it(packed):
    report = packed.tune(learnable(), name="colours", force=True)
    assert report.installed
    assert packed.expert_names == ("fruit", "multitask", "ships", "colours")
    library = library_of(packed.index.folder, Contents.read(packed.index.folder))
    (corpus,) = (corpus for corpus in library.corpora if corpus.name == "colours")
    assert corpus.texts == tuple(query.text for query in learnable())
    assert corpus.home_experts == ("colours",)
    assert packed.search("rouge lamp", 1).routing.known_documents["colours"] == 1.0
    packed.remove_expert("colours")
    library = library_of(packed.index.folder, Contents.read(packed.index.folder))
    assert sorted(corpus.name for corpus in library.corpora) == ["fruit", "ships"]


def test_other_experts_are_measured_on_the_labelled_queries_where_they_act(packed):
    labelled = LabelledSearch.of(learnable(), packed.searcher)
    outcome = tune(labelled.task, name="colours")
    (corpus,) = labelled.pilots(replace(outcome, share=1.0), packed.searcher).corpora
    assert list(corpus.gains) == ["colours"]
    (corpus,) = labelled.pilots(replace(outcome, share=0.5), packed.searcher).corpora
    assert sorted(corpus.gains) == ["colours", "fruit", "multitask", "ships"]
    np.testing.assert_array_equal(corpus.gains["colours"], outcome.gains_over_base)
    # The fruit expert at its second strength, BM25 with the weight that was chosen beside it and beside the base.
    task, expert = labelled.task, packed.searcher.pool.adapter_by_name["fruit"]
    scores = [
        vectors @ task.documents.T + np.float32(outcome.report.lexical_weight) * task.lexical
        for vectors in (expert.encode_queries(labelled.batch, strengths=np.full(64, 0.5, np.float32)), task.base)
    ]
    grades = [np.ones(1, np.float32)] * 64
    after, before = (ndcg_of_scores(one, relevant=task.relevant, grades=grades) for one in scores)
    np.testing.assert_allclose(corpus.gains["fruit"][:, 1], after - before, atol=1e-6)


def test_the_task_is_what_the_index_does_now(packed):
    queries = learnable()[:5]
    labelled = LabelledSearch.of(queries, packed.searcher)
    ids = packed.index.ids()
    for number, query in enumerate(queries):
        scores = labelled.task.present[number] @ labelled.task.documents.T
        scores += labelled.task.lexical_now[number] * labelled.task.lexical[number]
        best = np.lexsort((np.arange(len(scores)), -scores))[:10]
        hits = packed.search(query.text, 10)
        assert [hit.id for hit in hits] == [ids[row] for row in best]
        np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=1e-5)
        assert [ids[row] for row in labelled.task.relevant[number]] == list(query.relevant)


def test_the_task_lowers_documents_as_a_search_does(packed):
    packed.add(documents_of("ships"))
    texts = ["a boat with sails", "which fruit is red", "a sweet boat"]
    queries = [LabelledQuery(text=text, relevant=("s0",)) for text in texts]
    task = LabelledSearch.of(queries, packed.searcher).task
    ids = packed.index.ids()
    is_known = np.array([one in {document.id for name in TEXTS for document in documents_of(name)} for one in ids])
    assert task.lowered is not None
    assert (task.lowered > 0).any(axis=1).tolist() == [True, True, True]
    assert not task.lowered[:, ~is_known].any()
    for number, text in enumerate(texts):
        scores = task.present[number] @ task.documents.T + task.lexical_now[number] * task.lexical[number]
        score_by_id = dict(zip(ids, scores - task.lowered[number], strict=True))
        hits = packed.search(text, 10)
        np.testing.assert_allclose([hit.score for hit in hits], [score_by_id[hit.id] for hit in hits], atol=1e-5)
        assert min(hit.score for hit in hits) >= sorted(score_by_id.values())[-10] - 1e-5


def test_a_document_that_is_cut_into_spans_is_judged_as_a_search_finds_it(tmp_path):
    def lines(number):
        return [f"word{number} thing{place} part{place * 7 + number}." for place in range(1 + number % 4)]

    stored = [Document(id=f"d{number}", text=" ".join(lines(number))) for number in range(12)]
    queries = [LabelledQuery(text=f"word{number} part{number}", relevant=(f"d{number}",)) for number in range(12)]
    with Retriever.create(tmp_path / "kb", base=ENCODER, chunker=parse_chunker("sentences:size=30,overlap=0")) as kb:
        kb.add(stored)
        # A document that was replaced stands behind all others.
        kb.upsert([Document(id="d3", text=stored[3].text + " another sentence here.")])
        task = LabelledSearch.of(queries, kb.searcher).task
        found = kb.search_batch([query.text for query in queries], 10)
    expected = []
    for query, hits in zip(queries, found, strict=True):
        ids = [hit.id for hit in hits]
        expected.append(1 / np.log2(2 + ids.index(query.relevant[0])) if query.relevant[0] in ids else 0.0)
    np.testing.assert_allclose(task.ndcg_now(), expected, atol=1e-6)
    assert np.mean(expected) > 0.5
    assert len(task.starts) == 12 < len(task.documents)


def test_the_lexical_weight_that_was_learned_is_used(tmp_path):
    # Cosines are of words that many documents hold, and the rare word, which tells, is what BM25 counts most.
    rare = [f"rare{number}" for number in range(40)]
    common = [f"common{number}" for number in range(6)]
    stored = [
        Document(id=word, text=" ".join([word, *np.random.default_rng(number).choice(common, 8)]))
        for number, word in enumerate(rare)
    ]
    queries = [
        LabelledQuery(text=" ".join([word, *np.random.default_rng(100 + number).choice(common, 8)]), relevant=(word,))
        for number, word in enumerate(rare)
    ]
    with Retriever.create(tmp_path / "kb", base=ENCODER) as kb:
        kb.add(stored)
        report = kb.tune(queries)
        assert report.installed
        assert report.lexical_weight_before == pytest.approx(0.2)
        assert report.lexical_weight > 0.2
        # The router keeps a share of 10 / (10 + 40) for the weight that it had.
        expected = 0.8 * report.lexical_weight + 0.2 * 0.2
        assert kb.route(queries[0].text).weights["bm25"] == pytest.approx(expected, abs=0.02)


def test_bad_labels_change_nothing(kb):
    manifest = (kb.index.folder / "manifest.json").read_bytes()
    good = learnable()[:3]
    with pytest.raises(UnknownDocumentError, match="'nowhere' is not in index 'kb'"):
        kb.tune([*good, LabelledQuery(text="x", relevant=("red-lamp", "nowhere"))])
    with pytest.raises(InputError, match="labelled query 3 is ' '"):
        kb.tune([*good, LabelledQuery(text=" ", relevant=("red-lamp",))])
    with pytest.raises(InputError, match=r"labelled query 3 is 'x' with \(\) as relevant"):
        kb.tune([*good, LabelledQuery(text="x", relevant=())])
    with pytest.raises(InputError, match="found 0 labelled queries"):
        kb.tune([])
    with pytest.raises(InputError, match="found 1 labelled queries"):
        kb.tune(good[:1])
    with pytest.raises(InputError, match="expert name 'my expert'"):
        kb.tune(good, name="my expert")
    with pytest.raises(InputError, match="'base'"):
        kb.tune(good, name="base")
    assert (kb.index.folder / "manifest.json").read_bytes() == manifest


def test_a_name_that_is_taken_is_refused_before_the_work(packed):
    with pytest.raises(InputError, match="has an expert 'fruit' already"):
        packed.tune(learnable(), name="fruit")


def test_queries_that_taught_an_expert_cannot_judge_another_one(kb):
    first, others = learnable()[:40], learnable()[40:]
    kb.tune(first, name="first", force=True)
    twice = [replace(query, text=f" {query.text.upper()} ") for query in first]
    with pytest.raises(InputError, match=r"40 of the 40 labelled queries .* 'first' .*experts remove \S*kb first"):
        kb.tune(twice, name="second")
    with pytest.raises(InputError, match=r"1 of the 25 labelled queries .*\('rouge lamp'\)"):
        kb.tune([*others, first[0]], name="second")
    assert kb.tune(others, name="second").n_queries == 24
    kb.remove_expert("first")
    assert kb.tune(first, name="third").n_queries == 40


def test_ids_in_place_of_a_tuple_of_ids_are_refused(kb):
    with pytest.raises(InputError, match=r"query 0 has the text 'red-lamp' as relevant.*\('red-lamp',\)"):
        kb.tune([LabelledQuery("rouge lamp", "red-lamp"), *learnable()[1:]])


def test_a_seed_below_zero_is_refused(kb):
    for call in (lambda: kb.tune(learnable(), seed=-1), lambda: kb.tune_unlabelled(seed=-1)):
        with pytest.raises(InputError, match="the seed is -1"):
            call()


def test_more_queries_than_memory_holds_are_refused(kb, monkeypatch):
    many = [LabelledQuery(f"word{number}", ("red-lamp",)) for number in range(2001)]
    with pytest.raises(
        InputError, match=r"found 2001 labelled queries .* 64 rows, expected at most 2000.*--limit 2000"
    ):
        kb.tune(many)
    monkeypatch.setattr("routeret.retriever.tuning.MOST_SCORES", 64 * 10)
    with pytest.raises(InputError, match="found 11 labelled queries .* expected at most 10"):
        kb.tune(learnable()[:11])
