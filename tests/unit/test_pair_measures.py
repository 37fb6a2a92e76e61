import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeret.errors import InputError
from routeret.pair_measures import pair_report


def report(scores, labels):
    return pair_report(np.array(scores, dtype=np.float32), np.array(labels, dtype=np.bool_))


def scanned(scores, labels):
    """The best F1 and its threshold, precision and recall by trying every score as the threshold."""
    best = (-1.0, 0.0, 0.0, 0.0)
    for threshold in sorted(set(scores), reverse=True):
        called = [score >= threshold for score in scores]
        hits = sum(c and label for c, label in zip(called, labels, strict=True))
        precision, recall = hits / sum(called), hits / sum(labels)
        f1 = 2 * hits / (sum(called) + sum(labels))
        if f1 > best[0] + 1e-12:
            best = (f1, threshold, precision, recall)
    return best


def test_a_report_by_hand():
    found = report([0.75, 0.5, 0.25, 0.125], [True, False, True, False])
    # Thresholds 0.75: 1 of 1, 1 of 2: F1 2/3; 0.25: 2 of 3, 2 of 2: F1 0.8.
    assert (found.f1_max, found.threshold) == (pytest.approx(0.8), 0.25)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), 1.0)
    assert found.ratio == pytest.approx(0.5 / 0.3125)
    assert found.roc_auc == 0.75
    assert (found.n_positive, found.n_negative) == (2, 2)


def test_scores_that_part_the_pairs_have_one_of_everything():
    found = report([0.5, 0.25, -0.25, -0.5], [True, True, False, False])
    assert (found.f1_max, found.precision, found.recall, found.roc_auc) == (1, 1, 1, 1)
    assert found.threshold == 0.25
    assert found.ratio == 1


def test_scores_that_turn_the_pairs_round_call_all_of_them_positive():
    found = report([0.1, 0.9], [True, False])
    assert (found.f1_max, found.roc_auc) == (pytest.approx(2 / 3), 0)
    assert (found.precision, found.recall) == (0.5, 1)


def test_equal_scores_are_called_all_alike():
    found = report([0.5, 0.5, 0.5], [True, False, False])
    assert (found.f1_max, found.threshold, found.precision, found.recall) == (0.5, 0.5, pytest.approx(1 / 3), 1)
    assert (found.roc_auc, found.ratio) == (0.5, 1)


def test_of_equal_f1_the_highest_threshold_is_given():
    # 1 of 1 and 1 of 2, or 2 of 4 and 2 of 2: F1 is 2/3 both times.
    found = report([0.9, 0.8, 0.7, 0.6], [True, False, False, True])
    assert (found.f1_max, found.threshold, found.precision) == (pytest.approx(2 / 3), pytest.approx(0.9), 1)


def test_negatives_whose_mean_is_zero_have_an_infinite_ratio():
    assert report([0.5, 0.5, -0.5], [True, False, False]).ratio == math.inf
    assert report([0.0, 0.5, -0.5], [True, False, False]).ratio == math.inf


@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=30))
def test_the_report_agrees_with_a_scan_of_thresholds(pairs):
    scores, labels = [score / 4 for score, _ in pairs], [label for _, label in pairs]
    if all(labels) or not any(labels):
        return
    found = report(scores, labels)
    assert (found.f1_max, found.threshold, found.precision, found.recall) == pytest.approx(scanned(scores, labels))
    positives, negatives = ([s for s, label in zip(scores, labels, strict=True) if label == kind] for kind in (1, 0))
    wins = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    assert found.roc_auc == pytest.approx(wins / len(positives) / len(negatives))
    assert found.ratio == (
        abs(np.mean(positives) / np.mean(negatives)) if any(negatives) and sum(negatives) else math.inf
    )


def test_a_report_is_plain_json():
    found = report([0.75, 0.25], [True, False])
    assert json.loads(json.dumps(found.as_dict())) == {
        "f1_max": 1.0,
        "threshold": 0.75,
        "precision": 1.0,
        "recall": 1.0,
        "ratio": 3.0,
        "roc_auc": 1.0,
        "n_positive": 1,
        "n_negative": 1,
    }


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.5, 0.25], [True, True], "2 of 2 pairs are positive"),
        ([0.5, 0.25], [False, False], "0 of 2 pairs are positive"),
        ([], [], "0 of 0 pairs"),
        ([0.5], [True, False], r"shape \(1,\), labels \(2,\)"),
        ([0.5, math.nan], [True, False], "pair 1 has score nan"),
        ([-math.inf, 0], [True, False], "pair 0 has score -inf"),
    ],
)
def test_what_cannot_be_measured_is_refused(scores, labels, message):
    with pytest.raises(InputError, match=message):
        report(scores, labels)


def test_labels_must_be_bool():
    with pytest.raises(InputError, match="int64"):
        pair_report(np.array([0.5, 0.25], dtype=np.float32), np.array([1, 0]))
