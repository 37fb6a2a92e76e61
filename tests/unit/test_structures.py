"""Search structures: what is chosen, what is measured, what is saved, and how a search grows with its index."""

import json
import threading

import numpy as np
import pytest
from stored_vectors import Stored, clustered

from routeret.errors import ArtifactError, InputError
from routeret.index.structures import tuning
from routeret.index.structures.ann import Ann, build, damaged, open_ann
from routeret.index.structures.choosing import EXACT_ROWS, factories
from routeret.index.structures.coded_rows import CodedRows
from routeret.index.structures.faiss_structure import sample_size
from routeret.index.structures.row_search import RowSearch
from routeret.index.structures.tuning import Probing, Settings, cheapest, document_probes

DIM = 16


@pytest.fixture(scope="module")
def vectors():
    return clustered(4000)


@pytest.fixture(scope="module")
def lists(vectors):
    pytest.importorskip("faiss")
    return build(Stored(vectors), factory="IVF16,PQ8x4fs", probes={"base": clustered(50, seed=3)})


def test_what_suits_how_many_rows():
    assert factories(EXACT_ROWS - 1, 384) == ()
    assert factories(EXACT_ROWS, 384) == ("PQ192x4fs", "SQ8")
    assert factories(199_999, 384) == ("PQ192x4fs", "SQ8")
    assert factories(200_000, 384) == ("IVF512,PQ192x4fs", "SQ8")
    assert factories(1_000_000, 384) == ("IVF1024,PQ192x4fs", "SQ8")
    assert factories(16_000_000, 768) == ("IVF4096,PQ384x4fs", "SQ8")
    assert factories(1_000_000, 9) == ("IVF1024,PQ3x4fs", "SQ8")
    assert factories(EXACT_ROWS, 7) == factories(1_000_000, 7) == ("SQ8",)


def test_few_rows_teach_short_codes_and_more_teach_lists():
    pytest.importorskip("faiss")
    assert sample_size("PQ8x4fs", DIM, 1000) == 1000
    assert sample_size("PQ8x4fs", DIM, 10**6) == 2048
    assert sample_size("SQ8", DIM, 10**6) == 20_000
    assert sample_size("IVF1024,PQ8x4fs", DIM, 10**6) == 51_200


def test_few_rows_get_no_structure(vectors):
    for n_rows in (0, 1, 4000):
        ann = build(Stored(vectors[:n_rows]))
        assert (ann.factory, ann.n_rows, ann.recall, ann.reason) == ("exact", n_rows, {}, "")
    assert build(Stored(vectors), factory="exact", probes={"base": vectors[:3]}).recall == {"base": 1.0}


def test_the_recall_is_that_of_the_settings(vectors, lists):
    assert lists.factory == "IVF16,PQ8x4fs"
    assert lists.info()["rows"] == 4000
    assert lists.info()["recall_worst"] == lists.recall["base"] >= 0.99
    queries = clustered(50, seed=3)
    found = RowSearch(Stored(vectors), lists).search(queries, 10)
    exact = RowSearch(Stored(vectors)).search(queries, 10)
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.rows, exact.rows, strict=True)])
    assert lists.recall["base"] == pytest.approx(shared, abs=1e-6)


def test_the_cheapest_settings_are_taken(vectors, lists):
    probing = Probing(Stored(vectors), {"base": clustered(50, seed=3)}, n_rows=4000)
    low, high = (cheapest(lists.structure, probing, recall=recall)[0] for recall in (0.5, 0.99))
    assert low.effort < high.effort
    assert low.n_refined <= high.n_refined


@pytest.mark.parametrize("likeliest", [1, 17])
def test_recalls_are_the_same_however_many_candidates_are_scored_first(vectors, lists, likeliest, monkeypatch):
    probing = Probing(Stored(vectors), {"base": clustered(50, seed=3), "far": vectors[:7] * -1}, n_rows=4000)
    monkeypatch.setattr(tuning, "_LIKELIEST", 10**6)
    expected = probing.recalls(lists.structure, 2)
    monkeypatch.setattr(tuning, "_LIKELIEST", likeliest)
    found = probing.recalls(lists.structure, 2)
    for name, curve in expected.items():
        assert 0 < curve.mean[0] < curve.mean[-1]
        np.testing.assert_array_equal(found[name].mean, curve.mean)
        np.testing.assert_array_equal(found[name].error, curve.error)


