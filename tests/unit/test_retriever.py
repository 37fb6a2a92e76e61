import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from table_router import TableRouter

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import (
    ArtifactError,
    CorpusError,
    DuplicateIdError,
    InputError,
    SpaceMismatchError,
    UnknownDocumentError,
    UnknownExpertError,
)
from routeret.index import Index
from routeret.index.lexical import Matches
from routeret.index.structures.best import top_k
from routeret.retriever import Retriever, loading
from routeret.retriever.pool import Pool
from routeret.retriever.scope import Scope
from routeret.retriever.searching import FIRST_HITS, Searcher, candidate_depth, without_lexical
from routeret.types import BASE, LEXICAL, Document

DOCUMENTS = [
    Document(id="tax", title="Taxes", text="Can we file jointly?", metadata={"lang": "en"}),
    Document(id="köln", text="Straße – 東京"),
    Document(id="title only", title="Only a title", text=""),
    Document(id="cat", text="the cat sat on the mat"),
    Document(id="dog", text="the dog chased the cat"),
    Document(id="cat again", text="the cat sat on the mat"),
]

ON_THE_BASE = {"dog": ([1.0, 0.0], [0.0], 0.0), "a title": ([1.0, 0.0], [0.0], 0.0)}


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class TurningExpert:
    """Adds a fixed direction to every query."""

    name: str
    space: object
    query_tower: str
    direction: np.ndarray
    strength: float = 0.7
    known_documents: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    asked: list = field(default_factory=list)

    def encode_queries(self, queries, *, strengths):
        self.asked.append(queries.texts)
        return unit(queries.base + strengths[:, None] * self.direction)


@pytest.fixture
def encoder():
    return HashingEncoder(dim=32)


@pytest.fixture
def index(tmp_path, encoder):
    with Index.create(tmp_path / "index", encoder.space) as index:
        index.add(Corpus.of(DOCUMENTS), encoder)
        yield index


@pytest.fixture
def searches(monkeypatch):
    """How many queries every search of an index had."""
    asked = []
    search = Index.search

    def counted(self, queries, k, **where):
        asked.append(len(queries))
        return search(self, queries, k, **where)

    monkeypatch.setattr(Index, "search", counted)
    return asked


def expert(encoder, name, document, **values):
    """An expert that turns every query towards a document."""
    return TurningExpert(
        name=name,
        space=encoder.space,
        query_tower=encoder.query_tower,
        direction=encoder.encode_documents([document]).vectors[0],
        **values,
    )


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", base="hashing-32") as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def ids(hits):
    return [hit.id for hit in hits]


# The flow of a search


def test_a_routed_query_is_the_weighted_sum_of_what_base_and_experts_write(index, encoder):
    experts = (expert(encoder, "cats", DOCUMENTS[3]), expert(encoder, "taxes", DOCUMENTS[0]))
    rows = {
        "mat": ([0.2, 0.8, 0.0], [1.0, 0.5], 0.0),
        "dog": ([0.3, 0.3, 0.4], [0.3, 0.7], 0.0),
        "title": ([1.0, 0.0, 0.0], [0.0, 0.0], 0.0),
    }
    searcher = Searcher(index, Pool(encoder, experts, TableRouter(["cats", "taxes"], rows)))
    (block,) = searcher.blocks(list(rows), depth=6)
    ranking = searcher.rank(block, searcher.route(block), 4)
    documents = index.vectors(np.arange(6)).astype(np.float64)
    base = encoder.encode_queries(list(rows)).astype(np.float64)
    for line, (weights, strengths, _) in enumerate(rows.values()):
        written = [unit(base[line] + s * one.direction) for s, one in zip(strengths, experts, strict=True)]
        mixed = unit(weights[0] * base[line] + weights[1] * written[0] + weights[2] * written[1])
        scores = documents @ mixed
        order = np.lexsort((np.arange(6), -scores.astype(np.float32)))[:4]
        assert ranking.documents[line].tolist() == order.tolist()
        np.testing.assert_allclose(ranking.scores[line], scores[order], atol=1e-6)
    # An expert sees only the queries that it has a weight for.
    assert experts[0].asked == [("mat", "dog")]
    assert experts[1].asked == [("dog",)]


