"""Search on a GPU without one: an index with the limits of FAISS's GPU indexes stands in for the device's."""

import sys
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import stored_vectors
from stored_vectors import Stored

from routeret.corpus import Corpus
from routeret.encoders import HashingEncoder
from routeret.errors import InputError, MissingExtraError
from routeret.index import Index
from routeret.index import index as index_module
from routeret.index.structures import gpu_rows as gpu_rows_module
from routeret.index.structures.gpu import open_device, searching_device
from routeret.index.structures.gpu_placing import fits, half_error, place
from routeret.index.structures.gpu_rows import on_gpu
from routeret.index.structures.gpu_structure import WIDEST, GpuStructure
from routeret.index.structures.row_search import RowSearch

DIM = 16
GIB = 1 << 30

clustered = partial(stored_vectors.clustered, is_half=True)


class DeviceIndex:
    """Looks at all vectors in half precision; refuses what FAISS refuses on a GPU."""

    def __init__(self, dim, *, stride=1, repeats=False, fails=False):
        self.vectors = np.empty((0, dim), dtype=np.float16)
        self.stride, self.repeats, self.fails = stride, repeats, fails
        self.searched = []
        self._busy = threading.Lock()

    def train(self, vectors):
        if self.repeats:
            self.add(vectors)

    def add(self, vectors):
        if self.fails:
            raise RuntimeError("alloc fail: out of memory")
        self.vectors = np.vstack([self.vectors, vectors.astype(np.float16)])

    def search(self, queries, k, *, params=None):
        assert self._busy.acquire(blocking=False), "two searches at once"
        try:
            if not 0 < k <= 2048:
                raise RuntimeError(f"GPU index only supports min/max-K selection up to 2048 (requested {k})")
            self.searched.append((len(queries), k, params))
            products = queries.astype(np.float16).astype(np.float32) @ self.vectors.T.astype(np.float32)
            # An effort of n looks at n of every `stride` rows only.
            if params is not None:
                products[:, np.arange(len(self.vectors)) % self.stride >= params] = -np.inf
            rows = np.argsort(-products, axis=1, kind="stable")[:, :k]
            scores = np.take_along_axis(products, rows, axis=1)
            rows[~np.isfinite(scores)] = -1
            if self.repeats:
                rows[:, -1], scores[:, -1] = rows[:, 0], scores[:, 0]
            return scores.astype(np.float32), rows
        finally:
            self._busy.release()


class StandIn:
    """A device of so much free memory."""

    name = "cuda:0"

    def __init__(self, free=GIB, *, stride=8, **fails):
        self.free, self.stride, self.fails = free, stride, fails
        self.made = []

    def free_bytes(self):
        return self.free

    def flat(self, dim):
        return self._made("flat", DeviceIndex(dim, fails=self.fails.get("flat", False)))

    def lists(self, dim, *, n_lists, n_codes, seed):
        index = self._made(f"lists {n_lists} {n_codes} {seed}", DeviceIndex(dim, stride=self.stride))
        index.fails = self.fails.get("lists", False)
        return index

    def list_parameters(self, n_read):
        return n_read

    def graph(self, dim):
        return self._made("graph", DeviceIndex(dim, stride=64, repeats=True))

    def graph_parameters(self, n_kept):
        return n_kept

    def _made(self, kind, index):
        self.made.append(kind)
        self.index = index
        return index


class Forbidden(RowSearch):
    """The CPU's search, which must not be asked."""

    def search(self, queries, k, *, allowed=None):  # noqa: ARG002
        raise AssertionError(f"the CPU was asked for {k} rows of {len(queries)} queries")


def made(vectors, device=None, *, search=RowSearch, recall=0.99, probes=None, factory=None):
    stored = Stored(vectors)
    device = device or StandIn()
    return on_gpu(stored, search(stored), device, recall=recall, probes=lambda: probes, factory=factory)


def same(found, expected):
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert (found.rows.dtype, found.scores.dtype) == (np.int64, np.float32)


