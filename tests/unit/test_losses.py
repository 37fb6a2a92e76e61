"""The losses, by hand, against slow twins, and at scores where exp leaves the range."""

import math

import numpy as np
import pytest
import torch

from routeret.errors import InputError
from routeret.training.losses import many_positives, mnr_plus, symmetric

LOG2, LOG3 = math.log(2), math.log(3)


def logs(*rows):
    """Scores whose exp are the given numbers."""
    return torch.tensor(rows, dtype=torch.float32).log()


def mask(*rows):
    return torch.tensor(rows, dtype=torch.bool)


def slow_many_positives(scores, is_positive, *, against, ignored):
    losses = []
    for line, positive, out in zip(np.exp(scores.astype(float)), is_positive, ignored, strict=True):
        negatives = sum(value for value, p, o in zip(line, positive, out, strict=True) if not p and not o)
        positives = [value for value, p in zip(line, positive, strict=True) if p]
        rest = sum(positives) if against == "all" else None
        losses.append(np.mean([-math.log(p / ((p if rest is None else rest) + negatives)) for p in positives]))
    return np.mean(losses)


def random_case(seed, n_queries=5, n_documents=9):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=3, size=(n_queries, n_documents)).astype(np.float32)
    is_positive = rng.random(scores.shape) < 0.3
    is_positive[np.arange(n_queries), rng.integers(0, n_documents, n_queries)] = True
    return scores, is_positive, rng.random(scores.shape) < 0.2


def test_one_positive_against_its_negatives_by_hand():
    # 2 of 2 + 1 + 1.
    for against in ("negatives", "all"):
        assert many_positives(logs([2, 1, 1]), mask([1, 0, 0]), against=against).item() == pytest.approx(LOG2)


def test_two_positives_by_hand():
    # Against negatives: 1 of 1 + 2, and 4 of 4 + 2. Against all: 1 of 7, and 4 of 7.
    scores, positive = logs([1, 4, 2]), mask([1, 1, 0])
    against_negatives = many_positives(scores, positive, against="negatives")
    assert against_negatives.item() == pytest.approx((LOG3 + math.log(3 / 2)) / 2)
    against_all = many_positives(scores, positive, against="all")
    assert against_all.item() == pytest.approx((math.log(7) + math.log(7 / 4)) / 2)


def test_every_query_counts_the_same_however_many_positives_it_has():
    scores, positive = logs([1, 1, 1, 1], [1, 1, 1, 1]), mask([1, 1, 1, 0], [1, 0, 0, 0])
    assert many_positives(scores, positive, against="negatives").item() == pytest.approx((LOG2 + math.log(4)) / 2)


def test_what_is_ignored_is_no_negative_and_a_positive_stays_one():
    scores, positive, ignored = logs([1, 1, 100]), mask([1, 0, 0]), mask([1, 0, 1])
    for against in ("negatives", "all"):
        assert many_positives(scores, positive, against=against, ignored=ignored).item() == pytest.approx(LOG2)


@pytest.mark.parametrize("against", ["negatives", "all"])
@pytest.mark.parametrize("seed", range(5))
def test_the_fast_loss_agrees_with_loops(seed, against):
    scores, is_positive, ignored = random_case(seed)
    tensors = [torch.from_numpy(array) for array in (scores, is_positive, ignored)]
    fast = many_positives(tensors[0], tensors[1], against=against, ignored=tensors[2])
    expected = slow_many_positives(scores, is_positive, against=against, ignored=ignored)
    assert fast.item() == pytest.approx(expected, rel=1e-5)
    without = many_positives(tensors[0], tensors[1], against=against)
    nothing = np.zeros_like(ignored)
    expected = slow_many_positives(scores, is_positive, against=against, ignored=nothing)
    assert without.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("positive", [[1, 1], [1, 0]])
def test_a_query_without_negatives_counts_zero_and_has_no_slope(positive):
    scores = torch.tensor([[5.0, -5.0]], requires_grad=True)
    loss = many_positives(scores, mask(positive), against="negatives", ignored=mask([0, 1]))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.tolist() == [[0, 0]]