def test_the_worst_probes_decide(vectors):
    pytest.importorskip("faiss")
    near = vectors[:50]
    far = np.random.default_rng(0).normal(size=(50, DIM)).astype(np.float32)
    both = build(Stored(vectors), factory="IVF16,PQ8x4fs", recall=0.9, probes={"near": near, "far": far})
    alone = build(Stored(vectors), factory="IVF16,PQ8x4fs", recall=0.9, probes={"near": near})
    assert min(both.recall.values()) >= 0.95
    cost = [ann.settings.effort * 4000 / 16 + 200 * ann.settings.n_refined for ann in (alone, both)]
    assert cost[0] < cost[1]


def test_measuring_new_probes_raises_the_settings_without_a_rebuild(vectors):
    pytest.importorskip("faiss")
    easy = build(Stored(vectors), factory="IVF16,PQ8x4fs", recall=0.9, probes={"near": vectors[:50]})
    far = np.random.default_rng(0).normal(size=(50, DIM)).astype(np.float32)
    raised = easy.measured(Stored(vectors), {"far": far})
    assert raised.structure is easy.structure
    assert raised.settings.effort >= easy.settings.effort
    assert raised.settings.n_refined >= easy.settings.n_refined
    assert raised.settings != easy.settings
    assert raised.recall["far"] >= 0.9
    assert raised.recall["near"] == easy.recall["near"]
    assert raised.measured(Stored(vectors), {"near": vectors[:50]}).settings == raised.settings


def test_what_cannot_reach_the_recall_is_searched_exactly():
    pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).normal(size=(30_000, DIM)).astype(np.float32)
    probes = {"base": np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32)}
    ann = build(Stored(vectors), factory="PQ1x4", recall=1.0, probes=probes)
    assert (ann.factory, ann.structure, ann.recall) == ("exact", None, {"base": 1.0})
    assert ann.reason == "PQ1x4 cannot reach recall 1.0"
    search = RowSearch(Stored(vectors), ann)
    assert (search.info()["rows_exact"], search.is_due) == (30_000, False)
    assert (
        search.search(vectors[:1], 1).rows.tolist() == RowSearch(Stored(vectors)).search(vectors[:1], 1).rows.tolist()
    )


def test_copies_of_one_vector_stand_for_each_other():
    pytest.importorskip("faiss")
    vectors = np.tile(clustered(4), (500, 1))
    ann = build(Stored(vectors), factory="SQ8", probes={"base": clustered(4)})
    assert ann.recall == {"base": 1.0}