@pytest.fixture(scope="module")
def vectors():
    vectors = clustered(6000)
    vectors[1] = vectors[0]
    return vectors


@pytest.fixture(scope="module")
def queries():
    return clustered(40, seed=5, is_half=False)


@pytest.mark.parametrize("n_rows", [0, 1, 2, 50, 3000])
@pytest.mark.parametrize("n_queries", [0, 1, 33])
@pytest.mark.parametrize("k", [1, 10, 5000])
def test_the_gpu_gives_what_the_cpu_gives(n_rows, n_queries, k):
    vectors = clustered(n_rows, is_half=False).reshape(n_rows, DIM)
    vectors[: n_rows // 3] = vectors[:1]
    queries = 3 * clustered(n_queries, seed=1, is_half=False).reshape(n_queries, DIM)
    same(made(vectors).search(queries, k), RowSearch(Stored(vectors)).search(queries, k))


@pytest.mark.parametrize("share", [1.0, 0.95, 0.5, 0.1, 0.01, 0.001, 0])
@pytest.mark.parametrize("few_rows", [0, 2000])
def test_filters_agree_with_the_cpu(vectors, queries, share, few_rows, monkeypatch):
    monkeypatch.setattr(gpu_rows_module, "_FEW_ROWS", few_rows)
    allowed = np.random.default_rng(8).random(len(vectors)) < share
    cpu = RowSearch(Stored(vectors))
    for k in (1, 10, 300):
        found = made(vectors).search(queries, k, allowed=allowed)
        same(found, cpu.search(queries, k, allowed=allowed))


def test_a_filter_against_the_query_loses_nothing(vectors, queries):
    cpu, gpu = RowSearch(Stored(vectors)), made(vectors)
    scores = vectors @ queries[0]
    for share in (0.99, 0.9, 0.5):
        allowed = scores < np.quantile(scores, share)
        same(gpu.search(queries[:1], 10, allowed=allowed), cpu.search(queries[:1], 10, allowed=allowed))


def test_the_gpu_answers_by_itself_where_it_can(vectors, queries):
    device = StandIn()
    search = made(vectors, device, search=Forbidden)
    search.search(queries, 10)
    assert device.index.searched == [(40, 64, None)]
    search.search(queries, 10, allowed=np.arange(6000) % 2 == 0)
    assert device.index.searched[1:] == [(40, 160, None)]
    allowed = np.zeros(6000, dtype=np.bool_)
    allowed[[5, 4000]] = True
    assert sorted(search.search(queries[:1], 10, allowed=allowed).rows[0].tolist()) == [5, 4000]
    assert len(device.index.searched) == 2


def test_more_than_a_gpu_selects_is_searched_on_the_cpu(vectors, queries):
    device = StandIn()
    search = made(vectors, device)
    cpu = RowSearch(Stored(vectors))
    for k in (WIDEST - 54, WIDEST - 53, 2048, 2049, 6000, 7000):
        same(search.search(queries[:2], k), cpu.search(queries[:2], k))
    assert [k for _, k, _ in device.index.searched] == [2048]
    with pytest.raises(AssertionError, match="asked for 2049 rows of 2 queries"):
        made(vectors, search=Forbidden).search(queries[:2], 2049)


def test_more_equal_scores_than_candidates_are_cut_by_row(queries):
    vectors = np.tile(clustered(3), (1000, 1))
    same(made(vectors).search(queries[:3], 10), RowSearch(Stored(vectors)).search(queries[:3], 10))
    zero = np.zeros((1, DIM), dtype=np.float32)
    assert made(vectors).search(zero, 3).rows.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e7])
def test_numbers_that_half_precision_cannot_hold(scale, queries):
    vectors = np.float32(scale) * clustered(3000, is_half=False)
    for length in (1e-20, 1, 1e15):
        here = np.float32(length) * queries
        with np.errstate(over="ignore", invalid="ignore"):
            found = made(vectors).search(here, 5)
        same(found, RowSearch(Stored(vectors)).search(here, 5))


