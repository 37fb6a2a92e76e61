"""The search structure inside an index: built when it pays, right beside new and removed rows, rebuilt at will."""

import shutil

import numpy as np
import pytest

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import InputError
from routeret.index import Index
from routeret.types import Document, EncodedDocuments

pytest.importorskip("faiss")


class Clustered(HashingEncoder):
    """Vectors around a few centres, by the number in a document's id."""

    def __init__(self):
        super().__init__(dim=32)
        self.n_encoded = 0

    def encode_documents(self, documents):
        self.n_encoded += len(documents)
        vectors = np.stack([self.vector(int(document.id)) for document in documents])
        return EncodedDocuments(vectors, np.zeros(len(documents), dtype=np.bool_))

    def vector(self, number):
        rng = np.random.default_rng(number)
        centre = np.random.default_rng(10**6 + number % 20).normal(size=32)
        vector = centre + 0.5 * rng.normal(size=32)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def documents(start, end):
    return Corpus.of([Document(id=str(n), text=f"text {n}", metadata={"n": n}) for n in range(start, end)])


@pytest.fixture
def encoder():
    return Clustered()


def few_rows_are_many(monkeypatch):
    for module in ("row_search", "choosing"):
        monkeypatch.setattr(f"routeret.index.structures.{module}.EXACT_ROWS", 300)
    monkeypatch.setattr("routeret.index.structures.row_search._TAIL_ROWS", 300)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of an index of 1000 documents; read only."""
    folder, encoder = tmp_path_factory.mktemp("built") / "kb", Clustered()
    with pytest.MonkeyPatch.context() as patch, Index.create(folder, encoder.space) as index:
        few_rows_are_many(patch)
        index.add(documents(0, 1000), encoder)
    return folder


@pytest.fixture
def index(built, tmp_path, monkeypatch):
    few_rows_are_many(monkeypatch)
    with Index.open(shutil.copytree(built, tmp_path / "kb")) as index:
        yield index


def found(index, encoder, number, k=1, **options):
    rows = index.search(encoder.vector(number)[None, :], k, space=encoder.space, **options).rows[0]
    return index.ids(index.row_documents[rows])


def test_it_is_built_when_it_pays(index, encoder):
    info = index.info()["structure"]
    assert (info["factory"], info["rows"], info["rows_exact"], info["is_due"]) == ("PQ16x4fs", 1000, 0, False)
    assert info["recall_worst"] >= 0.99
    assert index.has_structure()
    with Index.open(index.folder) as reader:
        assert reader.info()["structure"]["factory"] == "PQ16x4fs"
        for number in (0, 500, 999):
            assert found(reader, encoder, number) == [str(number)]


def test_new_rows_are_found_beside_it_and_removed_ones_are_not(index, encoder):
    index.add(documents(1000, 1100), encoder)
    info = index.info()["structure"]
    assert (info["rows"], info["rows_exact"]) == (1000, 100)
    assert found(index, encoder, 1050) == ["1050"]
    index.delete(["1050", "7"])
    assert found(index, encoder, 1050) != ["1050"]
    assert found(index, encoder, 7) != ["7"]
    everything = index.search(encoder.vector(7)[None, :], 5000, space=encoder.space)
    assert everything.rows.shape == (1, 1098)
    index.add(documents(1100, 1400), encoder)
    assert index.info()["structure"]["rows"] == 1400, "enough new rows, and it is built again"


def test_compacting_builds_it_again(index, encoder):
    index.delete([str(n) for n in range(0, 1000, 2)])
    n_encoded = encoder.n_encoded
    index.compact()
    info = index.info()["structure"]
    assert (info["factory"], info["rows"], info["rows_exact"]) == ("PQ16x4fs", 500, 0)
    assert found(index, encoder, 501) == ["501"]
    assert encoder.n_encoded == n_encoded


def test_a_filter_agrees_with_brute_force(index, encoder):
    index.delete(["998"])
    for limit in (1, 10, 100, 900):
        allowed = index.matching({"n": {"gte": 1000 - limit}})
        assert allowed.sum() == limit - (limit >= 2)
        numbers = np.flatnonzero(allowed)
        scores = index.vectors(numbers) @ encoder.vector(3)
        best = numbers[np.argsort(-scores, kind="stable")][:5]
        assert found(index, encoder, 3, k=5, documents=allowed) == index.ids(best)
    with pytest.raises(InputError, match=r"documents has shape \(3,\), expected \(1000,\)"):
        found(index, encoder, 3, documents=np.ones(3, dtype=np.bool_))


def test_the_user_names_another_one_and_it_stays(index, encoder):
    info = index.optimise(factory="HNSW16", recall=0.95)
    assert info["factory"].startswith("HNSW16")
    assert info["recall_worst"] >= 0.95
    index.add(documents(1000, 1500), encoder)
    info = index.info()["structure"]
    assert (info["factory"].startswith("HNSW16"), info["rows"], info["recall_target"]) == (True, 1500, 0.95)
    assert index.optimise(factory="exact")["factory"] == "exact"
    assert found(index, encoder, 1234) == ["1234"]
    index.add(documents(1500, 2000), encoder)
    assert index.info()["structure"]["factory"] == "exact"
    with pytest.raises(InputError, match="NOT A FACTORY"):
        index.optimise(factory="NOT A FACTORY")
    with pytest.raises(InputError, match="recall is 1.5"):
        index.optimise(recall=1.5)


def test_further_probes_are_measured(index):
    rng = np.random.default_rng(0)
    probes = rng.normal(size=(50, 32)).astype(np.float32)
    info = index.measure({"bio": probes / np.linalg.norm(probes, axis=1, keepdims=True)})
    assert {"bio", "documents"} == set(info["recall"])
    assert info["recall_worst"] >= 0.99
    with Index.open(index.folder) as reader:
        assert set(reader.info()["structure"]["recall"]) == {"bio", "documents"}


@pytest.mark.parametrize("damage", ["missing", "cut", "empty manifest"])
def test_without_it_search_is_exact(index, encoder, damage):
    (structure,) = (index.folder / "ann").iterdir()
    file = structure / "structure.faiss"
    if damage == "missing":
        shutil.rmtree(index.folder / "ann")
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        (structure / "manifest.json").write_text("{}")
    with Index.open(index.folder) as reader:
        assert reader.info()["structure"]["factory"] == "exact"
        assert found(reader, encoder, 77) == ["77"]
        reader.optimise()
        assert reader.info()["structure"]["factory"] == "PQ16x4fs"
        assert reader.verify() == []
