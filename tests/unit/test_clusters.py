import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routeret.evaluation.clusters import query_clusters


def clusters_of(*relevant):
    """Clusters of queries whose relevant documents are these letters."""
    qrels = {f"q{number}": dict.fromkeys(letters, 1) for number, letters in enumerate(relevant)}
    return query_clusters(qrels, list(qrels)).tolist()


def test_queries_with_one_answer_are_together():
    assert clusters_of("a", "b", "a", "c") == [0, 1, 0, 2]
    assert clusters_of("a") == [0]
    assert query_clusters({}, []).tolist() == []


def test_half_of_the_documents_is_enough_and_less_is_not():
    assert clusters_of("ab", "a") == [0, 0]
    assert clusters_of("ab", "bc") == [0, 1]
    assert clusters_of("abc", "abd") == [0, 0]
    # The first and the third have nothing in common, but both are linked with the second.
    assert clusters_of("ab", "abcd", "cd") == [0, 0, 0]


def test_one_common_document_does_not_tie_everything_together():
    assert len(set(clusters_of("abx", "cdx", "efx", "ghx"))) == 4


def test_grades_of_0_are_not_relevant_and_queries_without_an_answer_are_alone():
    qrels = {"q1": {"a": 1, "b": 0}, "q2": {"b": 2}, "q3": {"a": 0}, "q4": {}, "q5": {"b": 1}}
    assert query_clusters(qrels, ["q1", "q2", "q3", "q4", "q5"]).tolist() == [0, 1, 2, 3, 1]


@given(st.lists(st.frozensets(st.sampled_from("abcdef")), max_size=12))
def test_clusters_are_those_of_links_followed_one_by_one(relevant):
    found = clusters_of(*relevant)
    expected = np.arange(len(relevant))
    for _ in relevant:
        for one, first in enumerate(relevant):
            for other, second in enumerate(relevant):
                if first and 2 * len(first & second) >= len(first | second):
                    expected[one] = expected[other] = min(expected[one], expected[other])
    assert [found.index(label) for label in found] == [expected.tolist().index(label) for label in expected.tolist()]