def test_the_error_of_half_precision_is_an_upper_bound():
    rng = np.random.default_rng(0)
    for scale in (1e-7, 1e-4, 1, 300):
        vectors = (scale * rng.normal(size=(2000, 64))).astype(np.float32)
        queries = rng.normal(size=(50, 64)).astype(np.float32)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
        half = queries.astype(np.float16).astype(np.float32) @ vectors.astype(np.float16).astype(np.float32).T
        bound = half_error(64, float(np.linalg.norm(vectors, axis=1).max()))
        assert np.abs(exact - half).max() <= bound
    assert half_error(384, 1.0) == pytest.approx(0.001, rel=0.02)
    assert half_error(384, 70_000.0) == np.inf


def test_what_fits():
    # 500 MiB at 2 bytes a number, of 0.4 times (free - 512 MiB)
    n_rows = 500 * (1 << 20) // (2 * 384)
    assert fits(n_rows, 384, int(1250 * (1 << 20)) + (512 << 20))
    assert not fits(n_rows + 1, 384, int(1250 * (1 << 20)) + (512 << 20) - 1000)
    assert not fits(1, 384, 0)
    assert fits(10**12, 384, None)


def kind(device, n_rows=3000, **options):
    placement = place(Stored(clustered(n_rows)), device, recall=0.9, probes=lambda: None, **options)
    return None if placement.structure is None else placement.structure.factory, device.made, placement


def test_the_first_that_fits_is_taken(caplog):
    assert kind(StandIn())[:2] == ("Flat", ["flat"])
    assert kind(StandIn(0), seed=3)[:2] == ("IVF64,PQ16", ["lists 64 16 3"])
    factory, tried, placement = kind(StandIn(None, flat=True))
    assert (factory, tried) == ("IVF64,PQ16", ["flat", "lists 64 16 0"])
    assert placement.reason == "cuda:0 cannot hold 3000 vectors of 16 numbers: alloc fail: out of memory"
    assert placement.reason in caplog.text
    factory, tried, placement = kind(StandIn(flat=True, lists=True))
    assert (factory, len(tried)) == (None, 2)
    assert kind(StandIn(), n_rows=0)[2].reason == "there are no rows"


def test_lists_are_measured_and_searched_as_hard_as_the_recall_takes(vectors, queries, monkeypatch):
    monkeypatch.setattr("routeret.index.structures.tuning._SLACK", 0.5)
    probes = {"base": clustered(60, seed=3)}
    for recall, effort in ((0.99, 8), (0.4, 6)):
        device = StandIn(0)
        search = made(vectors, device, recall=recall, probes=probes)
        found = search.search(queries, 10)
        assert device.index.searched[-1][2] == effort
        info = search.info()["gpu"]
        assert (info["factory"], info["rows"], info["device"]) == ("IVF64,PQ16", 6000, "cuda:0")
        assert list(info["recall"]) == ["base"]
        assert info["recall"]["base"] >= recall
        exact = np.einsum("qkd,qd->qk", vectors[found.rows].astype(np.float64), queries.astype(np.float64))
        np.testing.assert_array_equal(found.scores, exact.astype(np.float32))


def test_lists_that_miss_the_recall_leave_it_to_the_cpu(vectors, queries):
    device = StandIn(0, stride=10_000)
    search = made(vectors, device, probes={"base": queries})
    same(search.search(queries, 10), RowSearch(Stored(vectors)).search(queries, 10))
    assert search.info()["gpu"]["reason"] == "IVF64,PQ16 cannot reach recall 0.99 on the GPU"


@pytest.mark.parametrize("factory", [None, "CAGRA"])
@pytest.mark.parametrize("share", [1.0, 0.95, 0.5, 0.1])
def test_filters_over_lists_and_graphs(vectors, queries, factory, share):
    search = made(vectors, StandIn(0), probes={"base": clustered(60, seed=3)}, factory=factory)
    allowed = np.random.default_rng(8).random(len(vectors)) < share
    expected = RowSearch(Stored(vectors)).search(queries, 10, allowed=allowed)
    found = search.search(queries, 10, allowed=allowed)
    assert allowed[found.rows].all()
    assert all(len(set(line)) == 10 for line in found.rows.tolist())
    shared = np.mean([len(set(a) & set(b)) for a, b in zip(found.rows, expected.rows, strict=True)])
    assert shared >= 9.5


