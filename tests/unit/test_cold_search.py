"""A routed search in a new process, on a machine that is prepared: no library is loaded that only others need."""

import json
import subprocess
import sys

import pytest
from tiny_retrievers import write_retriever

from routeret import Retriever

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "sklearn",
    "scipy",
    "huggingface_hub.hf_api",
    "bm25s",
    "tqdm",
)
QUERY = "the river returns to the bank"

SEARCH = """
import json, sys
from routeret import Retriever
with Retriever.open(sys.argv[1]) as retriever:
    hits = retriever.search(sys.argv[2], 5)
loaded = [name for name in sys.argv[3:] if name in sys.modules]
training = [name for name in sys.modules if name.startswith("routeret.training")]
print(json.dumps({"hits": hits.as_dict(), "loaded": loaded + training}))
"""


@pytest.fixture
def index(e5_model, graphs, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    return write_retriever(tmp_path, e5_model)


def test_a_cold_search_loads_little_and_finds_the_same(index):
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, str(index), QUERY, *HEAVY], capture_output=True, text=True, check=True
    )
    cold = json.loads(done.stdout)
    assert cold["loaded"] == []
    with Retriever.open(index) as retriever:
        warm = retriever.search(QUERY, 5)
    assert warm.routing.adaptation > 0  # so the map of the index was needed, and had been kept
    assert cold["hits"] == json.loads(json.dumps(warm.as_dict()))


def test_the_command_loads_as_little(index):
    code = (
        "import sys; from routeret.cli import main; main(sys.argv[1:], standalone_mode=False);"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "search", str(index), QUERY, "--json"], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
    assert len(json.loads(done.stdout)["hits"]) == 10
