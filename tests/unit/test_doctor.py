"""What a query log says of a pool: by hand on arrays, and on tiny indexes whose experts do what they must."""

import json
from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoiled_pool import DIM, TEXTS, spoiled_index
from tiny_packs import QUERIES, documents_of, write_pack

from routeret.doctor import QueryLog, Typical, diagnose, draw, read_log
from routeret.doctor.diagnosing import entropies, uses
from routeret.doctor.drift import MOST_TYPICAL, drift_of, far_queries, typical_queries
from routeret.doctor.observing import Observed
from routeret.errors import CorpusError, InputError, UnknownDocumentError
from routeret.retriever import Retriever
from routeret.types import Document


def float32(*values):
    return np.array(values, dtype=np.float32)


# Four queries; the expert of law wins two of them and acts on three, that of care has never any weight.
OBSERVED = Observed(
    experts=("law", "care"),
    base=np.eye(4, dtype=np.float32),
    weights=float32([0.2, 0.8, 0.0], [0.2, 0.8, 0.0], [0.995, 0.0, 0.005], [0.6, 0.4, 0.0]),
    strengths=float32([0.5, 0], [0.7, 0], [0, 1], [0.3, 0]),
    gains=float32([0.1, -0.1], [0.2, -0.1], [0.0, 0.1], [0.3, -0.1]),
    lexical=float32(0.2, 0.2, 0.2, 0.2),
    held_back=np.zeros(4, dtype=np.bool_),
    turned=np.zeros(4, dtype=np.bool_),
    likeness=float32(0.05, 0.05, 0.1, 0.5),
    knows_hits=np.array([False, True, False, False]),
)


def test_what_an_expert_does_is_counted_where_it_acts():
    law, care = uses(OBSERVED, {})
    assert (law.weight, law.wins, law.acts) == (pytest.approx(0.5), 0.5, 0.75)
    assert (law.strength, law.predicted_gain) == (pytest.approx(0.5), pytest.approx(0.2))
    # A weight of 0.5 % is none.
    assert (care.weight, care.wins, care.acts) == (pytest.approx(0.00125), 0.0, 0.0)
    assert (care.strength, care.predicted_gain, care.effect) == (None, None, None)


def test_entropy_by_hand():
    # Mean weights 1/2, 1/2 and 0; a query of two halves, and one that goes to one.
    weights = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    over_all, of_a_query = entropies(weights)
    assert over_all == pytest.approx(log(2) / log(3))
    assert of_a_query == pytest.approx(log(2) / log(3) / 3)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (np.eye(3)[[1, 1, 1]], (0, 0)),
        (np.eye(3), (1, 0)),
        (np.full((2, 3), 1 / 3), (1, 1)),
    ],
)
def test_one_has_it_all_or_every_query_has_its_own_or_all_have_the_same(weights, expected):
    assert entropies(weights) == pytest.approx(expected)


def test_a_query_is_far_if_it_is_unlike_every_corpus_and_nobody_knows_its_hits():
    assert far_queries(OBSERVED).tolist() == [True, False, False, False]
    drift = drift_of(OBSERVED, ("a", "b", "c", "d"))
    assert (drift.n_far, drift.share, drift.typical) == (1, 0.25, (Typical("a", 1),))
    nothing = drift_of(replace(OBSERVED, knows_hits=np.ones(4, dtype=np.bool_)), ("a", "b", "c", "d"))
    assert (nothing.n_far, nothing.share, nothing.typical) == (0, 0.0, ())


X, Y, Z = np.eye(3, dtype=np.float32)


def test_typical_queries_have_the_most_company():
    found = typical_queries(np.stack([Z, Y, X, 2 * X, Y, X]), ["z", "y1", "x1", "x2", "y2", "x3"])
    assert found == (Typical("x1", 3), Typical("y1", 2), Typical("z", 1))


def test_the_middle_of_a_group_is_typical_of_it():
    around = [X + 0.8 * Y, X, X - 0.8 * Y]
    # Cosines of the outer ones to the middle are 0.78, to each other 0.22.
    assert typical_queries(np.stack(around), ["left", "middle", "right"]) == (Typical("middle", 3),)


def test_no_more_than_five_are_named():
    found = typical_queries(np.eye(7, dtype=np.float32), list("abcdefg"))
    assert found == tuple(Typical(letter, 1) for letter in "abcde")