def test_a_graph_is_built_where_it_is_named(vectors, queries):
    device = StandIn()
    search = made(vectors, device, factory="CAGRA", probes={"base": clustered(60, seed=3)}, recall=0.9)
    found = search.search(queries, 10)
    assert device.made == ["graph"]
    assert search.info()["gpu"]["factory"] == "CAGRA"
    same(found, RowSearch(Stored(vectors)).search(queries, 10))
    assert device.index.vectors.shape == (6000, DIM)
    assert all(k <= 512 and kept >= k for _, k, kept in device.index.searched)
    with pytest.raises(InputError, match="'SQ8', expected one of CAGRA"):
        place(Stored(vectors), device, factory="SQ8", recall=0.9, probes=lambda: None)
    with pytest.raises(InputError, match="recall is 1.5"):
        place(Stored(vectors), device, recall=1.5, probes=lambda: None)


def test_candidates_of_a_structure_by_hand():
    found = np.array([[0.5, np.nan, 0.5, 0.75]], dtype=np.float32), np.array([[1, 0, 1, 2]])
    index = SimpleNamespace(search=lambda *_, **__: found)
    structure = GpuStructure(index, "CAGRA", n_rows=4, efforts=[64])
    rows, scores = structure.candidates(np.array([[0, 2]], dtype=np.float32), 6, effort=64)
    assert rows.tolist() == [[2, 1, -1, -1, -1, -1]]
    assert scores[0, :2].tolist() == [1.5, 1.0]
    assert (scores[0, 2:] == -np.inf).all()


def test_many_queries_are_searched_in_parts(vectors):
    device = StandIn()
    made(vectors, device).search(clustered(2050, seed=9), 3)
    assert [n for n, _, _ in device.index.searched[:3]] == [1024, 1024, 2]


def test_new_rows_are_found_beside_the_gpu(vectors, queries):
    device = StandIn()
    before = made(vectors, device)
    later = Stored(np.vstack([vectors, -2 * vectors[:3]]))
    after = before.extended(later)
    cpu = RowSearch(later)
    same(after.search(queries, 10), cpu.search(queries, 10))
    same(after.search(-vectors[:3], 1), cpu.search(-vectors[:3], 1))
    hidden = np.ones(6003, dtype=np.bool_)
    hidden[[0, 6001]] = False
    same(after.search(-vectors[:3], 5, allowed=hidden), cpu.search(-vectors[:3], 5, allowed=hidden))
    assert device.made == ["flat"]
    assert after.info()["rows_exact"] == 3
    assert not after.is_gpu_due
    many = Stored(np.vstack([vectors, np.zeros((25_000, DIM), dtype=np.float32)]))
    assert before.extended(many).is_gpu_due


def test_threads_search_one_after_the_other(vectors, queries):
    device = StandIn()
    search = made(vectors, device)
    expected = RowSearch(Stored(vectors)).search(queries, 5).rows.tolist()
    found = []

    def look():
        for _ in range(3):
            found.append(search.search(queries, 5).rows.tolist() == expected)

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 18
    assert device.made == ["flat"]


def faiss_of(monkeypatch, **parts):
    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(__version__="1.15.1", **parts))


@pytest.mark.parametrize("name", ["mps", "cuda:", "cuda:x", "cuda:-1", "gpu", "", "cuda0"])
def test_names_of_no_cuda_device(name):
    with pytest.raises(InputError, match=f"device is '{name}', expected 'cpu', 'cuda' or one like 'cuda:0'"):
        open_device(name)
    assert searching_device(name) is None


