"""Texts of like length share a pass, and passes side by side compute what one after the other does."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from routeret.encoders.passes import passes_of, side_by_side


def passes(lengths, **limits):
    return [rows.tolist() for rows in passes_of(np.array(lengths, dtype=np.int64), **limits)]


def test_a_pass_holds_texts_of_like_length():
    lengths = [1500, 3, 600, 2, 700, 3]
    assert passes(lengths, most_tokens=2048) == [[3, 1, 5], [2, 4], [0]]
    assert passes([5000, 1], most_tokens=2048) == [[1], [0]]
    assert passes([], most_tokens=2048) == []
    assert passes([0, 0], most_tokens=1) == [[0, 1]]


def test_a_pass_holds_at_most_so_many_rows():
    assert passes([1, 1, 1, 1, 1], most_tokens=100, most_rows=2) == [[0, 1], [2, 3], [4]]


@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 600), st.integers(1, 8))
def test_every_text_is_in_one_pass_and_no_pass_is_too_large(lengths, most_tokens, most_rows):
    found = passes(lengths, most_tokens=most_tokens, most_rows=most_rows)
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) <= most_rows
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= most_tokens


@pytest.mark.parametrize("threads", [1, 3])
def test_all_passes_are_computed_and_pytorch_gets_its_threads_back(threads):
    before = torch.get_num_threads()
    done, computing = [], threading.Lock()

    def compute(rows):
        with computing:
            done.append((rows.tolist(), torch.get_num_threads() if threads > 1 else 1))

    side_by_side(compute, passes_of(np.arange(1, 8), most_tokens=7), threads=threads)
    assert sorted(done) == [([0, 1], 1), ([2], 1), ([3], 1), ([4], 1), ([5], 1), ([6], 1)]
    assert torch.get_num_threads() == before


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_that_are_born_meanwhile_compute_with_as_many_as_before():
    of_workers, of_others = [], []

    def compute(rows):
        assert len(rows) == 1
        of_workers.append(torch.get_num_threads())
        other = threading.Thread(target=lambda: of_others.append(torch.get_num_threads()))
        other.start()
        other.join()

    side_by_side(compute, passes_of(np.arange(1, 5), most_tokens=1), threads=2)
    assert of_workers == [1] * 4
    assert of_others == [2] * 4


def test_an_error_stops_what_waits():
    started = []

    def compute(rows):
        started.append(rows.tolist())
        # Long enough for whoever waits to notice.
        time.sleep(0.001)
        raise ValueError("too large")

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="too large"):
        side_by_side(compute, passes_of(np.arange(1, 200), most_tokens=1), threads=2)
    assert len(started) < 199
    assert torch.get_num_threads() == before