@pytest.mark.parametrize("against", ["negatives", "all"])
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_scores_beyond_the_range_of_exp_give_finite_losses_and_slopes(against, size):
    scores = torch.tensor([[-size, size, 0], [size, -size, size], [0, 0, 0]], requires_grad=True)
    positive = mask([1, 0, 0], [1, 0, 0], [1, 1, 1])
    for loss in (many_positives(scores, positive, against=against), symmetric(scores, positive, against=against)):
        loss.backward()
        assert math.isfinite(loss.item())
        assert scores.grad.isfinite().all()
    assert many_positives(scores[:1], positive[:1], against=against).item() == pytest.approx(2 * size)


def test_both_directions_by_hand():
    scores, positive = logs([3, 1], [1, 1]), mask([1, 0], [0, 1])
    forward, backward = (math.log(4 / 3) + LOG2) / 2, (math.log(4 / 3) + LOG2) / 2
    assert symmetric(scores, positive, against="all").item() == pytest.approx((forward + backward) / 2)
    # The third document answers nobody: a negative of both queries, and no query of its own.
    wider, wider_positive = logs([3, 1, 4], [1, 1, 2]), mask([1, 0, 0], [0, 1, 0])
    forward = (math.log(8 / 3) + math.log(4)) / 2
    assert symmetric(wider, wider_positive, against="all").item() == pytest.approx((forward + backward) / 2)


@pytest.mark.parametrize("against", ["negatives", "all"])
@pytest.mark.parametrize("seed", range(3))
def test_directions_are_the_loss_and_that_of_the_turned_batch(seed, against):
    scores, is_positive, ignored = (torch.from_numpy(array) for array in random_case(seed))
    is_positive[:, 0] = False
    is_positive[:, 1] = True
    has_query = is_positive.any(dim=0)
    forward = many_positives(scores, is_positive, against=against, ignored=ignored)
    turned = [array.T[has_query] for array in (scores, is_positive, ignored)]
    backward = many_positives(turned[0], turned[1], against=against, ignored=turned[2])
    both = symmetric(scores, is_positive, against=against, ignored=ignored)
    assert both.item() == pytest.approx((forward.item() + backward.item()) / 2, rel=1e-6)
    assert symmetric(scores.T, is_positive.T, against=against, ignored=ignored.T).item() == pytest.approx(both.item())


def ranking(a, b, *, scale, ignored=None):
    """Multiple-negatives ranking of pairs: the vectors at the same place belong together, and no others."""
    return symmetric(scale * (a @ b.T), torch.eye(len(a), dtype=torch.bool), against="all", ignored=ignored)


def test_ranking_of_pairs_is_cross_entropy_with_targets_on_the_diagonal():
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(rng.normal(size=(6, 4)).astype(np.float32)) for _ in range(2))
    targets = torch.arange(6)
    entropy = torch.nn.functional.cross_entropy
    expected = (entropy(20 * a @ b.T, targets) + entropy(20 * b @ a.T, targets)) / 2
    assert ranking(a, b, scale=20).item() == pytest.approx(expected.item(), rel=1e-6)
    assert ranking(a[:1], b[:1], scale=20).item() == 0


def test_ranking_of_pairs_leaves_out_what_is_ignored():
    a = b = torch.eye(3)
    # Each against two others with exp(0): 1 + 2 / e; each against one.
    assert ranking(a, b, scale=1).item() == pytest.approx(math.log(1 + 2 / math.e))
    ignored = mask([0, 1, 0], [0, 0, 1], [1, 0, 0])
    assert ranking(a, b, scale=1, ignored=ignored).item() == pytest.approx(math.log(1 + 1 / math.e))


