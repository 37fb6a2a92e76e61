"""Exemplars in two directions, followed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from routeret.routing.likeness import MOST_EXEMPLARS, CorpusLikeness

X, Y = np.eye(2, dtype=np.float32)


def test_a_corpus_of_few_pilots_has_one_exemplar_their_mean():
    likeness = CorpusLikeness.fit([np.stack([X, Y]), np.stack([X])])
    np.testing.assert_allclose(likeness.exemplars, [[0.5, 0.5], [1, 0]])
    assert likeness.starts.tolist() == [0, 1]
    # A pilot alone tells nothing of what is like it: the scale is that of the cosine.
    assert (likeness.floors[1], likeness.ceilings[1]) == (0, 1)


def test_a_pilot_is_compared_with_the_others_of_its_cluster():
    own = np.stack([X, X, Y]).astype(np.float32)
    likeness = CorpusLikeness.fit([own])
    # X beside X and Y: (1 + 0) / 2; Y beside X and X: 0. So the similarities are 0.5, 0.5 and 0.
    assert likeness.floors[0] == pytest.approx(np.quantile([0.5, 0.5, 0.0], 0.02))
    assert likeness.ceilings[0] == pytest.approx(np.quantile([0.5, 0.5, 0.0], 0.3))


def test_likeness_is_the_nearest_exemplar_on_the_scale_of_the_corpus():
    exemplars = np.stack([X, Y, -X]).astype(np.float32)
    floors, ceilings = np.array([0.2, 0.0], dtype=np.float32), np.array([0.6, 1.0], dtype=np.float32)
    likeness = CorpusLikeness(exemplars, np.array([0, 2]), floors, ceilings)
    queries = np.array([[0.4, 0.3], [0.0, 0.1], [-0.5, 0.0]], dtype=np.float32)
    # The first corpus has X and Y: .4, .1 and 0 on the scale from .2 to .6; the second has -X: -.4, 0 and .5.
    np.testing.assert_allclose(likeness.of(queries), [[0.5, 0], [0, 0], [0, 0.5]], atol=1e-6)


def test_pilots_that_are_all_the_same_are_like_themselves():
    likeness = CorpusLikeness.fit([np.stack([X] * 12)])
    np.testing.assert_allclose(likeness.of(np.stack([X, 0.9 * X])), [[1], [0]], atol=1e-3)


def test_two_clouds_become_exemplars_of_their_own():
    rng = np.random.default_rng(0)
    near = [centre + rng.normal(scale=0.01, size=(20, 2)) for centre in (X, Y)]
    likeness = CorpusLikeness.fit([np.concatenate(near).astype(np.float32)])
    assert len(likeness.exemplars) == 4  # one for ten pilots
    assert {tuple(np.abs(one).round()) for one in likeness.exemplars} == {(1.0, 0.0), (0.0, 1.0)}


def test_no_corpus_and_no_query():
    assert CorpusLikeness.fit([]).of(np.stack([X])).shape == (1, 0)
    assert CorpusLikeness.fit([np.stack([X])]).of(np.zeros((0, 2), dtype=np.float32)).shape == (0, 1)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.just(3)), elements=st.floats(-1, 1, width=16)),
)
def test_any_pilots_make_a_scale_from_0_to_1(pilots):
    likeness = CorpusLikeness.fit([pilots])
    assert 1 <= len(likeness.exemplars) <= MOST_EXEMPLARS
    found = likeness.of(pilots)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()
