"""Documents of training corpora that a query does not look like are lowered; by hand."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_packs import linear_expert, pilot_corpus, write_expert

from routeret.encoders import HashingEncoder
from routeret.retriever import Retriever
from routeret.retriever.known_documents import Groups
from routeret.retriever.ranking import NONE, Ranking, ScoredDocuments
from routeret.retriever.standing import DocumentStanding
from routeret.routing import (
    PilotCorpus,
    PilotLibrary,
    RouterSettings,
    UtilityRouter,
    load_pilots,
    save_pilots,
)
from routeret.routing.standing import CorpusStanding
from routeret.types import Document, QueryBatch

# Experts: of care, of code, of both. Corpora: care, code, and a small one that only the expert of all was trained on.
OWNERS = np.array([0, 1, 2])
BREADTHS = np.array([1, 1, 3])
SCORES = np.array([[0.1, 0.04, 0.01], [0.0, 0.12, 0.03]], dtype=np.float32)
STANDING = CorpusStanding(OWNERS, BREADTHS, SCORES)

CARE, CODE, SMALL, NOBODY = [True, False, True], [False, True, True], [False, False, True], [False, False, False]
KNOWS = np.array([CARE, CODE, SMALL, NOBODY, CARE])


# The documents that the same experts know are a group.
KNOWN = np.array([CARE, CODE, SMALL, NOBODY])
GROUPS = np.array([0, 1, 2, 3, 0])


def groups_of(documents):
    return Groups(GROUPS[documents], KNOWN)


def standing_of(*first_hits):
    """What documents are lowered by, for queries with these first hits."""
    return DocumentStanding(STANDING, groups_of(np.array(first_hits)), groups_of=groups_of)


def ranking_of(*lines):
    documents = np.array([[document for document, _ in line] for line in lines], dtype=np.int64)
    scores = np.array([[score for _, score in line] for line in lines], dtype=np.float32)
    return Ranking(documents, np.where(documents == NONE, NONE, documents + 100), scores)


def test_a_document_counts_as_its_corpus_does_and_not_as_that_of_a_broader_expert():
    stands = STANDING.stands(KNOWS)
    np.testing.assert_array_equal(stands, [*np.eye(3, dtype=bool), [False] * 3, [True, False, False]])
    np.testing.assert_allclose(STANDING.of(0, stands), [0.1, 0.04, 0.01, -np.inf, 0.1])
    np.testing.assert_allclose(STANDING.of(1, stands), [0.0, 0.12, 0.03, -np.inf, 0.0])


def test_every_document_may_be_asked_for_with_a_query_of_its_own():
    queries = np.array([1, 0, 1, 0, 0])
    np.testing.assert_allclose(STANDING.of(queries, STANDING.stands(KNOWS)), [0.0, 0.04, 0.03, -np.inf, 0.1])


def by_looking_at_each(standing, query, knows):
    """What the corpora of documents count, one document, expert and corpus after the other."""
    counts = []
    for line in knows:
        known = [column for column, is_known in enumerate(line) if is_known]
        narrowest = min((standing.breadths[column] for column in known), default=0)
        special = [column for column in known if standing.breadths[column] == narrowest]
        corpora = [corpus for corpus, owner in enumerate(standing.owners) if owner in special]
        counts.append(max((standing.scores[query, corpus] for corpus in corpora), default=-np.inf))
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_all_documents_at_once_count_as_each_does(seed):
    rng = np.random.default_rng(seed)
    owners, breadths = rng.integers(-1, 6, size=7), rng.integers(1, 4, size=6)
    standing = CorpusStanding(owners, breadths, rng.normal(size=(2, 7)).astype(np.float32))
    knows = rng.random((40, 6)) < 0.3
    for query in range(2):
        expected = by_looking_at_each(standing, query, knows)
        np.testing.assert_array_equal(standing.of(query, standing.stands(knows)), expected)


def test_of_several_corpora_the_one_that_counts_most_counts():
    both = STANDING.stands(np.array([[True, True, True]]))
    np.testing.assert_allclose(STANDING.of(0, both), [0.1])
    np.testing.assert_allclose(STANDING.of(1, both), [0.12])


def test_a_corpus_without_an_expert_in_the_pool_has_no_documents():
    standing = CorpusStanding(np.array([0, -1]), np.array([1]), np.array([[0.1, 0.2]], dtype=np.float32))
    stands = standing.stands(np.array([[True], [False]]))
    np.testing.assert_array_equal(stands, [[True, False], [False, False]])
    np.testing.assert_allclose(standing.of(0, stands), [0.1, -np.inf])


def test_documents_are_lowered_by_what_their_corpus_counts_less_and_unknown_ones_are_not():
    standing = standing_of([0, 1, 3], [0, 1, 3])
    assert standing.acts.tolist() == [True, True]
    ranking = ranking_of(
        [(1, 0.50), (0, 0.48), (3, 0.46), (2, 0.45), (NONE, 0.0)],
        [(0, 0.50), (1, 0.48), (3, 0.46), (2, 0.45), (4, 0.3)],
    )
    found = standing.lowered(ranking, np.array([0, 1]))
    # The first query looks like care: code is lowered by 0.06, the small corpus by 0.09.
    assert found.documents[0].tolist() == [0, 3, 1, 2, NONE]
    np.testing.assert_allclose(found.scores[0, :4], [0.48, 0.46, 0.44, 0.36], atol=1e-6)
    assert found.rows[0].tolist() == [100, 103, 101, 102, NONE]
    # The second one like code: care is lowered by 0.12, the small corpus by 0.09.
    assert found.documents[1].tolist() == [1, 3, 0, 2, 4]
    np.testing.assert_allclose(found.scores[1], [0.48, 0.46, 0.38, 0.36, 0.18], atol=1e-6)


def test_documents_alone_are_lowered_as_in_a_ranking():
    standing = standing_of([0, 1])
    found = ScoredDocuments(np.array([1, 3]), np.array([7, 8]), np.array([0.5, 0.5], dtype=np.float32))
    np.testing.assert_allclose(standing.lowered_scores(found, 0), [0.44, 0.5], atol=1e-6)


def test_what_all_documents_are_lowered_by_for_every_query():
    standing = standing_of([0, 1, 3], [0, 1, 3])
    expected = [[0, 0.06, 0.09, 0, 0], [0.12, 0, 0.09, 0, 0.12]]
    np.testing.assert_allclose(standing.penalties(np.arange(5)), expected, atol=1e-6)
    no_hits = Groups(np.zeros((0, 3), dtype=np.int64), KNOWN)
    nobody_asked = DocumentStanding(STANDING, no_hits, groups_of=groups_of)
    assert nobody_asked.penalties(np.arange(5)).shape == (0, 5)


def test_documents_that_are_looked_up_after_the_first_hits_may_be_groups_of_their_own():
    first = Groups(np.array([[0, 1]]), KNOWN[:2])
    standing = DocumentStanding(STANDING, first, groups_of=groups_of)
    np.testing.assert_allclose(standing.penalties(np.arange(5)), [[0, 0.06, 0.09, 0, 0]], atol=1e-6)


def test_a_corpus_that_counts_more_than_all_in_sight_raises_nothing():
    standing = standing_of([1])
    found = standing.lowered(ranking_of([(1, 0.5), (0, 0.4), (2, 0.3)]), np.array([0]))
    np.testing.assert_allclose(found.scores[0], [0.5, 0.4, 0.27], atol=1e-6)


def test_one_corpus_or_none_in_sight_changes_no_score():
    ranking = ranking_of([(0, 0.5), (4, 0.4), (3, 0.3)])
    of_one = standing_of([0, 4])
    assert of_one.lowered(ranking, np.array([0])) is ranking
    of_none = standing_of([3])
    assert not of_none.acts.any()
    np.testing.assert_array_equal(of_none.lowered(ranking, np.array([0])).scores, ranking.scores)


@pytest.fixture
def library():
    def corpus(name, center, home):
        noise = np.random.default_rng(len(name)).normal(scale=0.05, size=(20, 4))
        return PilotCorpus(
            name, tuple(f"{name} {i}" for i in range(20)), (center + noise).astype(np.float32), {}, home_experts=home
        )

    one, two = np.eye(4)[:2]
    return PilotLibrary("0" * 16, (corpus("care", one, ("nurse", "all")), corpus("code", two, ("coder", "all"))))


def test_the_router_says_what_corpora_count(library):
    router = UtilityRouter.fit(library, ["all", "coder", "nurse"], settings=RouterSettings(corpus_penalty=0.2))
    query = np.array([[1, 0, 0, 0]], dtype=np.float32)
    standing = router.route(QueryBatch(("q",), query), known=np.zeros((1, 3), dtype=np.float32)).standing
    assert standing.owners.tolist() == [2, 1]
    assert standing.breadths.tolist() == [2, 1, 1]
    np.testing.assert_allclose(standing.scores, 0.2 * router.guess.probabilities(query), atol=1e-7)
    assert standing.scores[0, 0] > 0.15


def test_what_an_index_was_tuned_on_is_no_corpus_of_documents(library):
    vectors = np.array([[0, 0, 1, 0]] * 4, dtype=np.float32)
    own = PilotCorpus("tuned", ("a", "b", "c", "d"), vectors, home_experts=("tuned",), is_index=True)
    both = replace(library, corpora=(*library.corpora, own))
    router = UtilityRouter.fit(both, ["nurse", "coder", "tuned"])
    query = np.array([[1, 0, 0, 0]], dtype=np.float32)
    standing = router.route(QueryBatch(("q",), query), known=np.zeros((1, 3), dtype=np.float32)).standing
    assert standing.owners.tolist() == [0, 1, -1]
    # Its expert knows all documents. One of care stays one of care, and one of the user's own is in no corpus.
    counts = standing.of(0, standing.stands(np.array([[True, False, True], [False, False, True]])))
    assert counts[0] == standing.scores[0, 0]
    assert counts[1] == -np.inf


def test_the_mark_of_an_index_is_kept(library, tmp_path):
    own = replace(library.corpora[0], is_index=True)
    save_pilots(replace(library, corpora=(own, library.corpora[1])), tmp_path / "pilots")
    assert [corpus.is_index for corpus in load_pilots(tmp_path / "pilots").corpora] == [True, False]


def test_the_best_are_the_same_however_many_are_asked_for(tmp_path):
    encoder = HashingEncoder(32)
    query = "which fruit is red"
    rng = np.random.default_rng(0)
    texts = [f"{query} " + " ".join(f"x{rng.integers(10**6)}" for _ in range(rng.integers(1, 6))) for _ in range(3000)]
    stored = [Document(id=str(number), text=text) for number, text in enumerate(texts)]
    cosines = encoder.encode_documents(stored).vectors @ encoder.encode_queries([query])[0]
    # Many documents of the wrong corpus stand before all but one of the right corpus.
    wrong = [replace(stored[row], id=f"b{row}") for row in np.flatnonzero((cosines > 0.9) & (cosines < 0.93))[:120]]
    right = [replace(stored[row], id=f"a{row}") for row in np.flatnonzero((cosines > 0.86) & (cosines < 0.89))[:15]]
    assert (len(wrong), len(right)) == (120, 15)
    right.insert(0, Document(id="a", text=query))
    asked = {
        "fruit": [f"which fruit is {one}" for one in ("red", "green", "blue", "old")],
        "ships": ["a boat", "steam"],
    }
    with Retriever.create(tmp_path / "kb", base="hashing-32", storage="fp32") as kb:
        kb.add(wrong + right)
        for name, known in (("fruit", right), ("ships", wrong)):
            corpora = [pilot_corpus(one, {name: -0.1}, texts=asked[one] * 6, home=[one]) for one in asked]
            kb.add_expert(write_expert(tmp_path / name, linear_expert(name, known=known), *corpora))
        found = {k: [hit.id for hit in kb.search(query, k, disable=["bm25"])] for k in (10, 60, 120, 136)}
    assert all(one.startswith("a") for one in found[10])
    assert all(ids[:10] == found[136][:10] for ids in found.values())
    assert found[120] == found[136][:120]


def test_a_penalty_of_nothing_and_a_pool_without_homes_have_no_standing(library):
    query = QueryBatch(("q",), np.eye(4, dtype=np.float32)[:1])
    off = UtilityRouter.fit(library, ["nurse"], settings=RouterSettings(corpus_penalty=0.0))
    assert off.route(query, known=np.zeros((1, 1), dtype=np.float32)).standing is None
    stranger = UtilityRouter.fit(library, ["stranger"])
    assert stranger.route(query, known=np.zeros((1, 1), dtype=np.float32)).standing is None
