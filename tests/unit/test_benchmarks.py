"""The benchmark: its data, its truth, its comparisons, and one small run of all of it."""

import json
import mmap
import subprocess
import sys

import numpy as np
import pytest

from routeret.benchmarks import bench_index, load_report, render
from routeret.benchmarks.clusters import BLOCK_ROWS, Clusters
from routeret.benchmarks.comparing import costs, growth, percent, times_faster
from routeret.benchmarks.data import BenchData, PlaceRange
from routeret.benchmarks.given import open_vectors
from routeret.benchmarks.making import make_real, make_synthetic
from routeret.benchmarks.memory import folder_bytes, resident_bytes
from routeret.benchmarks.plots import PLOTS, draw
from routeret.benchmarks.stores.registry import STORES
from routeret.benchmarks.tables import number
from routeret.benchmarks.timing import milliseconds, spread
from routeret.benchmarks.truth import kth_best, recall
from routeret.drawing import fingerprint
from routeret.encoders import HashingEncoder
from routeret.errors import ArtifactError, InputError, SpaceMismatchError
from routeret.index import Index
from routeret.optional import is_installed

SMALL = Clusters(seed=3, dim=8, n_clusters=5)


def joined(blocks):
    return np.concatenate(list(blocks))


def test_vectors_have_length_1_and_a_larger_set_begins_with_the_smaller():
    small, large = joined(SMALL.blocks(10)), joined(SMALL.blocks(BLOCK_ROWS + 2))
    assert small.dtype == np.float32
    assert small.shape == (10, 8)
    assert large.shape == (BLOCK_ROWS + 2, 8)
    np.testing.assert_array_equal(large[:10], small)
    np.testing.assert_allclose(np.linalg.norm(large, axis=1), 1.0, atol=1e-6)
    assert not np.array_equal(large[0], large[BLOCK_ROWS])
    assert not np.array_equal(joined(Clusters(seed=4, dim=8, n_clusters=5).blocks(10)), small)


def test_queries_are_near_their_documents():
    rows = joined(Clusters(seed=0).blocks(200))
    queries = Clusters(seed=0).near(rows)
    cosines = (rows * queries).sum(axis=1)
    assert np.mean(cosines) == pytest.approx(1 / np.sqrt(1 + 1.1**2), abs=0.02)
    assert cosines.max() < 0.9


@pytest.mark.parametrize("n_rows", [1, 2, 7, 300])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_kth_best_is_that_of_sorting(n_rows, k):
    rng = np.random.default_rng(n_rows)
    vectors = rng.standard_normal((n_rows, 4), dtype=np.float32)
    queries = rng.standard_normal((5, 4), dtype=np.float32)
    allowed = rng.random(n_rows) < 0.5
    blocks = [vectors[start : start + 3] for start in range(0, n_rows, 3)]
    scores = -np.sort(-(queries @ vectors.T), axis=1)
    np.testing.assert_allclose(kth_best(iter(blocks), queries, k), scores[:, min(k, n_rows) - 1], rtol=1e-5)
    found = kth_best(iter(blocks), queries, k, allowed=allowed)
    if allowed.any():
        kept = -np.sort(-(queries @ vectors[allowed].T), axis=1)
        np.testing.assert_allclose(found, kept[:, min(k, kept.shape[1]) - 1], rtol=1e-5)
    else:
        assert np.isposinf(found).all()


