"""A training that is killed at any moment goes on when it is repeated, and writes the expert of one that was not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from letters import write_letters

N_STEPS = {"tower": 16, "lora": 2 * 9}


@pytest.fixture(params=sorted(N_STEPS))
def killed(request, tiny_models, tmp_path):
    """A kind of training, what its processes left behind, and the folder with both experts."""
    tiny_models.write(tmp_path / "base")
    write_letters(tmp_path / "letters")
    script = Path(__file__).with_name("killed_trainings.py")
    command = [sys.executable, script, request.param, tmp_path, "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return request.param, json.loads(done.stdout), tmp_path


def test_a_killed_training_ends_as_one_that_was_never_stopped(killed):
    kind, counts, folder = killed
    deaths = counts["deaths"]
    steps = [death["steps"] for death in deaths.values()]
    assert len(deaths) == 11
    # Nothing that was kept is lost, and a step is trained at most once after it was kept.
    assert steps == sorted(steps)
    assert [deaths[name]["steps"] for name in ("before the first step", "half of the first state is written")] == [0, 0]
    assert deaths["the first state is in place"]["steps"] == 1
    assert deaths["half of a later state is written"]["steps"] == deaths["in a later step"]["steps"] + 1 == 4
    assert deaths["while the expert is written"]["steps"] == N_STEPS[kind]
    assert counts["steps_at_last"] == 0
    # What half-written files there were has gone with the last process.
    assert any(".tmp-" in name for name in deaths["while the expert is written"]["names"])
    assert counts["left"] == ["out"]
    whole, again = (
        {file.relative_to(out): file.read_bytes() for file in out.rglob("*.safetensors")}
        for out in (folder / "whole" / "out", folder / "killed" / "out")
    )
    assert any("model" in str(name) or "adapter" in str(name) for name in whole)
    assert again == whole
