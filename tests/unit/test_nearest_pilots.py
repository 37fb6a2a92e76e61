"""The pilots nearest to a query, and that nobody looks for them before they are wanted."""

import copy
import pickle

import numpy as np
import pytest

from routeret.routing import PilotCorpus, PilotLibrary
from routeret.routing.nearest_pilots import NearestPilots
from routeret.types import Pilot

LIBRARY = PilotLibrary(
    "0" * 16,
    (
        PilotCorpus("care", ("a", "b"), np.array([[1, 0], [3, 4]], dtype=np.float32)),
        PilotCorpus("code", ("c", "d"), np.array([[0, 2], [0, 5]], dtype=np.float32)),
    ),
)


def test_by_cosine_and_of_equal_ones_the_first():
    # Cosines with (0, 1): a 0, b 0.8, c 1, d 1.
    found = NearestPilots(LIBRARY).of(np.array([0, 7], dtype=np.float32), 3)
    assert [(pilot.text, pilot.corpus) for pilot in found] == [("c", "code"), ("d", "code"), ("b", "care")]
    assert [pilot.similarity for pilot in found] == pytest.approx([1, 1, 0.8])


def test_more_than_there_are_gives_all_and_none_gives_none():
    query = np.array([1, 0], dtype=np.float32)
    assert [pilot.text for pilot in NearestPilots(LIBRARY).of(query, 9)] == ["a", "b", "c", "d"]
    assert NearestPilots(PilotLibrary("0" * 16, ())).of(query, 3) == ()


def test_a_query_of_zeros_is_similar_to_nothing():
    assert [pilot.similarity for pilot in NearestPilots(LIBRARY).of(np.zeros(2, dtype=np.float32), 2)] == [0, 0]


def test_they_are_found_when_they_are_looked_at(monkeypatch):
    asked = []
    of = NearestPilots.of

    def watched(pilots, query, n_pilots):
        asked.append(n_pilots)
        return of(pilots, query, n_pilots)

    monkeypatch.setattr(NearestPilots, "of", watched)
    later = NearestPilots(LIBRARY).later(np.array([0, 1], dtype=np.float32), 2)
    assert asked == []
    assert len(later) == 2
    assert later[0] == Pilot("c", "code", 1.0)
    assert [pilot.text for pilot in later[:1]] == ["c"]
    assert later == tuple(later)
    assert later != ()
    assert asked == [2]
    assert "text='c'" in repr(later)
    assert hash(later) == hash(tuple(later))


@pytest.mark.parametrize("kept", [copy.deepcopy, lambda later: pickle.loads(pickle.dumps(later))])
def test_what_is_kept_or_copied_are_the_pilots_alone(kept):
    query = np.array([0, 1], dtype=np.float32)
    later = NearestPilots(LIBRARY).later(query, 2)
    query[:] = [1, 0]  # it was a line of a block that is used again
    assert kept(later) == (Pilot("c", "code", 1.0), Pilot("d", "code", 1.0))
    assert type(kept(later)) is tuple
