"""Ten thousand queries in one call take no more memory than their answers do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_packs import DIM, write_pack

from tests.unit.batch_memory import MANY

ROUTING_BYTES = 4 * DIM + 600
"""Of a query: its vector, and what the router decided."""

SLACK_KIB = 4 * 1024
"""Blocks of queries differ, and memory comes in pieces."""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")
def test_many_queries_in_one_call_take_the_memory_of_their_answers(tmp_path):
    write_pack(tmp_path / "pack")
    script = Path(__file__).parent / "batch_memory.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    answers = found["hits"] + found["texts"] + MANY * ROUTING_BYTES / 1024
    assert found["taken"] < answers + SLACK_KIB, found
