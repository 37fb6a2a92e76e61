"""The map that an index makes of its documents: by hand, and in step with the index."""

import numpy as np
import pytest
from tiny_packs import pilot_corpus, write_expert

from routeret.corpus import Corpus
from routeret.encoders import HashingEncoder
from routeret.experts import LinearExpert
from routeret.index import Index
from routeret.retriever import Retriever
from routeret.retriever.index_map import IndexMap, evenly
from routeret.routing import PilotCorpus, PilotLibrary, RouterSettings, UtilityRouter
from routeret.routing.whitening import whitening
from routeret.types import Document, QueryBatch

BASE = HashingEncoder(32)


def documents(n, *, start=0):
    rng = np.random.default_rng(7 + start)
    words = [f"word{number}" for number in range(60)]
    return [Document(id=f"d{start + number}", text=" ".join(rng.choice(words, size=8))) for number in range(n)]


def corpus_of(n, *, start=0):
    return Corpus.from_documents(documents(n, start=start), name="words")


def nobody(numbers):
    return np.zeros(len(numbers), dtype=np.bool_)


def on_axes(*lengths):
    """Vectors on both sides of every axis, so that the covariance is diagonal: 2 * length² / (2 * dim) each."""
    axes = np.diag(np.array(lengths, dtype=np.float32))
    return np.concatenate([axes, -axes])


def test_directions_in_which_documents_vary_more_count_less():
    vectors = on_axes(3, 1)
    # Variances 4.5 and 0.5, ridge 2.5: the inverse has 1/7 and 1/3. The scale keeps the mean squared length, 5, of
    # documents: c² (4.5 / 49 + 0.5 / 9) = 5.
    scale = np.sqrt(5 / (4.5 / 49 + 0.5 / 9))
    np.testing.assert_allclose(whitening(vectors), np.diag([scale / 7 - 1, scale / 3 - 1]), atol=1e-5)


def test_documents_that_vary_alike_in_all_directions_change_nothing():
    np.testing.assert_allclose(whitening(on_axes(1, 1, 1)), np.zeros((3, 3)), atol=1e-6)


def test_documents_keep_their_mean_squared_length():
    vectors = np.random.default_rng(1).normal(size=(400, 6)) * [4, 3, 2, 1, 1, 0.5] + [1, 0, 0, 0, 0, 0]
    turned = vectors + vectors @ whitening(vectors.astype(np.float32)).T
    assert (turned**2).sum(axis=1).mean() == pytest.approx((vectors**2).sum(axis=1).mean(), rel=1e-4)


def test_what_tells_clusters_apart_is_kept():
    rng = np.random.default_rng(2)
    # Two subjects far apart on the first axis; within each, the second axis varies most.
    vectors = rng.normal(size=(2000, 3)) * [0.1, 1.0, 0.3] + np.repeat([[5, 0, 0], [-5, 0, 0]], 1000, axis=0)
    inside = np.diag(whitening(vectors.astype(np.float32)))
    assert inside[0] > inside[1]
    assert inside[0] > -0.2


def test_the_same_documents_give_the_same_map():
    vectors = np.random.default_rng(3).normal(size=(600, 8)).astype(np.float32)
    np.testing.assert_array_equal(whitening(vectors), whitening(vectors))


@pytest.mark.parametrize("vectors", [np.ones((1, 3)), np.ones((4, 3)), np.eye(3)[:1]])
def test_documents_that_do_not_vary_give_a_finite_map(vectors):
    assert np.isfinite(whitening(vectors.astype(np.float32))).all()


@pytest.fixture
def index(tmp_path):
    with Index.create(tmp_path / "index", BASE.space) as opened:
        yield opened


def test_few_documents_have_no_map(index):
    index.add(corpus_of(499), BASE)
    assert IndexMap().weight(index, is_known=nobody) is None


def test_documents_that_an_expert_knows_are_left_out(index):
    index.add(corpus_of(700), BASE)
    np.testing.assert_array_equal(
        IndexMap().weight(index, is_known=lambda numbers: numbers >= 500), whitening(index.vectors(np.arange(500)))
    )
    assert IndexMap().weight(index, is_known=lambda numbers: numbers >= 499) is None


def test_the_map_is_computed_again_when_a_quarter_more_has_come(index):
    kept = IndexMap()
    index.add(corpus_of(500), BASE)
    first = kept.weight(index, is_known=nobody)
    index.add(corpus_of(124, start=500), BASE)
    assert kept.weight(index, is_known=nobody) is first
    index.add(corpus_of(1, start=624), BASE)
    np.testing.assert_array_equal(kept.weight(index, is_known=nobody), whitening(index.vectors(np.arange(625))))


def test_a_map_depends_on_what_the_index_holds_and_not_on_its_history(index):
    kept = IndexMap()
    for start in range(0, 900, 150):
        index.add(corpus_of(150, start=start), BASE)
        kept.weight(index, is_known=nobody)
    index.delete([f"d{number}" for number in range(0, 200, 7)])
    index.upsert(Corpus.from_documents([Document(id="d1", text="another text")], name="one"), BASE)
    np.testing.assert_array_equal(
        kept.weight(index, is_known=nobody), IndexMap().weight(index, is_known=nobody), strict=True
    )


