"""Hard negatives by hand, against loops, and from vectors, words and several sources."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeret.errors import InputError
from routeret.index.lexical.fulltext import Fulltext
from routeret.training import negatives
from routeret.training.negatives import HardNegatives, hard_negatives, merged, mine, mine_scored


def floats(*rows):
    return np.array(rows, dtype=np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


def slow(scores, positives, *, n, margin, above, excluded):
    rows, counts = [], []
    for line, known, never in zip(scores, positives, excluded, strict=True):
        answer = sum(float(line[row]) for row in known) / len(known)
        limit = math.inf if margin is None else answer - margin * abs(answer)
        others = [row for row in range(len(line)) if row not in known and row not in never and line[row] > above]
        kept = sorted((row for row in others if line[row] <= limit), key=lambda row: (-line[row], row))[:n]
        rows.append(kept + [-1] * (n - len(kept)))
        counts.append(sum(line[row] > limit for row in others))
    return rows, counts


def test_the_best_that_are_no_answers_by_hand():
    scores = floats([0.9, 1.0, 0.5, 0.96, 0.7])
    found = hard_negatives(scores, [ints(1)], n=3)
    # 0.96 is within 5 % of the answer's 1.0.
    assert found.rows.tolist() == [[0, 4, 2]]
    assert found.n_too_close.tolist() == [1]
    assert found.n_missing == 0


def test_the_margin_is_relative_and_to_the_mean_of_the_answers():
    scores = floats([8, 4, 5, 3, 2])
    # The answers' mean is 6; half of it is 3.
    assert hard_negatives(scores, [ints(0, 1)], n=3, margin=0.5).rows.tolist() == [[3, 4, -1]]
    assert hard_negatives(100 * scores, [ints(0, 1)], n=3, margin=0.5).rows.tolist() == [[3, 4, -1]]
    assert hard_negatives(scores, [ints(0, 1)], n=3, margin=0).rows.tolist() == [[2, 3, 4]]
    assert hard_negatives(scores, [ints(3)], n=3, margin=None).rows.tolist() == [[0, 2, 1]]


def test_below_zero_a_negative_stays_below_its_answer():
    scores = floats([-1, -0.99, -1.02, -1.5])
    assert hard_negatives(scores, [ints(0)], n=2).rows.tolist() == [[3, -1]]
    assert hard_negatives(scores, [ints(0)], n=2).n_too_close.tolist() == [2]


def test_equal_scores_keep_the_lower_row_first():
    assert hard_negatives(floats([1, 9, 1, 1, 1]), [ints(1)], n=3).rows.tolist() == [[0, 2, 3]]


def test_more_than_there_are_leaves_places_empty():
    found = hard_negatives(floats([1, 0.5], [1, 0.5]), [ints(0), ints(0, 1)], n=4)
    assert found.rows.tolist() == [[1, -1, -1, -1], [-1, -1, -1, -1]]
    assert (found.n_missing, len(found)) == (7, 2)


def test_what_scores_nothing_or_is_excluded_is_never_taken():
    scores = floats([0, 5, 1, 0, -math.inf, 2])
    found = hard_negatives(scores, [ints(1)], n=4, above=0, excluded=[ints(2)])
    assert found.rows.tolist() == [[5, -1, -1, -1]]
    assert hard_negatives(scores, [ints(1)], n=6).rows.tolist() == [[5, 2, 0, 3, -1, -1]]


def test_no_query_has_no_negatives():
    found = hard_negatives(np.zeros((0, 3), dtype=np.float32), [], n=2)
    assert (found.rows.shape, found.n_too_close.shape, found.n_missing) == ((0, 2), (0,), 0)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), margin=st.sampled_from([None, 0.0, 0.05, 0.5]))
def test_negatives_agree_with_loops(seed, n, margin):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-8, 9, size=(6, 7)).astype(np.float32)
    positives = [rng.choice(7, rng.integers(1, 4), replace=False) for _ in range(6)]
    excluded = [rng.choice(7, rng.integers(0, 3), replace=False) for _ in range(6)]
    above = float(rng.choice([-math.inf, -2.0]))
    found = hard_negatives(scores, positives, n=n, margin=margin, above=above, excluded=excluded)
    rows, counts = slow(scores, positives, n=n, margin=margin, above=above, excluded=excluded)
    assert found.rows.tolist() == rows
    assert found.n_too_close.tolist() == counts


def test_scores_are_not_changed():
    scores = floats([3, 2, 1])
    hard_negatives(scores, [ints(0)], n=1)
    assert scores.tolist() == [[3, 2, 1]]


@pytest.mark.parametrize("scores_at_once", [1, 60, 1 << 23])
def test_vectors_are_mined_in_blocks_as_in_one(monkeypatch, scores_at_once):
    monkeypatch.setattr(negatives, "_SCORES_AT_ONCE", scores_at_once)
    rng = np.random.default_rng(0)
    queries, documents = (rng.normal(size=(n, 4)).astype(np.float32) for n in (11, 20))
    positives = [rng.choice(20, 2, replace=False) for _ in range(11)]
    excluded = [ints(row) for row in range(11)]
    found = mine(queries, documents, positives, n=3, margin=0.1, excluded=excluded)
    expected = hard_negatives(queries @ documents.T, positives, n=3, margin=0.1, excluded=excluded)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.n_too_close, expected.n_too_close)


def test_words_are_mined_by_bm25():
    texts = ["reset a forgotten password", "reset the router", "password rules", "opening hours", "reset password form"]
    fulltext = Fulltext.of(enumerate(texts), n_documents=5)
    questions = ["how do I reset my password", "when are you open"]

    def score(part):
        return np.stack([fulltext.scores(question) for question in questions[part]])

    found = mine_scored(score, [ints(0), ints(3)], n_documents=5, n=3, above=0, margin=0.05)
    # The form scores as high as the answer; the opening hours share no word with the first question.
    assert sorted(found.rows[0].tolist()) == [-1, 1, 2]
    assert found.rows[1].tolist() == [-1, -1, -1]
    assert found.n_too_close.tolist() == [1, 0]


def test_sources_take_turns_and_no_document_comes_twice():
    first = HardNegatives(rows=np.array([[1, 2, 3], [7, -1, -1]]), n_too_close=ints(1, 0))
    second = HardNegatives(rows=np.array([[2, 1], [-1, -1]]), n_too_close=ints(4, 2))
    third = HardNegatives(rows=np.array([[9], [8]]), n_too_close=ints(0, 0))
    found = merged([first, second, third], n=4)
    assert found.rows.tolist() == [[1, 2, 9, 3], [7, 8, -1, -1]]
    assert found.n_too_close.tolist() == [5, 2]
    assert merged([first, second, third], n=2).rows.tolist() == [[1, 2], [7, 8]]
    assert merged([first], n=1).rows.tolist() == [[1], [7]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n 0"),
        ({"margin": 1.5}, "margin 1.5"),
        ({"margin": math.nan}, "margin nan"),
        ({"positives": [ints(0)]}, "answers of 1 queries"),
        ({"positives": [ints(0), ints()]}, "query 1 has no answer"),
        ({"positives": [ints(0), ints(3)]}, r"query 1 has answers \[3\]; expected 0 to 2"),
        ({"excluded": [ints(-1), ints()]}, r"query 0 has excluded rows \[-1\]"),
        ({"excluded": [ints()]}, "rows to exclude of 1"),
        ({"scores": floats([1, 2, 3], [1, math.nan, 3])}, "query 1 scores document 1 with NaN"),
        ({"scores": floats([1, 2, 3], [-math.inf, 2, 3])}, r"answers of query 1 score \[-inf\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    given_arguments = {"scores": floats([1, 2, 3], [1, 2, 3]), "positives": [ints(0), ints(0)], "n": 1, **arguments}
    with pytest.raises(InputError, match=message):
        hard_negatives(given_arguments.pop("scores"), given_arguments.pop("positives"), **given_arguments)


def test_blocks_and_sources_that_do_not_fit_are_refused(monkeypatch):
    with pytest.raises(InputError, match=r"\(2, 3\), documents \(4, 2\)"):
        mine(np.zeros((2, 3), np.float32), np.zeros((4, 2), np.float32), [ints(0)] * 2, n=1)
    with pytest.raises(InputError, match="2 queries came with answers of 1"):
        mine(np.zeros((2, 3), np.float32), np.zeros((4, 3), np.float32), [ints(0)], n=1)
    monkeypatch.setattr(negatives, "_SCORES_AT_ONCE", 4)
    with pytest.raises(InputError, match=r"queries 1 to 1 were scored with shape \(2, 3\); expected \(1, 4\)"):
        mine_scored(lambda part: np.zeros((part.stop, 4 - part.start), np.float32), [ints(0)] * 2, n_documents=4, n=1)
    one, two = (HardNegatives(rows=np.zeros((n, 1), np.int64), n_too_close=np.zeros(n, np.int64)) for n in (1, 2))
    for sources in ([], [one, two]):
        with pytest.raises(InputError, match="expected at least one source"):
            merged(sources, n=1)
