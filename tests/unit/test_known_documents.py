"""Which experts know which documents of an index: by content, by fingerprint, and asked again."""

from dataclasses import replace

import numpy as np
import pytest
from cutting import BARS
from tiny_packs import DIM, ENCODER, TEXTS, documents_of, linear_expert, pilot_corpus, write_expert

from routeret.corpus import Corpus
from routeret.experts.fingerprints import fingerprints
from routeret.experts.sketch import TrainingSketch
from routeret.index import Index
from routeret.retriever import Retriever, known_documents
from routeret.retriever.expert_fits import agreement, expert_fits
from routeret.retriever.known_documents import KnownDocuments
from routeret.retriever.pool import Pool
from routeret.retriever.ranking import Ranking
from routeret.retriever.searching import Searcher
from routeret.types import Document


def sketched(name, *documents, space=ENCODER.space, seed=0):
    vectors = ENCODER.encode_documents(documents).vectors if documents else np.zeros((0, DIM), dtype=np.float32)
    sketch = TrainingSketch.of(ENCODER.space, documents=[vectors], queries=[])
    return replace(linear_expert(name, seed=seed), sketch=replace(sketch, space=space.fingerprint))


def texts(*values):
    return [Document(id=f"t{number}", text=text) for number, text in enumerate(values)]


@pytest.fixture
def index(tmp_path):
    with Index.create(tmp_path / "index", ENCODER.space) as opened:
        opened.add(Corpus.from_documents([*documents_of("fruit"), *documents_of("ships")], name="all"), [ENCODER])
        yield opened


def all_numbers(index):
    return np.arange(index.n_numbers)


def test_documents_of_the_same_content_are_known(index):
    experts = [linear_expert("fruit", known=documents_of("fruit")[:2]), linear_expert("none")]
    knows = KnownDocuments(index, experts).by(all_numbers(index))
    assert knows[:, 0].tolist() == [True] * 2 + [False] * 8
    assert not knows[:, 1].any()


def test_documents_that_are_written_otherwise_are_known_by_their_fingerprints(index):
    # The encoder looks at words alone, so its vectors are equal; the contents are not.
    otherwise = texts("A RED apple!", "banana, yellow: a")
    expert = sketched("fruit", *otherwise)
    assert expert.sketch.radius > 0
    assert not np.isin([one.content_key for one in otherwise], index.content_keys(all_numbers(index))).any()
    knows = KnownDocuments(index, [expert]).by(all_numbers(index))
    assert knows[:, 0].tolist() == [True] * 2 + [False] * 8


def test_the_radius_says_how_near(index):
    vectors = index.vectors(all_numbers(index))
    codes = fingerprints(vectors)
    expert = sketched("fruit", *documents_of("fruit"))
    for radius in (0, 3, 6):
        for flips in (radius, radius + 1):
            near = codes[:1] ^ np.uint64((1 << flips) - 1)
            changed = replace(expert, sketch=replace(expert.sketch, fingerprints=near, radius=radius))
            expected = np.bitwise_count(codes ^ near) <= radius
            assert KnownDocuments(index, [changed]).by(all_numbers(index))[:, 0].tolist() == expected.tolist()
            assert expected[0] == (flips == radius)


def test_a_sketch_of_another_space_says_nothing(index):
    elsewhere = replace(ENCODER.space, model="ab" * 32)
    knows = KnownDocuments(index, [sketched("fruit", *documents_of("fruit"), space=elsewhere)]).by(all_numbers(index))
    assert not knows.any()


def test_a_document_is_known_by_one_of_its_spans(tmp_path):
    document = Document(id="long", text="a red apple|a steam ship")
    with Index.create(tmp_path / "spans", ENCODER.space, chunker=BARS) as index:
        index.add(Corpus.from_documents([document, *texts("a fast ferry and more")], name="long"), [ENCODER])
        experts = [sketched("fruit", *texts("a red apple")), sketched("ships", *texts("a grey submarine"))]
        assert KnownDocuments(index, experts).by(np.arange(2)).tolist() == [[True, False], [False, False]]


