"""Search on a real GPU against exact search on the CPU: the same rows, and the same scores."""

import threading
from functools import partial

import numpy as np
import pytest
import stored_vectors

from routeret.corpus import Corpus
from routeret.encoders import HashingEncoder
from routeret.errors import InputError
from routeret.index import Index
from routeret.index.structures.gpu import open_device
from routeret.index.structures.gpu_placing import place
from routeret.index.structures.gpu_rows import on_gpu
from routeret.index.structures.row_search import RowSearch
from routeret.optional import is_installed, require

DIM = 96
Stored = partial(stored_vectors.Stored, block_rows=5000)
clustered = partial(stored_vectors.clustered, dim=DIM, n_clusters=200)

SHARES = [1.0, 0.95, 0.5, 0.1, 0.01, 0.0001]


def n_gpus():
    faiss = require("faiss", extra="gpu") if is_installed("faiss") else None
    return faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(n_gpus() == 0, reason="needs a CUDA device and faiss-gpu")]


class Full:
    """The device, as if no memory were left for whole vectors."""

    def __init__(self, device):
        self._device = device
        self.name = device.name

    def free_bytes(self):
        return 0

    def __getattr__(self, name):
        return getattr(self._device, name)


@pytest.fixture(scope="module")
def vectors():
    """200,000 rows; the first three are one vector."""
    vectors = clustered(200_000)
    vectors[1:3] = vectors[0]
    return vectors


@pytest.fixture(scope="module")
def queries(vectors):
    return np.vstack([vectors[:1], clustered(40, seed=5)])


@pytest.fixture(scope="module")
def cpu(vectors):
    return RowSearch(Stored(vectors))


def searches(vectors, cpu, *, device, factory=None):
    probes = {"base": clustered(100, seed=3)}
    return on_gpu(Stored(vectors), cpu, device, factory=factory, recall=0.99, probes=lambda: probes, is_built_now=True)


@pytest.fixture(scope="module")
def flat(vectors, cpu):
    return searches(vectors, cpu, device=open_device("cuda:0"))


@pytest.fixture(scope="module")
def lists(vectors, cpu):
    return searches(vectors, cpu, device=Full(open_device("cuda:0")))


@pytest.fixture(scope="module")
def graph(vectors, cpu):
    if "CUVS" not in require("faiss", extra="gpu").get_compile_options():
        pytest.skip("this FAISS was built without cuVS")
    return searches(vectors, cpu, device=open_device("cuda:0"), factory="CAGRA")


def recall(found, expected):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.rows, expected.rows, strict=True)])


def scored_exactly(found, vectors, queries):
    exact = np.einsum("qkd,qd->qk", vectors[found.rows].astype(np.float64), queries.astype(np.float64))
    np.testing.assert_array_equal(found.scores, exact.astype(np.float32))
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_what_was_built(flat, lists):
    assert flat.info()["gpu"] == {"device": "cuda:0", "rows": 200_000, "factory": "Flat", "recall": {}, "reason": ""}
    info = lists.info()["gpu"]
    assert (info["factory"], info["reason"]) == ("IVF512,PQ96", "")
    assert info["recall"]["base"] >= 0.99


@pytest.mark.parametrize("k", [1, 10, 500, 1994, 1995, 2048, 2049, 5000])
def test_the_same_rows_and_scores_for_every_k(flat, cpu, queries, k):
    found, expected = (search.search(queries, k) for search in (flat, cpu))
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("share", SHARES)
def test_the_same_rows_and_scores_for_every_filter(flat, cpu, queries, share):
    allowed = np.random.default_rng(8).random(cpu.n_rows) < share
    allowed[77] = True
    found, expected = (search.search(queries, 10, allowed=allowed) for search in (flat, cpu))
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("kind", ["lists", "graph"])
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("k", [10, 100, 3000])
def test_lists_and_graphs_reach_their_recall(request, cpu, vectors, queries, kind, share, k):
    search = request.getfixturevalue(kind)
    allowed = np.random.default_rng(8).random(cpu.n_rows) < share
    allowed[77] = True
    found, expected = (one.search(queries, k, allowed=allowed) for one in (search, cpu))
    assert found.rows.shape == expected.rows.shape
    assert allowed[found.rows].all()
    assert all(len(set(line)) == len(line) for line in found.rows.tolist())
    scored_exactly(found, vectors, queries)
    assert recall(found, expected) >= 0.97


@pytest.mark.parametrize("n_rows", [1, 2, 50, 2048, 2049])
def test_few_rows(n_rows, queries):
    vectors = clustered(n_rows, seed=1)
    cpu = RowSearch(Stored(vectors))
    found = searches(vectors, cpu, device=open_device("cuda:0")).search(queries, 60)
    expected = cpu.search(queries, 60)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("kind", ["flat", "lists"])
def test_many_threads(request, kind, queries):
    search = request.getfixturevalue(kind)
    expected = search.search(queries, 10).rows.tolist()
    found = []

    def look():
        for _ in range(20):
            found.append(search.search(queries, 10).rows.tolist() == expected)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 160


def test_a_graph_without_cuvs_is_refused(vectors):
    if "CUVS" in require("faiss", extra="gpu").get_compile_options():
        pytest.skip("this FAISS has cuVS")
    with pytest.raises(InputError, match="needs a FAISS with cuVS"):
        place(Stored(vectors), open_device("cuda:0"), factory="CAGRA", recall=0.9, probes=lambda: None)


def test_an_index_on_the_gpu(tmp_path):
    encoder = HashingEncoder()
    documents = [{"id": f"d{number}", "text": f"tea {number} leaf {number % 7}"} for number in range(3000)]
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(Corpus.of(documents), encoder)
    queries = encoder.encode_queries(["tea 3", "leaf 5"])
    with Index.open(tmp_path / "kb") as cpu, Index.open(tmp_path / "kb", device="cuda:0") as gpu:
        gpu.search(queries, 10, space=gpu.space)
        gpu.add(Corpus.of([{"id": "new", "text": "tea leaf"}]), encoder)
        gpu.delete(["d3"])
        cpu.refresh()
        found, expected = (index.search(queries, 20, space=index.space) for index in (gpu, cpu))
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert gpu.info()["structure"]["gpu"]["factory"] == "Flat"


def test_a_device_that_is_not_there():
    with pytest.raises(InputError, match=f"FAISS sees {n_gpus()} CUDA devices"):
        open_device(f"cuda:{n_gpus()}")