def test_devices_that_are_not_there(monkeypatch):
    assert open_device("cpu") is None
    faiss_of(monkeypatch, get_num_gpus=lambda: 0)
    with pytest.raises(MissingExtraError, match=r"faiss 1.15.1 is the one for CPUs.*routeret\[gpu\]"):
        open_device("cuda:0")
    assert searching_device("cuda:0") is None
    faiss_of(monkeypatch, get_num_gpus=lambda: 1, StandardGpuResources=object)
    with pytest.raises(InputError, match="device is 'cuda:1', FAISS sees 1 CUDA devices"):
        open_device("cuda:1")
    assert open_device("cuda").name == "cuda:0"
    assert [searching_device(name) for name in (None, "cpu", "cuda", "cuda:0", "cuda:1")] == [
        None,
        None,
        "cuda",
        "cuda:0",
        None,
    ]
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"routeret\[gpu\]"):
        open_device("cuda:0")
    assert searching_device("cuda:0") is None


def test_a_graph_needs_cuvs(monkeypatch):
    faiss_of(monkeypatch, get_num_gpus=lambda: 1, StandardGpuResources=object, get_compile_options=lambda: "GPU ")
    with pytest.raises(InputError, match="needs a FAISS with cuVS, and faiss 1.15.1 was built without"):
        open_device("cuda:0").graph(8)


def tea(n_documents):
    return [{"id": f"d{number}", "text": f"tea {number} leaf {number % 7}"} for number in range(n_documents)]


@pytest.fixture
def folder(tmp_path):
    encoder = HashingEncoder()
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(Corpus.of(tea(60)), encoder)
    return tmp_path / "kb"


def opened(folder, device, monkeypatch):
    monkeypatch.setattr(index_module, "open_device", lambda name: device if name == "cuda:0" else None)
    return Index.open(folder, device="cuda:0")


def test_an_index_searches_on_the_gpu(folder, monkeypatch):
    encoder, device = HashingEncoder(), StandIn()
    queries = encoder.encode_queries(["tea 3", "leaf 5"])
    with Index.open(folder) as cpu, opened(folder, device, monkeypatch) as index:
        assert device.made == []
        assert index.info()["structure"]["gpu"]["factory"] == ""
        same(index.search(queries, 5, space=index.space), cpu.search(queries, 5, space=cpu.space))
        assert device.made == ["flat"]
        assert index.info()["structure"]["gpu"] == {
            "device": "cuda:0",
            "rows": 60,
            "factory": "Flat",
            "recall": {},
            "reason": "",
        }
        index.add(Corpus.of([{"id": "new", "text": "coffee"}]), encoder)
        index.delete(["d3"])
        cpu.refresh()
        same(index.search(queries, 61, space=index.space), cpu.search(queries, 61, space=cpu.space))
        assert device.made == ["flat"]
        index.compact()
        cpu.refresh()
        same(index.search(queries, 61, space=index.space), cpu.search(queries, 61, space=cpu.space))
        assert device.made == ["flat", "flat"]


def test_a_named_graph_lasts_as_long_as_the_index_is_open(folder, monkeypatch):
    device = StandIn()
    with opened(folder, device, monkeypatch) as index:
        info = index.optimise(factory="CAGRA")
        assert (info["factory"], info["gpu"]["factory"]) == ("exact", "CAGRA")
        index.compact()
        index.search(HashingEncoder().encode_queries(["tea"]), 5, space=index.space)
        assert device.made == ["graph"]
        index.delete(["d1"])
        index.compact()
        index.search(HashingEncoder().encode_queries(["tea"]), 5, space=index.space)
        assert device.made == ["graph", "graph"]
        index.optimise()
        index.search(HashingEncoder().encode_queries(["tea"]), 5, space=index.space)
        assert device.made == ["graph", "graph", "flat"]
    with Index.open(folder) as index, pytest.raises(InputError, match="'CAGRA' is for the first space"):
        index.optimise(factory="CAGRA")


def test_an_index_without_that_device_is_not_opened(folder):
    with pytest.raises(InputError, match="device is 'mps'"):
        Index.open(folder, device="mps")
    Index.open(folder, device="cpu").close()