def slow_typical(vectors, texts):
    """The same with all cosines written out."""
    cosines = vectors @ vectors.T
    rest, found = list(range(len(vectors))), []
    while rest and len(found) < MOST_TYPICAL:
        company = [sum(cosines[one, other] for other in rest if other != one) / max(len(rest) - 1, 1) for one in rest]
        chosen = rest[int(np.argmax(company))]
        near = [one for one in rest if one == chosen or cosines[chosen, one] >= 0.5]
        found.append(Typical(texts[chosen], len(near)))
        rest = [one for one in rest if one not in near]
    return tuple(found)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-1, 1])), max_size=12))
def test_no_matrix_is_needed(axes):
    # Signed axes, so that every cosine and every sum is a whole number.
    vectors = np.array([sign * np.eye(4)[axis] for axis, sign in axes], dtype=np.float32).reshape(len(axes), 4)
    texts = [str(number) for number in range(len(axes))]
    assert typical_queries(vectors, texts) == slow_typical(vectors, texts)


@pytest.fixture
def two(tmp_path):
    """An index of ships, with experts of ships and fruit."""
    with Retriever.create(tmp_path / "kb", pack=write_pack(tmp_path / "two", multitask=False)) as retriever:
        retriever.add(documents_of("ships"))
        yield retriever


def test_a_log_that_is_all_of_one_expert(two):
    found = diagnose(two, QueryLog.unlabelled(QUERIES["ships"]))
    fruit, ships = sorted(found.experts, key=lambda expert: expert.name)
    assert (ships.wins, ships.acts, fruit.wins, fruit.acts) == (1.0, 1.0, 0.0, 0.0)
    assert ships.weight == pytest.approx(1, abs=0.01)
    # Its four strengths promise the same, 0.4 shrunk by 5 / (5 + 10).
    assert ships.strength == pytest.approx(0.625, abs=1e-4)
    assert ships.predicted_gain == pytest.approx(0.4 / 3, abs=0.02)
    assert (found.never_act, found.never_win, found.harmful) == (("fruit",), ("fruit",), ())
    assert found.base_weight + sum(expert.weight for expert in found.experts) == pytest.approx(1)
    assert found.base_wins == 0
    assert found.entropy == pytest.approx(0, abs=0.05)
    assert found.query_entropy <= found.entropy + 1e-9
    assert (found.held_back, found.turned, found.n_queries, found.n_labelled) == (0, 0, 5, 0)
    assert found.lexical_weight == pytest.approx(0.2, abs=1e-6)
    assert found.drift.n_far == 0
    assert sum(found.likeness) == 5


def test_queries_that_match_no_expert(tmp_path):
    with Retriever.create(tmp_path / "kb", pack=write_pack(tmp_path / "two", multitask=False)) as retriever:
        retriever.add([Document(id="z", text="zygote"), Document(id="m", text="mitosis")])
        found = diagnose(retriever, QueryLog.unlabelled([*QUERIES["ships"][:2], "zygote", "zygote", "mitosis"]))
    assert (found.drift.n_far, found.drift.share) == (3, 0.6)
    assert found.drift.typical == (Typical("zygote", 2), Typical("mitosis", 1))
    assert found.likeness[0] >= 3


def test_several_blocks_are_one_log(two):
    # 5 queries 60 times are more than a block of 256.
    once, often = (diagnose(two, QueryLog.unlabelled(QUERIES["ships"] * times)) for times in (1, 60))
    assert often.n_queries == 300
    assert often.likeness == tuple(60 * n for n in once.likeness)
    assert [expert.weight for expert in often.experts] == pytest.approx([one.weight for one in once.experts])


def labelled(texts, *, others=()):
    return QueryLog((*texts, *others), (*((text,) for text in texts), *(() for _ in others)))


@pytest.fixture
def spoiled(tmp_path):
    with Retriever.open(spoiled_index(tmp_path)) as retriever:
        yield retriever