def test_a_query_on_the_base_is_searched_with_the_base_vector_to_the_last_bit(index, encoder):
    searcher = Searcher(index, Pool(encoder, (expert(encoder, "cats", DOCUMENTS[3]),), None))
    (block,) = searcher.blocks(["dog", "a title"], depth=6)
    ranking = searcher.rank(block, searcher.constant(block, weights={BASE: 1.0}), 6)
    found = index.search(encoder.encode_queries(["dog", "a title"]), 6, space=encoder.space)
    np.testing.assert_array_equal(ranking.documents, found.rows)
    np.testing.assert_array_equal(ranking.scores, found.scores)


@pytest.mark.parametrize("k", [1, 10, 30])
@pytest.mark.parametrize("router", [TableRouter(["cats"], ON_THE_BASE), None])
def test_a_block_that_stays_with_the_base_is_searched_once(tmp_path, encoder, searches, monkeypatch, router, k):
    experts = () if router is None else (expert(encoder, "cats", DOCUMENTS[3]),)
    monkeypatch.setattr(loading, "load_pool", lambda *_, **__: Pool(encoder, experts, router))
    with Retriever.create(tmp_path / "kb", base=encoder) as kb:
        kb.add(Document(str(number), text=f"cat {number} on mat {number // 7}") for number in range(200))
        found = kb.search_batch(list(ON_THE_BASE), k)
    assert [len(hits) for hits in found] == [k, k]
    assert searches == [2]


def test_only_queries_that_leave_the_base_are_searched_again(index, encoder, searches):
    rows = {**ON_THE_BASE, "mat": ([0.2, 0.8], [1.0], 0.0)}
    experts = (expert(encoder, "cats", DOCUMENTS[3]),)
    searcher = Searcher(index, Pool(encoder, experts, TableRouter(["cats"], rows)))
    (block,) = searcher.blocks(list(rows), depth=4)
    searcher.rank(block, searcher.route(block), 4)
    assert searches == [3, 1]


def test_the_router_is_told_how_many_of_the_base_hits_an_expert_knows(index, encoder):
    knowing = np.sort(np.array([DOCUMENTS[3].content_key, DOCUMENTS[0].content_key, 7], dtype=np.uint64))
    experts = (expert(encoder, "cats", DOCUMENTS[3], known_documents=knowing), expert(encoder, "none", DOCUMENTS[0]))
    # The router's columns may stand in another order than the pool's.
    router = TableRouter(["none", "cats"], {"dog": ([1, 0, 0], [0, 0], 0)})
    searcher = Searcher(index, Pool(encoder, experts, router))
    (block,) = searcher.blocks(["dog"], depth=6)
    searcher.route(block)
    # All six documents are among the first hits; "cat again" has the same content as "cat".
    np.testing.assert_allclose(router.known[0], [[0, 0.5]])
    assert FIRST_HITS >= 6


def test_fused_scores_are_exact_over_all_candidates(index, encoder):
    words = ["cat", "mat dog", "Only a title", "Straße", "nothing of this"]
    rows = {word: ([1.0], [], 0.4) for word in words}
    searcher = Searcher(index, Pool(encoder, (), TableRouter([], rows)))
    (block,) = searcher.blocks(words, depth=6)
    ranking = searcher.rank(block, searcher.route(block), 3)
    vectors = index.vectors(np.arange(6)).astype(np.float64)
    for line, word in enumerate(words):
        lexical = index.fulltext.scores(word)
        scores = vectors @ encoder.encode_queries([word])[0].astype(np.float64)
        if lexical.max() > 0:
            scores = scores + 0.4 * lexical / lexical.max()
        order = np.lexsort((np.arange(6), -scores.astype(np.float32)))[:3]
        assert ranking.documents[line].tolist() == order.tolist()
        np.testing.assert_allclose(ranking.scores[line], scores[order], atol=1e-6)