def test_recall_counts_either_of_a_tie_once():
    vectors = np.array([[1, 0], [0.5, 0], [0.5, 0], [0, 1]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    bounds = kth_best(iter([vectors]), query, 2)

    def of(*rows):
        return recall([np.array(rows, dtype=np.int64)], query, vectors=vectors, bounds=bounds, k=2)

    assert of(0, 1) == of(0, 2) == 1.0
    assert of(0, 0) == of(0, 3) == 0.5
    assert of(3) == of() == 0.0


def test_a_place_range_takes_its_start_and_not_its_end():
    assert PlaceRange(2, 4).matches(np.array([1, 2, 3, 4])).tolist() == [False, True, True, False]


def test_calls_stop_after_the_limit_but_not_before_enough():
    times, given = milliseconds(lambda item: 2 * item, range(100), at_least=3, limit_s=0.0)
    assert given == [0, 2, 4]
    assert len(times) == 3
    assert spread([1.0, 2.0, 3.0]) == {"p50_ms": 2.0, "p99_ms": 2.98, "n": 3}
    assert spread([]) == {}


def test_memory_grows_with_what_is_held(tmp_path):
    before = resident_bytes()
    # An array could lie in what the process has freed and still holds.
    with mmap.mmap(-1, 40_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        np.frombuffer(held, dtype=np.uint8).fill(1)
        after = resident_bytes()
    if before:
        assert after["own"] - before["own"] > 30_000_000
        assert after["peak"] >= after["now"]
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"abc")
    assert folder_bytes(tmp_path) == 3


def test_a_synthetic_folder_holds_what_it_says(tmp_path):
    data = make_synthetic(tmp_path / "data", 100, clusters=SMALL)
    again = make_synthetic(tmp_path / "again", 100, clusters=SMALL)
    assert len(data) == 100
    np.testing.assert_array_equal(data.rows(0, 100), joined(SMALL.blocks(100)))
    np.testing.assert_array_equal(data.vectors, again.vectors)
    np.testing.assert_array_equal(data.array("queries"), again.array("queries"))
    assert data.vectors.shape == (120, 8)
    assert data.array("queries").shape == (1000, 8)
    assert data.array("tuning_queries").shape == (200, 8)
    documents = list(data.corpus)
    assert [one.metadata["row"] for one in documents] == list(range(100))
    assert sorted(one.metadata["place"] for one in documents) == list(range(0, 10_000, 100))
    matching = [int(PlaceRange(*one).matches(data.array("places")).sum()) for one in data.array("filters").tolist()]
    assert matching == [50, 1, 1]
    scores = -np.sort(-(data.array("queries") @ data.vectors[:100].T), axis=1)
    np.testing.assert_allclose(data.array("bounds"), scores[:, 9], rtol=1e-5)


@pytest.fixture
def corpora(tmp_path):
    """Two BEIR folders that share ids."""
    for name, n_documents in (("cats", 7), ("dogs", 5)):
        folder = tmp_path / name
        (folder / "qrels").mkdir(parents=True)
        documents = [{"_id": f"é{number}", "text": f"{name} number {number}"} for number in range(n_documents)]
        lines = "".join(json.dumps(one) + "\n" for one in documents)
        (folder / "corpus.jsonl").write_text(lines, encoding="utf-8")
        (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": f"which {name}?"}) + "\n")
        (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\té1\t1\n", encoding="utf-8")
    return [tmp_path / "cats", tmp_path / "dogs"]


def test_real_documents_have_prefixed_ids_and_the_encoders_vectors(corpora, tmp_path):
    encoder = HashingEncoder(16)
    data = make_real(tmp_path / "data", corpora, encoder=encoder, vectors=None, seed=0)
    documents = list(data.corpus)
    assert data.ids()[6:8] == ["cats/é6", "dogs/é0"]
    np.testing.assert_array_equal(data.rows(0, 12), encoder.encode_documents(documents).vectors)
    assert data.array("queries").shape == data.array("tuning_queries").shape == (1, 16)


@pytest.mark.parametrize("kind", ["index", "export"])
def test_vectors_are_taken_from_an_index_or_an_export(corpora, tmp_path, kind):
    encoder = HashingEncoder(16)
    made = make_real(tmp_path / "made", corpora, encoder=encoder, vectors=None, seed=0)
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(made.corpus, encoder)
        index.export(tmp_path / "export")
    source = open_vectors(tmp_path / ("kb" if kind == "index" else "export"))
    data = make_real(tmp_path / "data", corpora, encoder=encoder, vectors=source, seed=0)
    np.testing.assert_allclose(data.vectors[:12], made.vectors[:12], atol=1e-3)
    with pytest.raises(SpaceMismatchError, match="the folder of vectors"):
        make_real(tmp_path / "other", corpora, encoder=HashingEncoder(8), vectors=source, seed=0)


def test_a_document_with_another_text_is_refused(corpora, tmp_path):
    encoder = HashingEncoder(16)
    with Index.create(tmp_path / "kb", encoder.space) as index:
        index.add(make_real(tmp_path / "made", corpora, encoder=encoder, vectors=None, seed=0).corpus, encoder)
    changed = (corpora[0] / "corpus.jsonl").read_text(encoding="utf-8").replace("number 3", "number 9")
    (corpora[0] / "corpus.jsonl").write_text(changed, encoding="utf-8")
    with pytest.raises(InputError, match="'cats/é3' has another text in index 'kb'"):
        make_real(tmp_path / "data", corpora, encoder=encoder, vectors=open_vectors(tmp_path / "kb"), seed=0)


def figures(scale=1.0, **others):
    """A store all of whose costs are 2, times the scale."""
    two = {"p50_ms": 2 * scale, "p99_ms": 2 * scale, "n": 9}
    filters = [{"share": 0.5, "documents": 5, "first": two, "repeated": two, "recall": 1.0, "outside": 0}]
    return {
        "add_s": scale,
        "build_s": scale,
        "open_ms": 2 * scale,
        "first_search_ms": 2 * scale,
        "single": {**two, "recall": 0.995},
        "batch": {**two, "recall": 0.995},
        "filters": filters,
        "structure": {"name": "IndexFlatIP"},
        "memory_peak_bytes": 3 << 20,
        "vectors_bytes": 1 << 20,
        "bytes": 5 << 20,
        "searching_memory_bytes": None,
        "searching_own_memory_bytes": None,
        "documents_s": scale,
        "structure_s": 0.0,
        "fulltext_s": 0.0,
        **others,
    }


def test_costs_are_compared_only_where_both_have_them():
    ours = figures(upsert={"p50_ms": 2.0}, delete={"p50_ms": 2.0})
    assert costs(ours)["build_s"] == 2.0
    ratios = times_faster(ours, figures(3.0))
    assert set(ratios.values()) == {3.0}
    assert "filter_50%_p50_ms" in ratios
    assert "upsert_p50_ms" not in ratios


def report_of(*datasets):
    names = {"versions": {"numpy": "2.4", "faiss-gpu": None}, "cores": 2, "processor": "P", "memory_gib": 8.0}
    machine = {**names, "system": "Linux x86_64", "python": "3.11"}
    sets = [
        {
            "name": str(n),
            "documents": n,
            "dim": 4,
            "k": 10,
            "queries": 1000,
            "source": {"kind": "synthetic", "n_clusters": 2000, "width": 0.7},
            "stores": stores,
            "times_faster": {name: times_faster(stores["routeret"], one) for name, one in stores.items()},
        }
        for n, stores in datasets
    ]
    return {
        "kind": "routeret index benchmark",
        "format": 1,
        "machine": machine,
        "settings": {"seed": 0},
        "datasets": sets,
        "growth": growth(sets),
    }


def test_shares_are_told_to_one_digit():
    assert [percent(share) for share in (0.5, 0.0099973, 0.0000982535, 1.0)] == ["50", "1", "0.01", "100"]


def test_growth_is_the_exponent():
    report = report_of((100, {"routeret": figures(1.0)}), (10_000, {"routeret": figures(10.0)}))
    assert set(report["growth"].values()) == {0.5}
    assert growth(report["datasets"][:1]) == {}


def test_the_page_shows_the_figures():
    report = report_of(
        (
            1000,
            {"routeret": figures(upsert={"p50_ms": 2.0}, upsert_then_search={"p50_ms": 0.1234}), "flat": figures(4)},
        ),
        (10_000, {"routeret": figures(10.0)}),
    )
    page = render(report)
    assert page == render(json.loads(json.dumps(report, sort_keys=True)))
    assert "2 cores of P, 8.0 GiB, Linux x86_64, Python 3.11; numpy 2.4; seed 0." in page
    assert "## 1,000 synthetic documents" in page
    assert "| FAISS flat | IndexFlatIP | 8 | 8 | 0.9950 | 8 | 0.9950 |" in page
    assert "| routeret | 2 | 0.123 | - | - | - |" in page
    assert "less the size of the stored vectors: 2 MiB." in page
    assert "| one query, median | 1 | 4 |" in page
    assert "| build | 1.00 |" in page
    assert [number(value) for value in (None, 0.01234, 12.34, 1234.5)] == ["-", "0.0123", "12.3", "1,234"]


def test_a_file_that_is_no_report_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_report(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"kind": "report"}')
    with pytest.raises(ArtifactError, match="is not a routeret index benchmark of format 1"):
        load_report(tmp_path / "other.json")


def test_plots_carry_what_they_show(tmp_path):
    report = report_of((100, {"routeret": figures(1.0)}), (10_000, {"routeret": figures(10.0)}))
    first = [file.read_bytes() for file in draw(report, tmp_path / "a")]
    assert first == [file.read_bytes() for file in draw(report, tmp_path / "b")]
    for plot, content in zip(PLOTS, first, strict=True):
        assert fingerprint(plot.points(report)).encode() in content
    assert PLOTS[0].points(report) == {"routeret": [(100, 2.0), (10_000, 20.0)]}
    assert PLOTS[2].points(report) == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "neither sizes nor corpora"),
        ({"sizes": [1]}, "size 1 was given, expected at least 2"),
        ({"sizes": [10], "stores": ["sqlite"]}, "store 'sqlite' is unknown; give some of: routeret, flat"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        bench_index(**options)


@pytest.mark.parametrize("n_documents", [2, 1000])
def test_a_small_run(tmp_path, n_documents):
    pytest.importorskip("faiss")
    output = tmp_path / "bench.json"
    report = bench_index([n_documents], stores=["flat"], work=tmp_path / "work", output=output)
    assert load_report(output) == json.loads(json.dumps(report))
    assert list((tmp_path / "work").iterdir()) == []
    assert str(tmp_path) not in output.read_text()
    (dataset,) = report["datasets"]
    ours, flat = dataset["stores"]["routeret"], dataset["stores"]["flat"]
    n_changes = min(20, n_documents // 2)
    assert ours["upsert"]["found_at_once"] == ours["delete"]["gone_at_once"] == n_changes
    for one in (ours, flat):
        assert one["single"]["n"] == 1000
        assert one["single"]["recall"] >= 0.99
        assert one["batch"]["recall"] >= 0.99
        assert [used["outside"] for used in one["filters"]] == [0, 0, 0]
        assert [used["documents"] for used in one["filters"]] == [n_documents // 2, max(1, n_documents // 100), 1]
        assert min(used["recall"] for used in one["filters"]) >= 0.99
    assert ours["vectors_bytes"] == n_documents * 384 * 2
    assert dataset["times_faster"]["flat"]["single_p50_ms"] > 0
    assert render(report) == render(load_report(output))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lancedb", "chroma"])
def test_other_stores_find_filter_and_change(tmp_path, name):
    kind = STORES[name]
    if not all(is_installed(module) for module, _ in kind.requires):
        pytest.skip("not installed")
    make_synthetic(tmp_path / "data", 300, clusters=Clusters(seed=1, dim=16, n_clusters=5))
    code = "import sys; from routeret.benchmarks.worker import main; main(sys.argv[1:])"
    # Each task in a process of its own: these libraries warn on import, and start threads.
    for task in ("add", "build", "tune", "search", "change"):
        setting = json.loads((tmp_path / "tune.json").read_text())["setting"] if task in ("search", "change") else {}
        arguments = [task, name, tmp_path / "store", tmp_path / "data", json.dumps(setting), tmp_path / f"{task}.json"]
        subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, capture_output=True)
    searched, changed = (json.loads((tmp_path / f"{task}.json").read_text()) for task in ("search", "change"))
    assert searched["single"]["recall"] >= 0.98
    assert [used["outside"] for used in searched["filters"]] == [0, 0, 0]
    assert changed["upsert"]["found_at_once"] == changed["delete"]["gone_at_once"] == 20


def test_a_data_folder_opens_again(tmp_path):
    made = make_synthetic(tmp_path / "data", 20, clusters=SMALL)
    assert BenchData(tmp_path / "data").facts == made.facts
    assert BenchData(tmp_path / "data").space == made.space