def test_columns_stay_in_order_where_they_fill_more_than_a_byte(index):
    names = [f"e{number}" for number in range(10)]
    everything = [*documents_of("fruit"), *documents_of("ships")]
    experts = [linear_expert(name, known=everything[number : number + 1]) for number, name in enumerate(names)]
    known = KnownDocuments(index, experts)
    np.testing.assert_array_equal(known.by(all_numbers(index)), np.eye(10, dtype=bool))
    # Asked again, in part and in another order.
    np.testing.assert_array_equal(known.by(np.array([9, 0, 4])), np.eye(10, dtype=bool)[[9, 0, 4]])


def test_what_was_looked_up_is_not_looked_up_again(index, monkeypatch):
    asked = []
    keys = index.content_keys
    monkeypatch.setattr(index, "content_keys", lambda numbers: asked.append(numbers.tolist()) or keys(numbers))
    known = KnownDocuments(index, [linear_expert("fruit", known=documents_of("fruit"))])
    for numbers in ([0, 7], [7], [7, 2, 0]):
        known.by(np.array(numbers))
    assert asked == [[0, 7], [2]]


def test_documents_may_be_looked_up_before_anybody_asks(index, monkeypatch):
    index.delete(["f1"])
    asked = watched(index, monkeypatch)
    monkeypatch.setattr(known_documents, "MOST_AHEAD", 4)
    known = KnownDocuments(index, [linear_expert("fruit", known=documents_of("fruit"))])
    assert known.by(np.array([2])).tolist() == [[True]]
    known.look_ahead()
    known.look_ahead()
    assert known.by(np.array([0, 3, 4, 5]))[:, 0].tolist() == [True, True, True, False]
    assert asked == [[2], [0, 3, 4], [5]]


def test_documents_may_be_asked_for_in_lines_and_more_than_once(index, monkeypatch):
    asked = watched(index, monkeypatch)
    known = KnownDocuments(index, [linear_expert("fruit", known=documents_of("fruit")), linear_expert("none")])
    fruit, ship = [True, False], [False, False]
    assert known.by(np.array([[7, 0, 7], [2, 0, 9]])).tolist() == [[ship, fruit, ship], [fruit, fruit, ship]]
    assert asked == [[0, 2, 7, 9]]


def test_documents_that_the_same_experts_know_are_a_group(index):
    known = KnownDocuments(index, [linear_expert("fruit", known=documents_of("fruit")), linear_expert("none")])
    ship = known.groups(np.array([7]))
    assert (ship.numbers.tolist(), ship.known.tolist()) == ([0], [[False, False]])
    both = known.groups(np.array([[9, 0], [1, 7]]))
    assert both.numbers.tolist() == [[0, 1], [1, 0]]
    assert both.known.tolist() == [[False, False], [True, False]]


def watched(index, monkeypatch):
    """Whose content was looked at, call by call."""
    asked = []
    keys = index.content_keys
    monkeypatch.setattr(index, "content_keys", lambda numbers: asked.append(numbers.tolist()) or keys(numbers))
    return asked


def test_what_was_looked_up_before_the_index_changed_is_kept(index, monkeypatch):
    experts = [linear_expert("fruit", known=documents_of("fruit"))]
    before = KnownDocuments(index, experts)
    assert before.by(np.array([0, 5]))[:, 0].tolist() == [True, False]
    index.add(Corpus.from_documents(texts("a red apple", "a stone"), name="more"), [ENCODER])
    index.delete(["f1"])
    asked = watched(index, monkeypatch)
    after = KnownDocuments(index, experts, before=before)
    assert after.by(np.array([0, 5, 10, 11]))[:, 0].tolist() == [True, False, True, False]
    assert asked == [[10, 11]]


def test_what_was_looked_up_is_forgotten_where_documents_have_other_numbers(index):
    experts = [linear_expert("fruit", known=documents_of("fruit"))]
    before = KnownDocuments(index, experts)
    assert before.by(all_numbers(index))[:, 0].tolist() == [True] * 5 + [False] * 5
    index.delete(["f0", "f1"])
    index.compact()
    index.add(Corpus.from_documents(texts("a stone", "a pebble"), name="more"), [ENCODER])
    after = KnownDocuments(index, experts, before=before)
    assert after.by(all_numbers(index))[:, 0].tolist() == [True] * 3 + [False] * 7


