"""The loop that fits towers, on a quadratic whose minimum is known."""

import math

import numpy as np
import pytest
import torch

from routeret.errors import ArtifactError, TrainingDivergedError
from routeret.training.fitting import Batches, DevScore, FitState, Schedule, fit_tower

TARGET = torch.tensor([3.0, -1.0])


def a_fit(state=None, *, stop_at=None, n_steps=40, bad_step=None, settle=False, seen=None):
    """Fit two numbers to a target; dropout makes the steps depend on chance."""
    weight = torch.nn.Parameter(torch.zeros(2))

    def loss(step):
        if seen is not None:
            seen.append(step)
        if step == stop_at:
            raise KeyboardInterrupt
        kept = torch.nn.functional.dropout(weight, p=0.25)
        value = ((kept - TARGET) ** 2).sum()
        return value * float("nan") if step == bad_step else value

    def judge():
        distance = float((weight.detach() - TARGET).norm())
        return DevScore(-distance, {"weight": weight.detach().numpy().copy()})

    schedule = Schedule(checkpoints=(10, 20, n_steps), learning_rate=0.2)
    names = "queries {}".format
    return fit_tower(
        {"w": weight}, loss, batch_of=names, judge=judge, schedule=schedule, seed=3, state=state, settle=settle
    )


def test_a_fit_nears_its_target_and_keeps_the_best_checkpoint():
    fitted = a_fit()
    assert set(fitted.scores) == {10, 20, 40}
    assert fitted.steps == max(fitted.scores, key=lambda steps: fitted.scores[steps].value)
    np.testing.assert_array_equal(fitted.weights["w"], fitted.scores[fitted.steps].arrays["weight"])
    assert fitted.scores[40].value > fitted.scores[10].value


def test_an_interrupted_fit_goes_on_to_the_same_weights(tmp_path):
    whole = a_fit()
    state = FitState.beside(tmp_path / "expert", settings={"seed": 3})
    for stop_at in (13, 27):
        with pytest.raises(KeyboardInterrupt):
            a_fit(state, stop_at=stop_at)
        assert state.file.exists()
    fitted = a_fit(state)
    assert fitted.steps == whole.steps
    for steps, score in whole.scores.items():
        assert fitted.scores[steps].value == score.value
        np.testing.assert_array_equal(fitted.scores[steps].arrays["weight"], score.arrays["weight"])
    state.remove()
    assert not state.file.exists()


def test_a_loss_that_is_no_number_stops_names_its_batch_and_keeps_what_was_good(tmp_path):
    state = FitState.beside(tmp_path / "expert", settings={"seed": 3})
    with pytest.raises(TrainingDivergedError, match=r"loss of step 14 is nan.*the batch is queries 14"):
        a_fit(state, bad_step=14)
    arrays, values = state.read()
    assert values["step"] == 14
    assert np.isfinite(arrays["now/w"]).all()
    np.testing.assert_array_equal(a_fit(state).weights["w"], a_fit().weights["w"])


def a_climb(dev, *, bad_step=None, settle=False, state=None):
    """Raise one number at a constant gradient; the weights after every step get the next score of ``dev``."""
    weight = torch.nn.Parameter(torch.zeros(1))
    left = list(dev)

    def judge():
        score = left.pop(0)
        if score is None:
            raise TrainingDivergedError("the vectors of 1 of 2 texts are not finite numbers")
        return DevScore(score, {})

    def loss(step):
        return (weight * float("inf" if step == bad_step else -1.0)).sum()

    return fit_tower(
        {"w": weight},
        loss,
        batch_of="queries {}".format,
        judge=judge,
        schedule=Schedule(checkpoints=(1, 2, 3, 4), learning_rate=1.0, warmup=0.0, weight_decay=0.0),
        state=state,
        settle=settle,
    )


def test_a_fit_that_diverges_settles_for_its_best_checkpoint():
    # AdamW moves a number with a constant gradient by the learning rate, which is 1 and then 1 - 0.9 / 4.
    whole = a_climb([0.25, 0.5, 0.375, 0.0])
    assert (whole.steps, whole.diverged) == (2, None)
    np.testing.assert_allclose(whole.weights["w"], [1.775], rtol=1e-6)
    fitted = a_climb([0.25, 0.5, 0.375], bad_step=3, settle=True)
    assert {steps: score.value for steps, score in fitted.scores.items()} == {1: 0.25, 2: 0.5, 3: 0.375}
    assert fitted.steps == 2
    np.testing.assert_array_equal(fitted.weights["w"], whole.weights["w"])
    # What becomes of the checkpoint is not known yet, so nothing is said of it.
    assert fitted.diverged == (
        "the loss of step 3 is inf, its gradient has length inf, expected finite numbers; the batch is queries 3"
    )
    assert fitted.score == 0.5