def test_probes_made_of_documents_are_the_same_every_time(vectors):
    first, second = (document_probes(Stored(vectors), seed=1, n_rows=4000)["documents"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first.shape, first.dtype) == ((512, DIM), np.float32)


def test_wider_for_more_hits():
    assert [Settings(8, 200).width(k) for k in (1, 10, 100, 300)] == [200, 200, 1003, 2163]
    assert Settings(8, 20).width(1000) == 3000


@pytest.mark.parametrize("factory", ["bogus", "IDMap,SQ8", "SQ8,RFlat", "PQ7x4fs"])
def test_factory_strings_that_do_not_fit(vectors, factory):
    pytest.importorskip("faiss")
    with pytest.raises(InputError, match=factory):
        build(Stored(vectors), factory=factory)


def test_wrong_arguments(vectors, lists):
    with pytest.raises(InputError, match="recall is 1.5"):
        build(Stored(vectors), recall=1.5)
    with pytest.raises(InputError, match=r"'base' have shape \(2, 3\)"):
        build(Stored(vectors), factory="SQ8", probes={"base": np.ones((2, 3), dtype=np.float32)})
    with pytest.raises(InputError, match="no probes"):
        build(Stored(vectors), factory="SQ8", probes={})
    with pytest.raises(InputError, match="covers 4000 rows, there are 10"):
        RowSearch(Stored(vectors[:10]), lists)
    with pytest.raises(InputError, match=r"allowed has shape \(3,\)"):
        RowSearch(Stored(vectors)).search(vectors[:1], 1, allowed=np.ones(3, dtype=np.bool_))
    with pytest.raises(InputError, match="there are 10 rows, 4000 were there before"):
        RowSearch(Stored(vectors)).extended(Stored(vectors[:10]))


def test_an_extended_search_reads_new_rows_only(vectors, lists):
    for ann in (None, lists):
        before = RowSearch(Stored(vectors), ann)
        before.prepare()
        later = Stored(np.vstack([vectors, -vectors[:2]]))
        after = before.extended(later)
        if ann is None:
            assert later.read == [4000, 4001]
        assert after.search(-vectors[:2], 1).rows.tolist() == [[4000], [4001]]
        assert -1 < before.search(-vectors[:1], 1).rows[0, 0] < 4000


@pytest.mark.parametrize("n_covered", [0, 4000])
def test_rows_are_coded_once_a_few_queries_were_asked(vectors, lists, n_covered, monkeypatch):
    coded = []
    read = CodedRows.read
    monkeypatch.setattr(CodedRows, "read", lambda stored, *, first: coded.append(first) or read(stored, first=first))
    rows = np.vstack([vectors, -vectors[:300]])
    search = RowSearch(Stored(rows), lists if n_covered else None)
    queries = -vectors[:12]
    first = [search.search(queries[place : place + 1], 5) for place in range(8)]
    assert coded == []
    search = search.extended(Stored(rows))
    search.search(queries[8:9], 5)
    assert coded == [n_covered]
    again = search.search(queries, 5)
    assert coded == [n_covered]
    for place, found in enumerate(first):
        np.testing.assert_array_equal(found.rows[0], again.rows[place])
        np.testing.assert_array_equal(found.scores[0], again.scores[place])
    RowSearch(Stored(rows)).search(queries, 5)
    RowSearch(Stored(rows)).prepare()
    assert coded == [n_covered, 0, 0]


def test_nothing_is_coded_where_all_rows_are_covered(vectors, lists, monkeypatch):
    monkeypatch.setattr(CodedRows, "read", None)
    search = RowSearch(Stored(vectors), lists)
    search.prepare()
    assert search.search(vectors[:12], 1).rows.shape == (12, 1)


def test_a_grown_structure_covers_the_new_rows(vectors, lists):
    more = np.vstack([vectors, clustered(1000, seed=7)])
    probes = {"base": clustered(50, seed=3)}
    grown = build(Stored(more), factory="IVF16,PQ8x4fs", probes=probes, previous=lists)
    assert (grown.n_rows, grown.n_trained, lists.n_rows, lists.structure.n_rows) == (5000, 4000, 4000, 4000)
    assert grown.recall["base"] >= 0.99
    trained_again = build(Stored(np.vstack([more, more])), factory="IVF16,PQ8x4fs", probes=probes, previous=grown)
    assert trained_again.n_trained == 10_000


def test_when_a_structure_is_due(vectors, lists):
    assert not RowSearch(Stored(vectors)).is_due
    many = np.zeros((EXACT_ROWS, 2), dtype=np.float32)
    assert RowSearch(Stored(many)).is_due
    assert not RowSearch(Stored(many[:-1])).is_due
    assert not RowSearch(Stored(np.zeros((EXACT_ROWS + 3999, 2), dtype=np.float32)), lists).is_due
    assert RowSearch(Stored(np.zeros((EXACT_ROWS + 4000, 2), dtype=np.float32)), lists).is_due


@pytest.mark.parametrize(("covered", "beside"), [(10_000, 10_000), (20_000, 20_000), (40_000, 25_000), (10**6, 40_000)])
def test_the_more_rows_are_covered_the_more_may_stand_beside_them(covered, beside):
    ann = Ann(None, Settings(1, 20), covered, covered, 0.99, {}, 0)
    rows = np.broadcast_to(np.zeros((1, 2), dtype=np.float32), (covered + beside, 2))
    assert RowSearch(Stored(rows), ann).is_due
    assert not RowSearch(Stored(rows[:-1]), ann).is_due


@pytest.mark.parametrize("factory", ["IVF16,PQ8x4fs", "SQ8", "HNSW8,SQ8", "PCA8,IVF4,SQ8"])
def test_a_saved_structure_gives_the_same(vectors, tmp_path, factory):
    pytest.importorskip("faiss")
    built = build(Stored(vectors), factory=factory, probes={"base": clustered(30, seed=3)}, seed=4)
    for _ in range(2):
        built.save(tmp_path / "ann", space="s", generation=3)
    opened = open_ann(tmp_path / "ann", space="s", generation=3, n_rows=4100)
    assert opened.info() == built.info()
    assert damaged(tmp_path / "ann") == []
    queries = clustered(9, seed=6)
    expected, found = (RowSearch(Stored(vectors), ann).search(queries, 10) for ann in (built, opened))
    np.testing.assert_array_equal(found.rows, expected.rows)
    grown = build(Stored(np.vstack([vectors, vectors[:5]])), factory=factory, probes={"base": queries}, previous=opened)
    assert (grown.n_rows, grown.n_trained) == (4005, 4000)


def test_a_saved_decision_for_exact_search(tmp_path):
    ann = Ann(None, Settings(1, 20), 7, 7, 0.99, {"base": 1.0}, 0, "SQ8 cannot reach recall 0.99")
    ann.save(tmp_path / "ann", space="s", generation=0)
    assert open_ann(tmp_path / "ann", space="s", generation=0, n_rows=7) == ann


def test_stale_structures_are_refused(lists, tmp_path):
    folder = tmp_path / "ann"
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        open_ann(folder, space="s", generation=1, n_rows=4000)
    lists.save(folder, space="s", generation=1)
    with pytest.raises(ArtifactError, match="generation 1, the index of space s and generation 2"):
        open_ann(folder, space="s", generation=2, n_rows=4000)
    with pytest.raises(ArtifactError, match="of space s and"):
        open_ann(folder, space="t", generation=1, n_rows=4000)
    with pytest.raises(ArtifactError, match="covers 4000 rows, the index has 3999"):
        open_ann(folder, space="s", generation=1, n_rows=3999)


def test_damage_is_noticed_and_named(lists, tmp_path):
    folder = tmp_path / "ann"
    lists.save(folder, space="s", generation=1)
    file, manifest = folder / "structure.faiss", folder / "manifest.json"
    content, text = file.read_bytes(), manifest.read_text()

    def refused(match):
        with pytest.raises(ArtifactError, match=match):
            open_ann(folder, space="s", generation=1, n_rows=4000)
        assert len(damaged(folder)) == 1

    file.write_bytes(content[:-1])
    refused(f"has {len(content) - 1} bytes, expected {len(content)}")
    file.write_bytes(b"nonsense" + content[8:])
    refused("cannot be read by FAISS")
    file.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    assert str(file) in damaged(folder)[0]
    file.unlink()
    refused("is missing")
    file.write_bytes(content)
    manifest.write_text(text[:-20])
    refused("not valid JSON")
    values = json.loads(text)
    del values["effort"], values["checksum"]
    manifest.write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match="'effort'"):
        open_ann(folder, space="s", generation=1, n_rows=4000)
    manifest.write_text(text)
    assert damaged(folder) == []


def test_a_row_that_cannot_be_is_noticed(vectors, lists):
    few = lists.structure
    covered, few.n_rows = few.n_rows, 3
    try:
        with pytest.raises(ArtifactError, match="of 3 rows names row"):
            few.candidates(vectors[:1], 10, effort=16)
    finally:
        few.n_rows = covered


def test_many_threads_search_while_it_grows(vectors, lists):
    queries = clustered(20, seed=8)
    search = RowSearch(Stored(vectors), lists)
    expected = search.search(queries, 5).rows.tolist()
    later = search.extended(Stored(np.vstack([vectors, -10 * vectors[:3]])))
    found = []

    def look():
        for _ in range(10):
            found.append(search.search(queries, 5).rows.tolist() == expected)
            later.extended(Stored(np.vstack([later._vectors.vectors, vectors[:1]]))).search(queries, 5)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40