def test_a_document_that_only_its_words_find_is_among_the_fused(tmp_path, encoder):
    texts = [f"the cat sat on mat number {number} and looked at the cat on the mat" for number in range(300)]
    documents = [Document(id=f"d{number}", text=text) for number, text in enumerate(texts)]
    code = Document(id="code", text="ZX81-Q " + "wholly other words about weather and ships " * 5)
    with Retriever.create(tmp_path / "codes", base=encoder) as retriever:
        retriever.add([*documents, code])
        query = "cat on the mat ZX81"
        assert "code" not in ids(retriever.search(query, candidate_depth(5), expert=BASE))
        searcher = retriever.searcher
        (block,) = searcher.blocks([query], depth=candidate_depth(5))
        heavy = searcher.constant(block, weights={BASE: 1.0}, lexical=2.0)
        found = searcher.rank(block, heavy, 5)
        assert 300 in found.documents[0]
        cosine = float(retriever.index.vectors([300])[0] @ encoder.encode_queries([query])[0])
        lexical = retriever.index.fulltext.scores(query)
        position = found.documents[0].tolist().index(300)
        assert found.scores[0, position] == pytest.approx(cosine + 2 * lexical[300] / lexical.max(), abs=1e-6)


def test_lexical_weights_apply_query_by_query(index, encoder):
    rows = {"cat": ([1.0], [], 0.0), "dog": ([1.0], [], 0.5)}
    searcher = Searcher(index, Pool(encoder, (), TableRouter([], rows)))
    (block,) = searcher.blocks(["cat", "dog"], depth=6)
    routing = searcher.route(block)
    both, dense = searcher.rank(block, routing, 6), searcher.rank(block, without_lexical(routing), 6)
    np.testing.assert_array_equal(both.scores[0], dense.scores[0])
    assert both.scores[1, 0] == pytest.approx(dense.scores[1, 0] + 0.5)


def test_many_queries_are_answered_as_they_are_one_by_one(kb):
    queries = [f"the {word} number {number}" for number in range(90) for word in ("cat", "dog", "title")]
    together = kb.search_batch(queries, 3)
    assert [hits.query for hits in together] == queries
    for query, hits in zip(queries[::40], together[::40], strict=True):
        alone = kb.search(query, 3)
        assert ids(alone) == ids(hits)
        np.testing.assert_allclose([hit.score for hit in alone], [hit.score for hit in hits], atol=1e-6)


# Spans


class SpanIndex:
    """Three documents of 2, 1 and 3 spans, with vectors in the plane."""

    row_documents = np.array([0, 0, 1, 2, 2, 2])
    table = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8], [0.96, 0.28], [-1, 0]], dtype=np.float32)
    n_rows = 6
    n_numbers = 3
    live_documents = np.ones(3, dtype=np.bool_)

    def __init__(self, space):
        self.space = space
        self.fulltext = self

    def __len__(self):
        return 3

    def search(self, queries, k, *, space=None, documents=None, allowed=None):
        if isinstance(queries, str):
            best = top_k(self.scores(queries)[None, :], k)
            n_found = int((best.scores[0] > 0).sum())
            return Matches(best.rows[0, :n_found], best.scores[0, :n_found])
        assert space == self.space
        assert documents is allowed is None
        return top_k((queries @ self.table.T).astype(np.float32), k)

    def rows_of(self, numbers):
        starts = np.searchsorted(self.row_documents, numbers)
        return starts, np.searchsorted(self.row_documents, numbers, side="right")

    def vectors(self, rows, *, space):  # noqa: ARG002 - one space
        return self.table[rows]

    def scores(self, query):
        return np.array({"second": [0, 4, 1]}.get(query, [0, 0, 0]), dtype=np.float32)

    def scores_of(self, query, numbers):
        return self.scores(query)[numbers]


