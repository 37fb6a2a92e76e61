import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routeret.chunking import aggregate

spans = st.lists(st.tuples(st.integers(0, 6), st.floats(-1, 1, width=16)), max_size=30)


def slow_scores(pairs, how):
    """Documents with their scores and best spans, one document at a time."""
    found = []
    for document in sorted({owner for owner, _ in pairs}):
        mine = [(-score, position) for position, (owner, score) in enumerate(pairs) if owner == document]
        top = [-score for score, _ in sorted(mine)[: 1 if how == "best" else 3]]
        found.append((document, np.float32(sum(top) / len(top)), min(mine)[1]))
    return found


@given(spans, st.sampled_from(["best", "mean_top3"]))
def test_aggregation_is_its_slow_twin(pairs, how):
    pairs = sorted(pairs, key=lambda pair: pair[0])
    owners = np.array([owner for owner, _ in pairs], dtype=np.int64)
    found = aggregate(np.array([score for _, score in pairs], dtype=np.float32), owners, how=how)
    expected = slow_scores(pairs, how)
    assert list(zip(found.documents.tolist(), found.scores, found.best_spans.tolist(), strict=True)) == expected