def test_a_retriever_does_not_look_up_again_what_was_there_before_an_addition(tmp_path, monkeypatch):
    expert = linear_expert("fruit", known=documents_of("fruit"))
    folder = write_expert(tmp_path / "fruit", expert, pilot_corpus("fruit", {"fruit": 0.1}, home=["fruit"]))
    with Retriever.create(tmp_path / "kb", base=ENCODER) as retriever:
        retriever.add(documents_of("fruit"))
        retriever.add_expert(folder)
        assert retriever.search("red fruit").routing.known_documents == {"fruit": 1.0}
        retriever.add(documents_of("ships"))
        asked = watched(retriever.index, monkeypatch)
        assert retriever.search("red fruit").routing.known_documents == {"fruit": 0.5}
        retriever.delete([document.id for document in documents_of("ships")])
        assert retriever.search("red fruit").routing.known_documents == {"fruit": 1.0}
        # Without the expert the pool is another one, and nothing is kept.
        assert asked == [[5, 6, 7, 8, 9]]


def test_many_nearly_equal_documents_are_united_expert_by_expert(index):
    # All documents of the index are near one of the first expert's, and those of one kind near the others'.
    names = ["fruit", "ships"]
    experts = [sketched("all", *documents_of("fruit"), *documents_of("ships"))]
    experts += [sketched(names[number % 2], *documents_of(names[number % 2])) for number in range(9)]
    knows = KnownDocuments(index, experts).by(all_numbers(index))
    assert knows[:, 0].all()
    for column in range(1, 10):
        expected = [column % 2 == 1] * 5 + [column % 2 == 0] * 5
        assert knows[:, column].tolist() == expected


def test_nobody_and_nothing(index):
    assert KnownDocuments(index, []).by(all_numbers(index)).shape == (10, 0)
    assert KnownDocuments(index, [linear_expert("none")]).by(np.zeros(0, dtype=np.int64)).shape == (0, 1)


def test_a_router_is_told_of_documents_that_are_nearly_equal(tmp_path):
    otherwise = texts(*(text.upper() + "!" for text in TEXTS["fruit"]))
    expert = sketched("fruit", *documents_of("fruit"))
    folder = write_expert(tmp_path / "fruit", expert, pilot_corpus("fruit", {"fruit": 0.1}, home=["fruit"]))
    with Retriever.create(tmp_path / "kb", base=ENCODER) as retriever:
        retriever.add(otherwise)
        retriever.add_expert(folder)
        assert retriever.search("red fruit").routing.known_documents == {"fruit": 1.0}


def test_fits_tell_what_is_known_how_far_it_is_and_how_far_rankings_agree(index):
    fruit = sketched("fruit", *documents_of("fruit"))
    silent = replace(linear_expert("silent"), weight=np.zeros((DIM, DIM), dtype=np.float32))
    both = sketched("both", *documents_of("fruit"), *documents_of("ships"))
    fits = expert_fits(Searcher(index, Pool(ENCODER, (silent, fruit, both), None)))
    assert [(fit.expert, fit.known) for fit in fits] == [("both", 1.0), ("fruit", 0.5), ("silent", 0.0)]
    # The stored vectors have float16 precision.
    assert fits[0].distance == pytest.approx(0, abs=2e-3)
    assert fits[1].distance > 0.1
    assert fits[2].distance is None
    assert fits[2].agreement == 1.0
    assert {(fit.n_documents, fit.n_queries) for fit in fits} == {(10, 10)}
    assert fits[2].as_dict()["distance"] is None


def test_agreement_is_the_share_of_equal_documents():
    def ranking(*rows):
        documents = np.array(rows, dtype=np.int64)
        return Ranking(documents, documents, np.zeros(documents.shape, dtype=np.float32))

    # One of two in the first query, both in the second.
    assert agreement(ranking([1, 2], [3, 4]), ranking([2, 5], [4, 3])) == 0.75


def test_an_index_without_documents_has_no_fits(tmp_path):
    with Retriever.create(tmp_path / "kb", base=ENCODER) as retriever:
        assert retriever.expert_fits() == []