class PlaneEncoder:
    """Every query is (1, 0)."""

    def __init__(self):
        self.space = replace(HashingEncoder(dim=2).space)
        self.query_tower = "0" * 16

    def encode_queries(self, texts):
        return np.tile(np.array([[1, 0]], dtype=np.float32), (len(texts), 1))

    def encode_documents(self, documents):
        raise NotImplementedError


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_a_document_scores_as_its_best_span(k):
    base = PlaneEncoder()
    searcher = Searcher(SpanIndex(base.space), Pool(base))
    (block,) = searcher.blocks(["first"], depth=k)
    found = searcher.rank(block, searcher.constant(block, weights={BASE: 1.0}), k)
    assert found.documents.tolist() == [[0, 2, 1][:k]]
    assert found.rows.tolist() == [[0, 4, 2][:k]]
    np.testing.assert_allclose(found.scores, [[1, 0.96, 0.8][:k]], atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_a_document_may_score_as_the_mean_of_its_best_spans(k):
    base = PlaneEncoder()
    index = SpanIndex(base.space)
    searcher = Searcher(index, Pool(base))
    (block,) = searcher.blocks(["first"], depth=k, scope=Scope(index, aggregation="mean_top3"))
    found = searcher.rank(block, searcher.constant(block, weights={BASE: 1.0}), k)
    # 0.8; (1 + 0) / 2; (0.6 + 0.96 - 1) / 3
    assert found.documents.tolist() == [[1, 0, 2][:k]]
    assert found.rows.tolist() == [[2, 0, 4][:k]]
    np.testing.assert_allclose(found.scores, [[0.8, 0.5, 0.56 / 3][:k]], atol=1e-6)


def test_spans_and_words_together():
    base = PlaneEncoder()
    searcher = Searcher(SpanIndex(base.space), Pool(base))
    (block,) = searcher.blocks(["second"], depth=1)
    found = searcher.rank(block, searcher.constant(block, weights={BASE: 1.0}, lexical=0.4), 3)
    # 0.8 + 0.4, 0.96 + 0.1 and 1.0
    assert found.documents.tolist() == [[1, 2, 0]]
    assert found.rows.tolist() == [[2, 4, 0]]
    np.testing.assert_allclose(found.scores, [[1.2, 1.06, 1.0]], atol=1e-6)
    only_words = block.lexical.ranking(3)
    assert only_words.documents.tolist() == [[1, 2, -1]]
    assert only_words.rows.tolist() == [[2, 3, -1]]


# What a user sees


def test_a_hit_is_the_whole_document(kb):
    hit = kb.search("file taxes jointly", 1)[0]
    assert (hit.id, hit.title, hit.text, dict(hit.metadata)) == ("tax", "Taxes", "Can we file jointly?", {"lang": "en"})
    assert hit.span == (0, 20)
    assert kb.get("köln") == DOCUMENTS[1]
    assert len(kb) == 6


def test_equal_scores_keep_the_order_of_the_documents(kb):
    assert ids(kb.search("the cat sat on the mat", 2)) == ["cat", "cat again"]
    assert ids(kb.search("the cat sat on the mat", 2, expert=BASE)) == ["cat", "cat again"]
    assert ids(kb.search("the cat sat on the mat", 2, expert=LEXICAL)) == ["cat", "cat again"]


def test_k_beyond_the_documents_gives_all_of_them(kb):
    for name in (None, BASE):
        assert sorted(ids(kb.search("cat", 50, expert=name))) == sorted(document.id for document in DOCUMENTS)


def test_bm25_alone_finds_only_documents_that_share_a_word(kb):
    hits = kb.search("dog mat", 50, expert=LEXICAL)
    assert ids(hits)[0] == "dog"
    assert sorted(ids(hits)) == ["cat", "cat again", "dog"]
    assert dict(hits.routing.weights) == {"bm25": 1.0}
    assert len(kb.search("zebra", 5, expert=LEXICAL)) == 0


def test_without_experts_everything_goes_to_the_base_with_some_bm25(kb):
    routing = kb.route("cat")
    assert dict(routing.weights) == pytest.approx({BASE: 1.0, LEXICAL: 0.2})
    assert dict(kb.search("cat").routing.weights) == dict(routing.weights)
    assert dict(kb.search("cat", expert=BASE).routing.weights) == {BASE: 1.0}


def test_an_empty_index_finds_nothing(tmp_path):
    with Retriever.create(tmp_path / "empty", base="hashing-32") as empty:
        for name in (None, BASE, LEXICAL):
            assert [len(hits) for hits in empty.search_batch(["cat", "dog"], 3, expert=name)] == [0, 0]
        assert empty.search_batch([], 3) == []
        assert dict(empty.route("cat").weights)[BASE] == 1.0


def test_a_reranker_decides_the_order(kb):
    seen = []

    def shortest_first(query, hits):
        seen.append((query, len(hits)))
        return [-len(hit.text) for hit in hits]

    hits = kb.search("the cat sat", 3, rerank=shortest_first)
    plain = kb.search("the cat sat", 3)
    assert seen == [("the cat sat", 3)]
    assert sorted(ids(hits)) == sorted(ids(plain))
    assert [hit.score for hit in hits] == sorted((-float(len(hit.text)) for hit in plain), reverse=True)
    same = kb.search("the cat sat", 3, rerank=lambda _, hits: np.ones(len(hits)))
    assert ids(same) == ids(plain)


@pytest.mark.parametrize(
    ("scores", "message"),
    [([1.0], "3 hits"), ([1.0, float("nan"), 0.0], "nan"), ([[1.0], [2.0], [3.0]], r"\(3, 1\)")],
)
def test_a_reranker_must_give_a_number_for_every_hit(kb, scores, message):
    with pytest.raises(InputError, match=message):
        kb.search("cat", 3, rerank=lambda *_: scores)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda kb: kb.search(""), "blank"),
        (lambda kb: kb.search(" \n"), "blank"),
        (lambda kb: kb.search(b"cat"), "bytes"),
        (lambda kb: kb.search("cat\ud800"), "query 0 has half a surrogate pair"),
        (lambda kb: kb.search("cat", 0), "k is 0"),
        (lambda kb: kb.search("cat", 1.5), r"k is 1\.5, expected a whole number"),
        (lambda kb: kb.search("cat", "3"), "k is '3', expected a whole number"),
        (lambda kb: kb.search("cat", None), "k is None, expected a whole number"),
        (lambda kb: kb.search_batch("cat"), "list of strings"),
        (lambda kb: kb.search_batch(3), "queries is a int, expected a list of strings"),
        (lambda kb: kb.search_batch(["cat", None]), "query 1 is a NoneType"),
        (lambda kb: kb.search_batch(["cat", "  "]), "query 1 is blank"),
        (lambda kb: kb.route(""), "blank"),
    ],
)
def test_bad_queries_are_refused(kb, call, message):
    with pytest.raises(InputError, match=message):
        call(kb)


