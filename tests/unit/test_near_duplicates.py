import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeret.errors import InputError
from routeret.evaluation import near_duplicates
from routeret.evaluation.near_duplicates import repeated_queries


def repeated(query, *known, **options):
    return bool(repeated_queries({"q": query}, known, **options))


def test_case_and_marks_do_not_count():
    assert repeated("How do I reset my PIN?", "how do i reset -- my pin")
    assert repeated("Straße", "STRASSE")
    assert repeated("a_b", "a b")
    assert not repeated("How do I reset my PIN?", "how do i change my pin")
    # Two forms of one letter are the same; marks make other words.
    assert repeated("Mu\u0308ll", "müll")
    assert not repeated("कि", "की")


def test_the_similarity_by_hand():
    # 20 letters have 16 runs of five, and one letter more adds one: 16 / 17 = 0.94.
    letters = "abcdefghijklmnopqrst"
    assert repeated(letters + "u", letters)
    # Two letters more: 16 / 18 = 0.89.
    assert not repeated(letters + "uv", letters)
    assert repeated(letters + "uv", letters, similarity=16 / 18)
    assert not repeated(letters + "uv", letters, similarity=16 / 18 + 1e-6)


def test_short_queries_must_be_the_same():
    assert repeated("zip", "ZIP!")
    assert not repeated("zip", "zap")
    # Texts without letters are all the same; so are empty ones.
    assert repeated("?!", "...")


def test_only_the_queries_that_repeat_one():
    queries = {"q1": "list the files in a zip archive", "q2": "close a ticket", "q3": "Close a ticket."}
    assert repeated_queries(queries, ["close a ticket", "x"]) == {"q2", "q3"}
    assert repeated_queries(queries, []) == frozenset()
    assert repeated_queries({}, ["x"]) == frozenset()


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    known = ["".join(rng.choice(list("ab c"), 40)) for _ in range(30)]
    queries = {f"q{number}": text[:-1] + "d" for number, text in enumerate(known)} | {"other": "nothing like it"}
    whole = repeated_queries(queries, known)
    assert len(whole) == 30
    monkeypatch.setattr(near_duplicates, "_BLOCK_VALUES", 64)
    monkeypatch.setattr(near_duplicates, "_BLOCK_PAIRS", 3)
    assert repeated_queries(queries, known) == whole


@given(st.text("ab", max_size=20), st.lists(st.text("ab", max_size=20), max_size=4), st.floats(0.1, 1.0))
def test_the_same_as_sets_of_runs(query, known, similarity):
    def runs(text):
        return {text[start : start + 5] for start in range(len(text) - 4)}

    def alike(one, other):
        both, either = runs(one) & runs(other), runs(one) | runs(other)
        return one == other or (bool(either) and len(both) >= similarity * len(either))

    assert repeated(query, *known, similarity=similarity) == any(alike(query, other) for other in known)


@pytest.mark.parametrize("similarity", [0.0, -1.0, 1.1, float("nan")])
def test_a_similarity_out_of_range_is_refused(similarity):
    with pytest.raises(InputError, match="the similarity is"):
        repeated_queries({"q": "a"}, ["a"], similarity=similarity)