def test_an_expert_that_harms_is_found(spoiled):
    found = diagnose(spoiled, labelled(TEXTS[:6], others=["an owl"]))
    effects = {expert.name: expert.effect for expert in found.experts}
    # With it the right document is the last of twelve, without it the first.
    assert (effects["spoiler"].mean, effects["spoiler"].low, effects["spoiler"].high) == (-1, -1, -1)
    assert (effects["idle"].mean, effects["idle"].low, effects["idle"].high) == (0, 0, 0)
    assert (found.harmful, found.n_labelled, found.n_clusters, found.n_queries) == (("spoiler",), 6, 6, 7)


def test_harm_is_not_told_from_few_queries_however_often_they_come(spoiled):
    found = diagnose(spoiled, labelled(TEXTS[:5] * 3))
    assert (found.n_labelled, found.n_clusters, found.harmful) == (15, 5, ())


def test_all_of_it_is_plain_json(spoiled):
    found = diagnose(spoiled, labelled(TEXTS[:6]))
    values = json.loads(json.dumps(found.to_json()))
    assert values["experts"][0]["effect"]["n"] == 6
    assert (values["never_act"], values["harmful"]) == (["idle"], ["spoiler"])
    assert values["drift"] == {"n_far": 0, "share": 0.0, "typical": []}


def test_documents_that_are_not_there_are_refused(spoiled):
    with pytest.raises(UnknownDocumentError, match="document 'unicorn' is not in index 'kb'"):
        diagnose(spoiled, QueryLog(("apples",), (("unicorn",),)))


def test_a_pool_without_experts_has_nothing_to_diagnose(tmp_path):
    with Retriever.create(tmp_path / "kb", base=f"hashing-{DIM}") as retriever:
        retriever.add(documents_of("ships"))
        with pytest.raises(InputError, match=r"has no experts, so there is nothing to diagnose; .*routeret tune"):
            diagnose(retriever, QueryLog.unlabelled(["a boat"]))


def test_an_index_without_documents_routes_all_the_same(tmp_path):
    with Retriever.create(tmp_path / "kb", pack=write_pack(tmp_path / "two", multitask=False)) as retriever:
        found = diagnose(retriever, QueryLog.unlabelled(["zygote"]))
    assert (found.n_queries, found.drift.n_far) == (1, 1)


def test_logs_with_and_without_documents(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [
        {"query": "a", "relevant": ["d1", "d2", "d1"]},
        {"text": "b"},
        {"query": "c", "clicked": ["d3"]},
        {"query": "d", "clicked": []},
    ]
    path.write_text("\n\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    assert read_log(path) == QueryLog(("a", "b", "c", "d"), (("d1", "d2"), (), ("d3",), ()))
    plain = tmp_path / "log.txt"
    plain.write_text("wo ist die Tür?\nwo ist die Tür?\n", encoding="utf-8")
    assert read_log(plain) == QueryLog(("wo ist die Tür?",) * 2, ((), ()))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"query": "a"', r"log\.jsonl:2 is not valid JSON"),
        ('{"q": "a"}', r"log\.jsonl:2 has no 'query'"),
        ('{"query": " "}', r"log\.jsonl:2 has the query ' '"),
        ('{"query": "a", "clicked": "d1"}', r"log\.jsonl:2 has 'd1' as 'clicked', expected a list of document ids"),
        ('{"query": "a", "relevant": [1]}', r"log\.jsonl:2 has \[1\] as 'relevant'"),
        ('{"query": "a", "relevant": [], "clicked": []}', r"log\.jsonl:2 has both 'relevant' and 'clicked'"),
    ],
)
def test_broken_lines_are_named(tmp_path, line, words):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"query": "fine"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(CorpusError, match=words):
        read_log(path)


def test_what_is_no_log_is_refused(tmp_path):
    empty = tmp_path / "log.txt"
    empty.write_text("\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"log\.txt is empty"):
        read_log(empty)
    with pytest.raises(InputError, match="the query log is empty"):
        QueryLog((), ())
    with pytest.raises(InputError, match="has 1 queries and documents for 2"):
        QueryLog(("a",), ((), ()))
    with pytest.raises(InputError, match="query 1 of the log is blank"):
        QueryLog.unlabelled(["a", " "])


def test_two_pictures(two, tmp_path):
    files = draw(diagnose(two, QueryLog.unlabelled(QUERIES["ships"])), tmp_path / "pictures")
    assert [file.name for file in files] == ["weights.svg", "likeness.svg"]
    assert all("match no expert" in file.read_text() or "Weights over" in file.read_text() for file in files)
