"""A routed search in a new process, on a machine that is prepared: no library is loaded that only others need."""

import json
import subprocess
import sys

import numpy as np
import pytest

from routeret import Document, Retriever
from routeret.encoders import OnnxEncoder
from routeret.experts import LinearExpert
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, save_pilots

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


def documents():
    words = ["river", "bank", "card", "tax", "water", "returns", "the", "pays", "all", "its"]
    rng = np.random.default_rng(0)
    return [Document(f"d{number}", text=" ".join(rng.choice(words, size=7))) for number in range(600)]


def expert_of(encoder, folder):
    weight = np.random.default_rng(1).normal(scale=0.1, size=(encoder.dim, encoder.dim)).astype(np.float32)
    expert = LinearExpert(
        name="money",
        weight=weight,
        strength=0.5,
        space=encoder.space,
        query_tower=encoder.query_tower,
        known_documents=np.array([], dtype=np.uint64),
    )
    texts = ("bank card", "tax returns", "pays a tax", "card of a bank", "the bank pays")
    corpus = PilotCorpus(
        name="money",
        texts=texts,
        vectors=encoder.encode_queries(texts),
        gains={"money": np.full((len(texts), len(STRENGTHS)), 0.3, dtype=np.float32)},
        home_experts=("money",),
    )
    library = PilotLibrary(query_tower=encoder.query_tower, corpora=(corpus,))
    expert.save(folder, beside=lambda temporary: save_pilots(library, temporary / "pilots"))
    return folder


@pytest.fixture
def index(e5_model, graphs, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    with Retriever.create(tmp_path / "kb", base=e5_model, device="cpu") as retriever:
        retriever.add(documents())
        retriever.add_expert(expert_of(OnnxEncoder(e5_model), tmp_path / "money"))
        retriever.warm()
    return tmp_path / "kb"


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
