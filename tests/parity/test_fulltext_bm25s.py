"""Full text against bm25s, and against itself however the documents came."""

from collections import Counter

import bm25s
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routeret.index.lexical import PARAMETERS, Covered, Fulltext, build, folder, fulltext, update
from routeret.index.lexical.stop_words import stop_words
from routeret.index.lexical.tokens import COUNT_BITS, Tokenizer

WORDS = [f"w{number}" for number in range(60)]


def random_texts(n_documents, *, seed, longest=150):
    rng = np.random.default_rng(seed)
    chances = 1 / (np.arange(len(WORDS)) + 2)
    chances /= chances.sum()
    return [" ".join(rng.choice(WORDS, rng.integers(0, longest), p=chances)) for _ in range(n_documents)]


def terms_of(text):
    entries, _ = Tokenizer().entries(text)
    return [entry >> COUNT_BITS for entry in entries for _ in range(entry % (1 << COUNT_BITS))]


def of_bm25s(texts, queries):
    number_by_term = {}
    documents = [[number_by_term.setdefault(term, len(number_by_term)) for term in terms_of(text)] for text in texts]
    bm25 = bm25s.BM25(k1=PARAMETERS["k1"], b=PARAMETERS["b"], method=PARAMETERS["method"])
    vocabulary = {str(term): number for term, number in number_by_term.items()}
    bm25.index((documents, vocabulary), create_empty_token=False, show_progress=False)
    return [bm25.get_scores([str(term) for term in terms_of(query)]) for query in queries]


@pytest.mark.parametrize("k", [1, 10, 300, 1000])
def test_the_same_scores_and_ranking_as_bm25s(tmp_path, monkeypatch, k):
    monkeypatch.setattr(folder, "MANY_DOCUMENTS", 100)
    texts = random_texts(300, seed=1)
    queries = random_texts(30, seed=2, longest=20) + ["w1", "w59", "w1 w1 w2"]
    build(tmp_path / "fulltext", enumerate(texts[:250]), covered=Covered(0, 250))
    update(tmp_path / "fulltext", enumerate(texts[250:], start=250), covered=Covered(0, 300))
    opened = Fulltext.open(tmp_path / "fulltext", generation=0, n_documents=300, removed=np.zeros(0, dtype=np.int64))
    for query, expected in zip(queries, of_bm25s(texts, queries), strict=True):
        np.testing.assert_allclose(opened.scores(query), expected, rtol=1e-5)
        found = opened.search(query, k)
        ranked = np.sort(expected[expected > 0])[::-1][:k]
        np.testing.assert_allclose(found.scores, ranked, rtol=1e-5)
        np.testing.assert_allclose(found.scores, expected[found.numbers], rtol=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01, 0.001])
def test_filters_are_exact(tmp_path, monkeypatch, share):
    monkeypatch.setattr(folder, "MANY_DOCUMENTS", 100)
    # Direct scoring would be chosen always, since there are so few documents.
    monkeypatch.setattr(fulltext, "_SCORED_PER_CANDIDATE", 0.5)
    monkeypatch.setattr(fulltext, "_LEAST_WIDTH", 4)
    n_documents = 2000
    texts = random_texts(n_documents, seed=3, longest=60)
    build(tmp_path / "fulltext", enumerate(texts), covered=Covered(0, n_documents))
    opened = Fulltext.open(
        tmp_path / "fulltext", generation=0, n_documents=n_documents, removed=np.arange(0, n_documents, 7)
    )
    rng = np.random.default_rng(4)
    for query in random_texts(10, seed=5, longest=20):
        scores = opened.scores(query)
        # Half of the filters take the worst documents: what is allowed lies far behind the best.
        is_allowed = rng.random(n_documents) < share
        is_worst = scores <= np.quantile(scores, share)
        for allowed in (is_allowed, is_worst):
            order = np.lexsort((np.arange(n_documents), -scores))
            expected = [number for number in order.tolist() if allowed[number] and scores[number] > 0]
            for k in (1, 10, 100):
                found = opened.search(query, k, allowed=allowed)
                assert found.numbers.tolist() == expected[:k]
                assert found.scores.tolist() == scores[expected[:k]].tolist()


def test_the_engine_finds_what_a_full_pass_finds(tmp_path, monkeypatch):
    """Few enough hits are asked for that tantivy really searches."""
    n_documents = 3000
    monkeypatch.setattr(fulltext, "_LEAST_WIDTH", 8)
    texts = random_texts(n_documents, seed=6)
    build(tmp_path / "fulltext", enumerate(texts), covered=Covered(0, n_documents))
    nothing = np.zeros(0, dtype=np.int64)
    opened = Fulltext.open(tmp_path / "fulltext", generation=0, n_documents=n_documents, removed=nothing)
    asked = Counter()
    candidates = opened._candidates
    best = candidates.best
    monkeypatch.setattr(candidates, "best", lambda *given: asked.update(["best"]) or best(*given))
    for query in random_texts(40, seed=7, longest=8):
        scores = opened.scores(query)
        order = np.lexsort((np.arange(n_documents), -scores))
        for k in (1, 5, 20):
            expected = [number for number in order[:k].tolist() if scores[number] > 0]
            assert opened.search(query, k).numbers.tolist() == expected
    assert asked["best"] > 40


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_results_do_not_depend_on_how_the_documents_came(tmp_path_factory, data):
    words = st.lists(st.sampled_from(WORDS[:8]), max_size=8).map(" ".join)
    texts = data.draw(st.lists(words, min_size=1, max_size=25))
    ends = sorted(data.draw(st.sets(st.integers(0, len(texts)), max_size=4)) | {len(texts)})
    n_documents = data.draw(st.integers(0, len(texts)))
    removed = data.draw(st.sets(st.integers(0, len(texts) - 1)))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))), dtype=bool)
    query, k = data.draw(words), data.draw(st.integers(1, 30))
    path = tmp_path_factory.mktemp("property") / "fulltext"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "MANY_DOCUMENTS", data.draw(st.integers(1, 10)))
        patch.setattr(fulltext, "_LEAST_WIDTH", 2)
        build(path, [], covered=Covered(0, 0))
        for start, end in zip([0, *ends], ends, strict=False):
            update(path, list(enumerate(texts))[start:end], covered=Covered(0, end))
        gone = np.array(sorted(removed), dtype=np.int64)
        opened = Fulltext.open(path, generation=0, n_documents=n_documents, removed=gone)
        living = [(number, text) for number, text in enumerate(texts[:n_documents]) if number not in removed]
        expected = Fulltext.of(living, n_documents=n_documents)
        found, slow = opened.search(query, k, allowed=allowed), expected.search(query, k, allowed=allowed)
        assert found.numbers.tolist() == slow.numbers.tolist()
        assert found.scores.tolist() == slow.scores.tolist()
        every = np.arange(n_documents)
        assert opened.scores_of(query, every).tolist() == expected.scores(query).tolist()


def test_the_stop_words_are_those_of_bm25s():
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    assert stop_words() == STOPWORDS_EN_PLUS
    assert "the" in stop_words()