def slow_mnr_plus(a, b):
    likeness = (a @ a.T + b @ b.T) / 2
    softmax = np.exp(likeness - likeness.max(axis=1, keepdims=True))
    targets = (softmax / softmax.sum(axis=1, keepdims=True)).argmax(axis=1)
    scores = a @ b.T
    losses = [
        math.log(sum(math.exp(other) for other in line)) - line[target]
        for matrix in (scores, scores.T)
        for line, target in zip(matrix, targets, strict=True)
    ]
    return np.mean(losses)


@pytest.mark.parametrize("seed", range(5))
def test_the_plus_loss_agrees_with_loops(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(7, 4)) for _ in range(2))
    assert mnr_plus(torch.from_numpy(a), torch.from_numpy(b)).item() == pytest.approx(slow_mnr_plus(a, b), rel=1e-9)


def test_a_long_vector_draws_the_target_of_another_by_hand():
    # a a^T and b b^T are [[1, 2], [2, 4]]: both rows are most like the second, whose scores are 2 and 4.
    a = b = torch.tensor([[1.0], [2.0]])
    first, second = math.log(math.e + math.e**2) - 2, math.log(math.e**2 + math.e**4) - 4
    assert mnr_plus(a, b).item() == pytest.approx((first + second) / 2)


def test_what_the_plus_loss_ignores_is_no_negative_and_a_target_stays_one():
    # As above, scores [[1, 2], [2, 4]] with both targets in the second column.
    a = b = torch.tensor([[1.0], [2.0]])
    assert mnr_plus(a, b, ignored=mask([1, 1], [1, 1])).item() == 0
    # Forward, the second row has no negative left; backward it has one, and the target of the first row stays.
    first, second = math.log(math.e + math.e**2) - 2, math.log(math.e**2 + math.e**4) - 4
    found = mnr_plus(a, b, ignored=mask([0, 0], [1, 0])).item()
    assert found == pytest.approx(((first + 0) / 2 + (first + second) / 2) / 2)


def test_among_vectors_of_one_length_the_plus_loss_is_the_plain_one():
    rng = np.random.default_rng(1)
    a, b = (torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(6, 4))), dim=1) for _ in range(2))
    assert mnr_plus(a, b, scale=20).item() == pytest.approx(ranking(a, b, scale=20).item())


@pytest.mark.parametrize("loss", [lambda a, b: ranking(a, b, scale=20), mnr_plus])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e6])
def test_pairs_of_any_length_have_finite_slopes(loss, size):
    rng = np.random.default_rng(2)
    a, b = (torch.from_numpy(size * rng.normal(size=(4, 3)).astype(np.float32)) for _ in range(2))
    a.requires_grad_()
    value = loss(a, b)
    value.backward()
    assert math.isfinite(value.item())
    assert a.grad.isfinite().all()


def test_steps_down_the_slope_part_the_pairs():
    rng = np.random.default_rng(3)
    a, b = (torch.from_numpy(rng.normal(size=(8, 4)).astype(np.float32)).requires_grad_() for _ in range(2))
    before = ranking(a, b, scale=1)
    before.backward()
    assert ranking(a - 0.1 * a.grad, b - 0.1 * b.grad, scale=1).item() < before.item()


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="query 1 of the batch has no positive"):
        many_positives(torch.zeros(2, 2), mask([1, 0], [0, 0]), against="all")
    with pytest.raises(InputError, match=r"\(0, 3\)"):
        many_positives(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool), against="all")
    with pytest.raises(InputError, match=r"\(1, 2\)"):
        many_positives(torch.zeros(2, 2), mask([1, 0]), against="all")
    with pytest.raises(InputError, match="'negative'; expected one of negatives, all"):
        many_positives(torch.zeros(1, 2), mask([1, 0]), against="negative")
    with pytest.raises(InputError, match=r"none of 2 x 2 pairs"):
        symmetric(torch.zeros(2, 2), mask([0, 0], [0, 0]), against="all")
    with pytest.raises(InputError, match=r"\(2, 3\) and \(3, 3\)"):
        mnr_plus(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(InputError, match="at least one pair"):
        mnr_plus(torch.zeros(0, 3), torch.zeros(0, 3))
