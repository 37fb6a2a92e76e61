"""Routings whose names and words are found when somebody looks."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest

from routeret.retriever.results import explained
from routeret.routing import PilotCorpus, PilotLibrary, RoutingBatch
from routeret.routing.nearest_pilots import NearestPilots
from routeret.types import Routing

TOLD = Routing(
    weights={"law": 0.75, "base": 0.25},
    strengths={"law": 0.5},
    predicted_gains={"law": 0.125},
    margin=0.125,
    held_back=True,
    corpora={"statutes": 1.0},
    known_documents={"law": 0.05},
    pilots=(),
    adaptation=0.1,
    reason="too few are known",
)


class Teller:
    """Counts how often it is asked."""

    def __init__(self):
        self.n_asked = 0

    def __call__(self):
        self.n_asked += 1
        return TOLD


def test_it_is_told_once_and_only_when_somebody_looks():
    teller = Teller()
    later = Routing.later(teller)
    assert isinstance(later, Routing)
    assert teller.n_asked == 0
    assert later.margin == 0.125
    assert later.reason == "too few are known"
    assert later.gain_intervals == {}
    assert teller.n_asked == 1


@pytest.mark.parametrize(
    "seen", [copy.copy, copy.deepcopy, replace, lambda one: one, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_it_is_the_same_routing(seen):
    assert seen(Routing.later(Teller())) == TOLD
    assert TOLD == seen(Routing.later(Teller()))
    assert seen(Routing.later(Teller())) != replace(TOLD, margin=0.0)


def test_it_reads_the_same():
    assert repr(Routing.later(Teller())) == repr(TOLD)
    assert Routing.later(Teller()).as_dict() == TOLD.as_dict()
    assert asdict(Routing.later(Teller())) == asdict(TOLD)


@pytest.mark.parametrize("routing", [TOLD, Routing.later(Teller())])
def test_other_names_are_an_error_and_nothing_can_be_set(routing):
    with pytest.raises(AttributeError, match="'Routing' object has no attribute 'weight'"):
        _ = routing.weight
    with pytest.raises(FrozenInstanceError):
        routing.margin = 0.0
    assert routing.margin == 0.125


def test_every_query_of_a_batch_is_told_of_itself():
    pilots = NearestPilots(PilotLibrary("0" * 16, (PilotCorpus("axes", ("x", "y"), np.eye(2, dtype=np.float32)),)))
    half = RoutingBatch.constant(["law"], 2, weights={"base": 0.5, "law": 0.5}, strengths={"law": 1.0})
    batch = replace(half, adaptation=np.array([0.25, 0.5], dtype=np.float32))
    first, second = explained(batch, base=np.array([[1, 0], [0, 1]], dtype=np.float32), pilots=pilots)
    assert [first.adaptation, second.adaptation] == [0.25, 0.5]
    assert [first.pilots[0].text, second.pilots[0].text] == ["x", "y"]
    assert explained(batch, base=np.eye(2, dtype=np.float32), pilots=None) == [batch.explain(0), batch.explain(1)]
    assert explained(batch, base=np.zeros((0, 2), dtype=np.float32), pilots=pilots) == []


def test_nobody_asks_before(monkeypatch):
    asked = []
    explain = RoutingBatch.explain
    monkeypatch.setattr(
        RoutingBatch, "explain", lambda batch, query, **others: asked.append(query) or explain(batch, query, **others)
    )
    batch = RoutingBatch.constant(["law"], 3, weights={"base": 1.0}, strengths={})
    routings = explained(batch, base=np.zeros((3, 2), dtype=np.float32), pilots=None)
    assert asked == []
    assert routings[1].weights == {"base": 1.0}
    assert asked == [1]
