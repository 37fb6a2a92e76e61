"""A training that is killed at any moment goes on when it is repeated, and writes the expert of one that was not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from letters import ANSWERS, write_letters

N_STEPS = {"lora": 2 * 9, "moe": 16, "pairs": 16, "tower": 16}


@pytest.fixture(scope="module")
def killed(tiny_models, tmp_path_factory):
    """What the processes of all kinds of training left behind, by kind, and the folder with their experts."""
    folder = tmp_path_factory.mktemp("killed")
    tiny_models.write(folder / "base")
    write_letters(folder / "letters")
    write_letters(folder / "rivers", answers=[f"river {letter}" for letter in ANSWERS], shift=3)
    pairs = [{"a": f"d{number}", "b": f"d{number + 1}", "count": 1} for number in range(7)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    script = Path(__file__).with_name("killed_trainings.py")
    done = subprocess.run([sys.executable, script, folder, "--seed", "3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder


@pytest.mark.parametrize("kind", sorted(N_STEPS))
def test_a_killed_training_ends_as_one_that_was_never_stopped(killed, kind):
    counts, folder = killed[0][kind], killed[1] / kind
    deaths = counts["deaths"]
    steps = [death["steps"] for death in deaths.values()]
    assert len(deaths) == 10
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
