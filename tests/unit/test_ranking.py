"""Rankings of queries of two kinds, put together; by hand."""

import numpy as np
import pytest

from routeret.retriever.ranking import NONE, Ranking


def found(*documents):
    """A line a query: a document's row is 100 more than its number, its score a tenth."""
    numbers = np.array(documents, dtype=np.int64)
    return Ranking(numbers, numbers + 100, (numbers / 10).astype(np.float32))


def asked(calls, name, documents):
    """Ranks by a list of documents for every query, and remembers which queries came."""

    def rank(places):
        calls.append((name, places.tolist()))
        return found(*(documents[place] for place in places))

    return rank


DOCUMENTS = [[3, 1], [5, 4], [9, 8], [7, 6]]


@pytest.mark.parametrize(
    ("is_first", "calls"),
    [
        ([True, False, False, True], {("first", (0, 3)), ("second", (1, 2))}),
        ([True, True, True, True], {("first", (0, 1, 2, 3))}),
        ([False, False, False, False], {("second", (0, 1, 2, 3))}),
    ],
)
def test_every_query_is_ranked_as_its_kind_is(is_first, calls):
    seen = []
    ranking = Ranking.divided(np.array(is_first), asked(seen, "first", DOCUMENTS), asked(seen, "second", [[2, 0]] * 4))
    expected = [own if kind else [2, 0] for own, kind in zip(DOCUMENTS, is_first, strict=True)]
    np.testing.assert_array_equal(ranking.documents, expected)
    np.testing.assert_array_equal(ranking.rows, np.array(expected) + 100)
    np.testing.assert_allclose(ranking.scores, np.array(expected) / 10, rtol=1e-6)
    assert {(name, tuple(places)) for name, places in seen} == calls


def test_the_first_documents_of_every_query():
    best = found([3, 1, NONE], [5, 4, 2]).first(2)
    assert (best.documents.tolist(), best.rows.tolist()) == ([[3, 1], [5, 4]], [[103, 101], [105, 104]])
    assert best.depth == 2