@pytest.mark.parametrize(
    "query",
    ["🌧🔥 cat", "кошка 猫 قطة cat", "\u200b", "?!…", "cat\0dog", "cat " * 25_000, "x" * 100_000, "猫" * 100_000],
    ids=["emoji", "several scripts", "no width", "no word", "a zero", "many words", "one word", "no spaces"],
)
def test_odd_queries_find_something(kb, query):
    assert len(kb.search(query, 2)) == 2
    assert kb.search(query, 2).query == query


def test_an_unknown_expert_is_refused_with_the_names_that_are_there(kb):
    with pytest.raises(UnknownExpertError, match="'law'; there are base, bm25"):
        kb.search("cat", expert="law")
    with pytest.raises(UnknownExpertError, match="law.*none"):
        kb.remove_expert("law")


# Documents


def test_documents_are_added_once(kb, tmp_path):
    again = kb.add([*DOCUMENTS, {"id": "new", "text": "a new zebra"}])
    assert (again.added, again.unchanged) == (1, 6)
    assert ids(kb.search("zebra", 1)) == ["new"]
    (tmp_path / "more.jsonl").write_text(json.dumps({"_id": "1", "text": "a giraffe"}) + "\n", encoding="utf-8")
    assert kb.add(tmp_path / "more.jsonl", prefix_ids=True).added == 1
    assert kb.get("more/1").text == "a giraffe"
    assert kb.add(iter([{"id": "2", "text": "an okapi"}])).added == 1
    with pytest.raises(UnknownDocumentError, match="'1'"):
        kb.get("1")


def test_a_bad_source_adds_nothing(kb, tmp_path):
    with pytest.raises(DuplicateIdError, match="twice"):
        kb.add([{"id": "a", "text": "a"}, {"id": "a", "text": "b"}])
    with pytest.raises(CorpusError, match="does not exist"):
        kb.add(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="empty"):
        kb.add([])
    assert len(kb) == 6


def test_what_another_process_adds_shows_after_a_refresh(kb, tmp_path):
    with Retriever.open(tmp_path / "kb") as other:
        kb.add([{"id": "new", "text": "a new zebra"}])
        assert len(other) == 6
        other.refresh()
        assert ids(other.search("zebra", 1)) == ["new"]


