"""Graphs keep few threads, however many of them are open and whoever asks."""

import json
import subprocess
import sys

import pytest

THREADS = 3
GRAPHS = ("int8", "float32", "int8", "float32", "int8", "float32")

COUNTING = """
import json, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from routeret.encoders import OnnxEncoder

model, n_threads, graphs = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
texts = ["bank card", "the river returns all of its water to the bank", "tax"] * 8
counts, encoders = [], []
with ThreadPoolExecutor(6) as askers:
    list(askers.map(threading.Barrier(6).wait, [None] * 6))
    for precision in graphs:
        encoders.append(OnnxEncoder(model, query_precision=precision, threads=n_threads, kept_queries=0))
        for encoder in encoders:
            list(askers.map(encoder.encode_queries, [texts] * 24))
        counts.append(len(os.listdir("/proc/self/task")))
print(json.dumps(counts))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux tells them")
def test_a_graph_keeps_the_threads_that_it_was_given_but_one(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    asked = [sys.executable, "-c", COUNTING, e5_model, str(THREADS), *GRAPHS]
    counts = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    # The first graph comes with what is started once a process, such as the threads of the tokenizer. Whoever asks
    # computes, too, so that a graph keeps one thread less than it may use.
    assert counts[-1] - counts[0] <= len(GRAPHS) * (THREADS - 1), counts
