"""What a search does on a machine that is warm: it loads nothing, and takes queries of any length and script."""

import json
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from tiny_retrievers import write_retriever

from routeret.encoders import OnnxEncoder
from routeret.retriever import Retriever

LOADING = (
    "routeret.encoders.graph.query_graph.QueryGraph.of",
    "routeret.encoders.graph.adapter_matrices.AdapterMatrices._made",
    "routeret.index.documents.open_fulltext",
    "routeret.index.reading.open_search",
    "routeret.index.structures.coded_rows.CodedRows.read",
    "routeret.retriever.index_map.IndexMap.weight",
    "routeret.retriever.known_documents.KnownDocuments._look_up",
    "routeret.retriever.loading.load_encoder",
    "routeret.retriever.loading.load_pool",
    "routeret.retriever.searching.NearestPilots",
)
"""What the first searches call once, to load something or to work it out."""

ASKED = "the river returns"
MIXED = "🌧️ 👩‍👩‍👧 東京 Straße – кошка بطاقة ﬁsh e\u0301 \u202e bank 🇩🇪 नदी"

MEMORY_PER_BYTE = 120
"""Of a long query: what is told of every word for BM25, and of every byte where the tokenizer reads it to its end."""


@pytest.fixture(scope="module")
def folder(e5_model, graphs, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUTERET_GRAPHS", str(graphs))
        yield write_retriever(tmp_path_factory.mktemp("warm"), e5_model)


def test_after_warming_a_search_loads_nothing(folder, monkeypatch):
    loaded = []
    for name in LOADING:
        monkeypatch.setattr(name, noting(name, loaded))
    # The first few queries alone are answered without codes of the rows.
    queries = [ASKED] * 9
    with Retriever.open(folder) as retriever:
        retriever.search_batch(queries)
    assert set(loaded) == set(LOADING)
    with Retriever.open(folder) as retriever:
        retriever.warm()
        loaded.clear()
        hits = retriever.search_batch(queries)[0]
    assert loaded == []
    # So it went by the adapter, by BM25 and by the map of the index, which had to be there.
    assert hits.routing.weights["law"] > 0
    assert hits.routing.weights["bm25"] > 0
    assert hits.routing.adaptation > 0


def test_warming_makes_the_map_whatever_its_own_question_meets(folder, monkeypatch):
    made = []
    name = "routeret.retriever.index_map.IndexMap.weight"
    monkeypatch.setattr(name, noting(name, made))
    monkeypatch.setattr(Retriever, "search", lambda *_, **__: None)
    with Retriever.open(folder) as retriever:
        retriever.warm()
    assert made == [name]


OPENING = """
import json, sys
from routeret import Retriever
seen = []
is_searching = False
def note(event, arguments):
    if is_searching and event in ("open", "import", "sqlite3.connect", "ctypes.dlopen"):
        seen.append(f"{event} {arguments[0]}")
sys.addaudithook(note)
with Retriever.open(sys.argv[1]) as retriever:
    retriever.warm()
    is_searching = True
    retriever.search(sys.argv[2])
    is_searching = False
print(json.dumps(seen))
"""


def test_after_warming_a_search_opens_no_file(folder):
    done = subprocess.run([sys.executable, "-c", OPENING, folder, ASKED], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("query", "short"),
    [
        ("bank " * 20_000, "bank " * 20),
        ("b" * 100_000, "b" * 200),
        (" " * 99_996 + "bank", "bank"),
        (MIXED * 2_000, MIXED),
    ],
    ids=["words", "one word", "blanks", "mixed"],
)
def test_long_queries_and_mixed_scripts_are_read_as_their_beginnings(folder, e5_model, query, short):
    with Retriever.open(folder) as retriever:
        for asked in (query, short):
            hits = retriever.search(asked, 5)
            assert len({hit.id for hit in hits}) == 5
            assert np.isfinite([hit.score for hit in hits]).all()
    encoder = OnnxEncoder(e5_model)
    vectors = encoder.encode_queries([query])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1], atol=1e-5)
    np.testing.assert_allclose(vectors, encoder.encode_queries([short]), atol=2e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")
def test_a_long_query_takes_little_memory(folder):
    script = Path(__file__).parent / "long_query_memory.py"
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=True)
    taken = json.loads(done.stdout)
    assert max(taken.values()) < MEMORY_PER_BYTE, taken


def noting(name, loaded):
    """What a name stands for, which notes every call."""
    original = resolve_name(name)

    def noted(*given, **named):
        loaded.append(name)
        return original(*given, **named)

    return noted
