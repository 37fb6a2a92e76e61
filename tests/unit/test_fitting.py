"""The loop that fits towers, on a quadratic whose minimum is known."""

import numpy as np
import pytest
import torch

from routeret.errors import ArtifactError, TrainingDivergedError
from routeret.training.fitting import Batches, DevScore, FitState, Schedule, fit_tower

TARGET = torch.tensor([3.0, -1.0])


def a_fit(state=None, *, stop_at=None, n_steps=40, bad_step=None):
    """Fit two numbers to a target; dropout makes the steps depend on chance."""
    weight = torch.nn.Parameter(torch.zeros(2))

    def loss(step):
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
    return fit_tower({"w": weight}, loss, batch_of=names, judge=judge, schedule=schedule, seed=3, state=state)


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


def test_a_state_of_other_settings_is_not_gone_on_from(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        a_fit(FitState.beside(tmp_path / "expert", settings={"rate": 0.1}), stop_at=12)
    with pytest.raises(ArtifactError, match=r"other settings \(rate: 0.1, now 0.2\)"):
        a_fit(FitState.beside(tmp_path / "expert", settings={"rate": 0.2}))


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
