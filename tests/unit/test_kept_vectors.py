"""Vectors that are kept: computed once, bounded, and never another text's."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from routeret.encoders.kept_vectors import KeptVectors


class Counting:
    """Writes the length of a text, and notes which texts it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked.append(list(texts))
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def test_a_text_is_computed_once():
    kept, compute = KeptVectors(8), Counting()
    first = kept.vectors(["a", "bb", "a"], compute)
    again = kept.vectors(["bb", "ccc", "a"], compute)
    assert first.tolist() == [[1, 1], [2, 1], [1, 1]]
    assert again.tolist() == [[2, 1], [3, 1], [1, 1]]
    assert kept.vectors(["a", "bb"], compute).dtype == np.float32
    assert compute.asked == [["a", "bb"], ["ccc"]]


def test_what_was_asked_for_last_stays():
    kept, compute = KeptVectors(2), Counting()
    for texts in (["a"], ["bb"], ["a"], ["ccc"]):
        kept.vectors(texts, compute)
    compute.asked.clear()
    kept.vectors(["a", "ccc"], compute)
    kept.vectors(["bb"], compute)
    assert compute.asked == [["bb"]]


def test_more_texts_than_are_kept_and_none():
    kept, compute = KeptVectors(2), Counting()
    texts = ["a" * n for n in range(1, 6)]
    assert kept.vectors(texts, compute)[:, 0].tolist() == [1, 2, 3, 4, 5]
    none = KeptVectors(0)
    none.vectors(["a"], compute)
    compute.asked.clear()
    none.vectors(["a"], compute)
    assert compute.asked == [["a"]]


def test_a_very_long_text_is_not_kept():
    kept, compute = KeptVectors(4), Counting()
    for _ in range(2):
        assert kept.vectors(["a" * 4096, "a" * 4097], compute)[:, 0].tolist() == [4096, 4097]
    assert [[len(text) for text in texts] for texts in compute.asked] == [[4096, 4097], [4097]]


def test_changing_an_answer_changes_nothing_that_is_kept():
    kept, compute = KeptVectors(4), Counting()
    kept.vectors(["a"], compute)[:] = 7
    kept.vectors(["a"], compute)[:] = 9
    assert kept.vectors(["a"], compute).tolist() == [[1, 1]]


def test_several_threads_get_their_own_answers():
    kept = KeptVectors(3)
    texts = [["a" * n, "a" * (n + 1)] for n in range(1, 7)] * 30
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda asked: kept.vectors(asked, Counting()), texts))
    for asked, answer in zip(texts, answers, strict=True):
        assert answer[:, 0].tolist() == [len(text) for text in asked]


@pytest.mark.parametrize("kept_before", [[], ["dddd"]])
def test_no_lock_is_held_while_vectors_are_computed(kept_before):
    kept, both = KeptVectors(8), threading.Barrier(2, timeout=10)
    kept.vectors(["dddd"], Counting())

    def compute(texts):
        both.wait()
        return Counting()(texts)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda text: kept.vectors([*kept_before, text], compute), ["a", "bb"]))
    assert [one[-1].tolist() for one in answers] == [[1, 1], [2, 1]]