def test_no_map_outlives_its_documents(index):
    kept = IndexMap()
    index.add(corpus_of(600), BASE)
    before = kept.weight(index, is_known=nobody)
    index.sync(corpus_of(600, start=1000), BASE)
    index.compact()
    after = kept.weight(index, is_known=nobody)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, IndexMap().weight(index, is_known=nobody))


def test_a_few_unknown_documents_among_many_known_ones_are_found(index):
    index.add(corpus_of(6000), BASE)
    # One of ten is unknown. 600 of them are left, of which the largest step is 500.
    weight = IndexMap().weight(index, is_known=lambda numbers: numbers % 10 != 0)
    rows = evenly(np.arange(6000), most=16_000)
    unknown = rows[rows % 10 == 0]
    np.testing.assert_array_equal(weight, whitening(index.vectors(evenly(unknown, most=4000))))


def test_evenly():
    np.testing.assert_array_equal(evenly(np.arange(499), most=4000), np.arange(499))
    np.testing.assert_array_equal(evenly(np.arange(10, 634), most=4000), np.arange(10, 510))
    np.testing.assert_array_equal(evenly(np.arange(625), most=3), [0, 312, 624])
    assert len(evenly(np.arange(0), most=3)) == 0


@pytest.mark.parametrize("n_texts", [1, 3, 7])
def test_many_copies_of_a_few_texts_warn_of_nothing(index, n_texts):
    texts = [f"text {number} of some" for number in range(n_texts)]
    copies = [Document(id=f"c{number}", text=texts[number % n_texts]) for number in range(600)]
    index.add(Corpus.from_documents(copies, name="copies"), BASE)
    assert np.isfinite(IndexMap().weight(index, is_known=nobody)).all()


def test_an_empty_index_and_one_of_zeros_have_no_map(index, monkeypatch):
    assert IndexMap().weight(index, is_known=nobody) is None
    index.add(corpus_of(600), BASE)
    monkeypatch.setattr(index, "vectors", lambda rows: np.zeros((len(rows), 32), dtype=np.float32))
    assert IndexMap().weight(index, is_known=nobody) is None


@pytest.fixture
def router():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1]]
    gains = {"nurse": np.full((3, 4), 0.2, dtype=np.float32)}
    library = PilotLibrary("0" * 16, (PilotCorpus("care", ("a", "b", "c"), vectors, gains, home_experts=("nurse",)),))
    return UtilityRouter.fit(library, ["nurse"], settings=RouterSettings(known_share=0.25, index_strength=0.2))


def test_the_map_acts_as_far_as_no_expert_knows_the_first_hits(router):
    queries = QueryBatch(("q",) * 4, np.eye(4, dtype=np.float32))
    routing = router.route(queries, known=np.array([[0.0], [0.125], [0.25], [1.0]], dtype=np.float32))
    np.testing.assert_allclose(routing.adaptation, [0.2, 0.1, 0.0, 0.0], atol=1e-7)
    assert routing.explain(1).adaptation == pytest.approx(0.1)
    assert routing.explain(1).as_dict()["adaptation"] == pytest.approx(0.1)


def test_a_search_ranks_by_queries_that_the_map_has_turned(tmp_path):
    weight = np.zeros((32, 32), dtype=np.float32)
    expert = LinearExpert("nurse", weight, 1.0, BASE.space, BASE.query_tower, np.zeros(0, dtype=np.uint64))
    folder = write_expert(tmp_path / "nurse", expert, pilot_corpus("fruit", {"nurse": 0.1}, home=["nurse"]))
    text = "word1 word2 word3"
    with Retriever.create(tmp_path / "kb", base="hashing-32", storage="fp32") as kb:
        kb.add(documents(600))
        plain = kb.search(text, 5, expert="base")
        kb.add_expert(folder)
        hits = kb.search(text, 5)
        assert hits.routing.adaptation == pytest.approx(0.2)
        assert plain.routing.adaptation == 0
        vectors = kb.index.vectors(np.arange(600))
        query = BASE.encode_queries([text])[0]
        turned = query + np.float32(0.2) * (whitening(vectors[:500]) @ query)
        turned /= np.linalg.norm(turned)
        lexical = {hit.id: hit.score for hit in kb.search(text, 600, expert="bm25")}
        best, weight_of_words = max(lexical.values()), hits.routing.weights["bm25"]
        expected = {
            f"d{number}": float(cosine) + weight_of_words * lexical.get(f"d{number}", 0.0) / best
            for number, cosine in enumerate(vectors @ turned)
        }
        assert [hit.id for hit in hits] == sorted(expected, key=lambda one: -expected[one])[:5]
        np.testing.assert_allclose([hit.score for hit in hits], [expected[hit.id] for hit in hits], atol=1e-4)


def test_an_index_too_small_for_a_map_says_that_it_turns_nothing(tmp_path):
    expert = LinearExpert(
        "nurse", np.zeros((32, 32), dtype=np.float32), 1.0, BASE.space, BASE.query_tower, np.zeros(0, dtype=np.uint64)
    )
    folder = write_expert(tmp_path / "nurse", expert, pilot_corpus("fruit", {"nurse": 0.1}, home=["nurse"]))
    with Retriever.create(tmp_path / "kb", base="hashing-32") as kb:
        kb.add(documents(499))
        kb.add_expert(folder)
        assert kb.route("word1 word2").adaptation == 0
