"""A writer that is killed at any moment loses nothing; ``make soak`` kills a thousand."""

import json
import subprocess
import sys
from pathlib import Path


def test_fifty_killed_writers_lose_nothing():
    script = Path(__file__).with_name("random_kills.py")
    done = subprocess.run(
        [sys.executable, script, "--kills", "50", "--seed", "7"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    counts = json.loads(done.stdout)
    assert counts["kills"] == 50
    assert sum(counts["by interrupted change"].values()) + counts["came through unsaid"] >= 50