def test_a_fit_that_diverges_says_what_its_best_checkpoint_is_worth():
    message = (
        r"loss of step 3 is inf, its gradient has length inf.*the batch is queries 3\. The best checkpoint before it, "
        r"after 2 steps in all, scored 0\.5000 on dev: make an expert of it with --force \(force=True\), or train with "
        r"a lower learning rate in a new place$"
    )
    with pytest.raises(TrainingDivergedError, match=message):
        a_climb([0.25, 0.5, 0.375], bad_step=3)


@pytest.mark.parametrize("settle", [False, True])
def test_without_a_checkpoint_there_is_nothing_to_settle_for(tmp_path, settle):
    state = FitState.beside(tmp_path / "expert", settings={})
    message = r"kept in .*\.expert\.training\. No checkpoint was scored before it: look at these texts, or train with"
    with pytest.raises(TrainingDivergedError, match=message) as raised:
        a_climb([], bad_step=0, settle=settle, state=state)
    assert "force" not in str(raised.value)


def test_a_kept_fit_settles_without_training_the_good_steps_again(tmp_path):
    direct = a_fit(bad_step=34, settle=True)
    assert set(direct.scores) == {10, 20}
    state = FitState.beside(tmp_path / "expert", settings={"seed": 3})
    with pytest.raises(TrainingDivergedError, match=r"after \d+ steps in all, scored -\d\.\d+ on dev"):
        a_fit(state, bad_step=34)
    for _ in range(2):
        seen = []
        fitted = a_fit(state, bad_step=34, settle=True, seen=seen)
        assert seen == [34]
        assert (fitted.steps, fitted.diverged) == (direct.steps, direct.diverged)
        np.testing.assert_array_equal(fitted.weights["w"], direct.weights["w"])
        assert {steps: score.value for steps, score in fitted.scores.items()} == {
            steps: score.value for steps, score in direct.scores.items()
        }


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_a_tower_that_cannot_be_scored_has_diverged(tmp_path, has_checkpoint):
    state = FitState.beside(tmp_path / "expert", settings={})
    dev = [0.25, None] if has_checkpoint else [None]

    def climb(**settings):
        return a_climb(dev, state=state, **settings)

    message = rf"after step {len(dev) - 1} the vectors .* not finite numbers; the batch is queries {len(dev) - 1}"
    with pytest.raises(TrainingDivergedError, match=message) as raised:
        climb()
    assert ("--force" in str(raised.value)) == ("kept in" in str(raised.value)) == state.file.exists() == has_checkpoint
    if has_checkpoint:
        dev = dev[1:]
        fitted = climb(settle=True)
        assert (fitted.steps, list(fitted.scores)) == (1, [1])
        np.testing.assert_allclose(fitted.weights["w"], [1.0], rtol=1e-6)
        assert "after step 1 the vectors" in fitted.diverged


@pytest.mark.parametrize(("dev", "steps"), [([math.nan, 0.1, math.nan, 0.05], 2), ([0.3, math.nan, 0.3, 0.2], 1)])
def test_a_dev_score_that_is_no_number_is_never_the_best(dev, steps):
    assert a_climb(dev).steps == steps


def test_a_state_of_other_settings_is_not_gone_on_from(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        a_fit(FitState.beside(tmp_path / "expert", settings={"rate": 0.1}), stop_at=12)
    with pytest.raises(ArtifactError, match=r"other settings \(rate: 0.1, now 0.2\)"):
        a_fit(FitState.beside(tmp_path / "expert", settings={"rate": 0.2}))


def test_a_refused_state_names_the_other_files_of_its_training_that_are_there(tmp_path):
    here, there, missing = (tmp_path / name for name in ("here", "there", "missing"))
    for file in (here, there):
        FitState(file, settings={"seed": 1}).write({}, {})
    with pytest.raises(ArtifactError, match=r"\(seed: 1, now 2\)") as refused:
        FitState(here, settings={"seed": 2}, others=[here, missing, there]).read()
    assert str(refused.value).endswith(f"or remove {here}, {there} to train from the beginning")


def test_a_damaged_state_is_named(tmp_path):
    state = FitState.beside(tmp_path / "expert", settings={})
    with pytest.raises(KeyboardInterrupt):
        a_fit(state, stop_at=12)
    state.file.write_bytes(state.file.read_bytes()[:50])
    with pytest.raises(ArtifactError, match=r"\.expert\.training is damaged"):
        a_fit(state)


def test_every_row_comes_once_before_one_comes_twice():
    batches = Batches(10, 4, seed=1)
    drawn = np.concatenate([batches.rows(step) for step in range(5)])
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    np.testing.assert_array_equal(batches.rows(3), Batches(10, 4, seed=1).rows(3))
    assert sorted(Batches(3, 8, seed=0).rows(7)) == [0, 1, 2]


def test_the_rate_rises_and_falls():
    schedule = Schedule(checkpoints=(5, 20), learning_rate=1.0, warmup=0.2)
    assert [schedule.rate(step) for step in (0, 3, 4)] == [0.25, 1.0, 1.0]
    assert schedule.rate(20) == pytest.approx(0.1)