def test_threads_search_while_one_adds(kb):
    wrong = []

    def search():
        for _ in range(40):
            hits = kb.search("the cat sat on the mat", 2)
            if ids(hits) != ["cat", "cat again"]:
                wrong.append(ids(hits))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(5):
        kb.add([{"id": f"new {number}", "text": f"zebra {number}"}])
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(kb) == 11


# The folder


def test_a_retriever_comes_back_from_its_folder(kb, tmp_path):
    with Retriever.open(tmp_path / "kb") as opened:
        assert opened.expert_names == ()
        assert ids(opened.search("cat", 3)) == ids(kb.search("cat", 3))
        info = opened.info()
    assert (info["documents"], info["base"], info["pack"], info["experts"]) == (6, "hashing-32", None, [])
    manifest = json.loads((tmp_path / "kb" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["kind"], manifest["format"], manifest["files"]) == ("retriever", 1, {})


def test_opening_loads_no_model(kb, tmp_path):
    code = (
        "import sys, time; from routeret import Retriever; start = time.perf_counter();"
        f"kb = Retriever.open({str(tmp_path / 'kb')!r}); print(time.perf_counter() - start < 0.5, len(kb));"
        "print(*sorted({'torch', 'transformers', 'faiss', 'sklearn', 'scipy', 'bm25s'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "6"]
    assert kb.index.folder == tmp_path / "kb"


def test_creating_over_something_is_refused_and_an_empty_folder_is_filled(kb, tmp_path):
    with pytest.raises(ArtifactError, match="exists already"):
        Retriever.create(tmp_path / "kb", base="hashing-32")
    (tmp_path / "there").mkdir()
    with Retriever.create(tmp_path / "there", base="hashing-32") as filled:
        assert len(filled) == 0
    assert len(kb) == 6


def test_a_failed_creation_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("routeret.retriever.creating.Contents.write", fail)
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "new", tmp_path / "there"):
        with pytest.raises(OSError, match="no space left"):
            Retriever.create(path, base="hashing-32")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_an_unknown_pack_is_refused(tmp_path):
    with pytest.raises(InputError, match="'no-such-pack' is neither a pack nor a folder"):
        Retriever.create(tmp_path / "kb", pack="no-such-pack")
    assert not (tmp_path / "kb").exists()


def test_a_folder_that_is_no_retriever_is_refused(tmp_path, encoder):
    Index.create(tmp_path / "index", encoder.space).close()
    with pytest.raises(ArtifactError, match=r"no manifest.json"):
        Retriever.open(tmp_path / "index")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, this version reads format 1"),
        ({"kind": "pack"}, "is a 'pack', expected a 'retriever'"),
        ({"base": {}}, "damaged"),
        ({"experts": [{"name": "law"}]}, "damaged"),
    ],
)
def test_another_manifest_is_refused(kb, tmp_path, change, message):
    path = tmp_path / "kb" / "manifest.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, **change}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        Retriever.open(kb.index.folder)


def test_an_encoder_of_ones_own_is_given_again(tmp_path, encoder):
    with Retriever.create(tmp_path / "kb", base=encoder) as retriever:
        retriever.add(DOCUMENTS)
    with Retriever.open(tmp_path / "kb") as opened:
        assert ids(opened.search("dog", 1, expert=LEXICAL)) == ["dog"]
        with pytest.raises(InputError, match="base=encoder"):
            opened.search("cat")
    with Retriever.open(tmp_path / "kb", base=encoder) as opened:
        assert len(opened.search("cat", 2)) == 2


def test_another_base_is_refused(kb, tmp_path):
    with Retriever.open(tmp_path / "kb", base="hashing-16") as opened:
        with pytest.raises(SpaceMismatchError, match="dim 32 against 16"):
            opened.search("cat")
        with pytest.raises(SpaceMismatchError, match="dim 32 against 16"):
            opened.add([{"id": "new", "text": "new"}])
    assert len(kb) == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_can_be_searched(kb, tmp_path):
    kb.close()
    (tmp_path / "kb").chmod(0o555)
    try:
        with Retriever.open(tmp_path / "kb") as opened:
            assert len(opened.search("cat", 3)) == 3
    finally:
        (tmp_path / "kb").chmod(0o755)
