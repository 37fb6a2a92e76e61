"""Tuning an index without labels: what is learned is what the index searches with, until it is taken away."""

import json

import numpy as np
import pytest
from tiny_packs import linear_expert, pilot_corpus, write_expert

from routeret.artifact import MANIFEST, write_manifest
from routeret.encoders import HashingEncoder
from routeret.errors import ArtifactError, InputError, UnknownExpertError
from routeret.index.lexical import Fulltext
from routeret.retriever import Retriever, unlabelled
from routeret.retriever.checking import check_folder
from routeret.retriever.folder import FORMAT, KIND, Contents
from routeret.retriever.learned_map import OWN_MAP, LearnedMap, shift_of
from routeret.retriever.unlabelled import unknown_documents, unlabelled_task
from routeret.routing.whitening import whitening
from routeret.training.pseudo_queries import pseudo_queries
from routeret.training.unlabelled import NO_ROW, UnlabelledOutcome
from routeret.types import Document, LabelledQuery

BASE = HashingEncoder(32)
N_DOCUMENTS = 520
ASKED = "word1 word2 word3"


def documents(n=N_DOCUMENTS, *, start=0):
    rng = np.random.default_rng(11 + start)
    words = [f"word{number}" for number in range(80)]
    texts = [" ".join(rng.choice(words, size=9)) for _ in range(n)]
    return [Document(id=f"d{start + number}", title=f"title {number}", text=text) for number, text in enumerate(texts)]


def built(folder):
    retriever = Retriever.create(folder, base="hashing-32", storage="fp32")
    retriever.add(documents())
    return retriever


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index that is not changed."""
    path = tmp_path_factory.mktemp("unlabelled") / "kb"
    built(path).close()
    return path


@pytest.fixture
def kb(folder):
    with Retriever.open(folder) as retriever:
        yield retriever


@pytest.fixture
def own(tmp_path):
    """An index that may be changed."""
    with built(tmp_path / "kb") as retriever:
        yield retriever


MAP = np.random.default_rng(0).normal(scale=0.5, size=(32, 32)).astype(np.float32)


def teach(monkeypatch, weight):
    """Make tuning learn this map, whatever the documents are."""
    outcome = UnlabelledOutcome(weight, before=0.5, after=0.6)
    monkeypatch.setattr(unlabelled, "fit_unlabelled", lambda *_arguments, **_options: outcome)


@pytest.fixture
def learns(monkeypatch):
    """Whatever is tuned learns a map that is known here."""
    teach(monkeypatch, MAP)


def ids_by_map(retriever, text, weight, k=5):
    query = BASE.encode_queries([text])[0]
    turned = query + np.float32(0.2) * (weight @ query)
    vectors = retriever.index.vectors(retriever.index.live_rows)
    order = np.argsort(-(vectors @ (turned / np.linalg.norm(turned))), kind="stable")
    return retriever.index.ids(retriever.index.row_documents[retriever.index.live_rows[order[:k]]])


def found(retriever, text=ASKED):
    return retriever.search(text, 5, disable=["bm25"])


def test_the_task_holds_what_base_and_bm25_find(kb):
    searcher = kb.searcher
    task = unlabelled_task(searcher, unknown_documents(searcher))
    # Of 520 documents, the largest step of growth, 500, is looked at.
    drawn = pseudo_queries(documents()[:500], most=2000)
    np.testing.assert_allclose(task.queries, BASE.encode_queries(drawn.texts), atol=1e-6)
    vectors = kb.index.vectors(np.arange(N_DOCUMENTS))
    fulltext = Fulltext.of(
        ((number, f"{one.title}\n{one.text}") for number, one in enumerate(documents())), n_documents=N_DOCUMENTS
    )
    for query in (0, 499, 999):
        rows = task.candidates[query][task.candidates[query] != NO_ROW]
        lexical = task.lexical[query][: len(rows)]
        nearest = np.argsort(-(vectors @ task.queries[query]))[:90]
        assert np.isin(nearest, rows).all()
        found = fulltext.search(drawn.texts[query], 100)
        assert np.isin(found.numbers, rows).all()
        best = dict(zip(found.numbers.tolist(), (found.scores / found.scores[0]).tolist(), strict=True))
        for row, value in zip(rows.tolist(), lexical.tolist(), strict=True):
            if row in best:
                assert value == pytest.approx(best[row], abs=1e-5)
        assert task.sources[query] in rows


@pytest.mark.usefixtures("learns")
def test_what_was_learned_turns_queries_until_it_is_removed(own):
    before = found(own)
    assert before.routing.adaptation == 0
    report = own.tune_unlabelled()
    assert (report.installed, report.before, report.after, report.strength) == (True, 0.5, 0.6, 0.2)
    assert (report.n_documents, report.n_pseudo_queries) == (500, 1000)
    hits = found(own)
    assert [hit.id for hit in hits] == ids_by_map(own, ASKED, MAP)
    assert hits.routing.adaptation == pytest.approx(0.2)
    # Asked for by name, the base stays what it is.
    assert own.search(ASKED, 5, expert="base").routing.adaptation == 0
    assert own.expert_names == ()
    own.remove_expert(OWN_MAP)
    assert [hit.id for hit in found(own)] == [hit.id for hit in before]
    with pytest.raises(UnknownExpertError, match="has no own-map; tuning without labels makes it"):
        own.remove_expert(OWN_MAP)


@pytest.mark.usefixtures("learns")
def test_the_map_is_there_for_others_and_when_opened_again(own):
    with Retriever.open(own.index.folder) as other:
        found(other)
        own.tune_unlabelled()
        other.refresh()
        assert [hit.id for hit in found(other)] == ids_by_map(own, ASKED, MAP)
    with Retriever.open(own.index.folder) as again:
        assert [hit.id for hit in found(again)] == ids_by_map(own, ASKED, MAP)
        assert [hit.id for hit in found(again, "word7 word8")] == ids_by_map(own, "word7 word8", MAP)


@pytest.mark.usefixtures("learns")
def test_documents_that_come_later_are_searched_with_the_same_map(own):
    own.tune_unlabelled()
    own.add(documents(300, start=1000))
    assert [hit.id for hit in found(own)] == ids_by_map(own, ASKED, MAP)


@pytest.mark.usefixtures("learns")
def test_tuning_again_puts_a_new_map_in_its_place(own, monkeypatch):
    own.tune_unlabelled()
    teach(monkeypatch, -MAP)
    own.tune_unlabelled()
    assert [hit.id for hit in found(own)] == ids_by_map(own, ASKED, -MAP)
    assert check_folder(own.index.folder).is_whole
    # A map that was replaced goes with the next change, for readers that opened the folder before the last one.
    assert sorted(path.name for path in own.index.folder.glob("map-*")) == ["map-1", "map-2"]
    own.remove_expert(OWN_MAP)
    assert [path.name for path in own.index.folder.glob("map-*")] == ["map-2"]


def test_what_does_not_help_is_not_installed(own):
    # The vectors of this encoder hold words and little else, so that full text can teach them nothing.
    before = found(own)
    report = own.tune_unlabelled()
    assert not report.installed
    assert report.after <= report.before
    assert "no better than the map that is computed of the documents" in report.reason
    assert Contents.read(own.index.folder).index_map is None
    assert found(own).as_dict() == before.as_dict()


@pytest.mark.usefixtures("learns")
def test_experts_that_know_the_documents_leave_nothing_to_learn(own, tmp_path):
    own.tune_unlabelled()
    expert = linear_expert("nurse", known=documents()[:30])
    own.add_expert(write_expert(tmp_path / "nurse", expert, pilot_corpus("fruit", {"nurse": 0.1}, home=["nurse"])))
    # The map is still there, beside the expert, where this does not know the first hits.
    first = found(own, "word1 word2 word3")
    assert first.routing.adaptation > 0
    report = own.tune_unlabelled()
    assert not report.installed
    assert "documents were found that no expert knows, needed: at least 500; the map that was learned" in report.reason
    assert report.n_documents < 500
    # Nothing was learned, so nothing changes.
    assert found(own, "word1 word2 word3").routing.adaptation == first.routing.adaptation
    own.remove_expert("nurse")
    assert [hit.id for hit in found(own)] == ids_by_map(own, ASKED, MAP)


@pytest.mark.usefixtures("learns")
def test_an_expert_that_knows_all_documents_silences_the_map(own, tmp_path):
    own.tune_unlabelled()
    # As tuning with labels makes one.
    expert = linear_expert("nurse", known=documents())
    own.add_expert(write_expert(tmp_path / "nurse", expert, pilot_corpus("fruit", {"nurse": 0.1}, home=["nurse"])))
    assert found(own).routing.adaptation == 0
    own.remove_expert("nurse")
    assert found(own).routing.adaptation == pytest.approx(0.2)


@pytest.mark.parametrize("n", [0, 499])
def test_few_documents_teach_nothing(tmp_path, n):
    with Retriever.create(tmp_path / "kb", base="hashing-32") as retriever:
        if n:
            retriever.add(documents(n))
        report = retriever.tune_unlabelled()
    assert not report.installed
    assert report.reason == f"{n} documents were found that no expert knows, needed: at least 500"
    assert report.n_pseudo_queries == 0


def test_documents_of_a_single_word_teach_nothing(tmp_path):
    with Retriever.create(tmp_path / "kb", base="hashing-32") as retriever:
        retriever.add([Document(id=f"d{number}", text=f"word{number}") for number in range(520)])
        report = retriever.tune_unlabelled()
    assert not report.installed
    assert report.reason == "the documents give fewer than 200 sentences, titles and runs of words"


def test_no_expert_may_be_called_like_the_map(own):
    labelled = [LabelledQuery(text=f"title {number}", relevant=(f"d{number}",)) for number in range(4)]
    with pytest.raises(InputError, match="'own-map' is what the map of an index is called"):
        own.tune(labelled, name=OWN_MAP)


def test_a_map_comes_back_as_it_was_saved(tmp_path):
    LearnedMap(MAP, {"seed": 3}).save(tmp_path / "map-1")
    loaded = LearnedMap.load(tmp_path / "map-1", dim=32)
    np.testing.assert_array_equal(loaded.weight, MAP)
    assert loaded.details == {"seed": 3}
    with pytest.raises(ArtifactError, match=r"holds a map of shape \(32, 32\), the index needs \(16, 16\)"):
        LearnedMap.load(tmp_path / "map-1", dim=16)


@pytest.mark.usefixtures("learns")
def test_a_damaged_map_is_found(own):
    own.tune_unlabelled()
    file = own.index.folder / "map-1" / "map.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    report = check_folder(own.index.folder)
    assert [one.path for one in report.damage] == [str(file)]
    with Retriever.open(own.index.folder) as again, pytest.raises(ArtifactError, match="map.safetensors"):
        again.search(ASKED, 1)


def test_an_index_of_an_earlier_version_has_no_map(own):
    manifest = own.index.folder / MANIFEST
    values = json.loads(manifest.read_text(encoding="utf-8"))
    fields = {name: value for name, value in values.items() if name not in ("kind", "format", "files", "checksum")}
    assert fields.pop("index_map") is None
    write_manifest(own.index.folder, kind=KIND, format_number=FORMAT, fields=fields, covered=[])
    assert Contents.read(own.index.folder).index_map is None
    assert Contents.read(own.index.folder) == own._loader.contents


def test_a_learned_map_makes_room_as_far_as_bm25_counts():
    vectors = np.eye(2, dtype=np.float32)[[0, 0, 0, 0]]
    learned, of_documents = np.diag([2, 0]).astype(np.float32), np.diag([10, 0]).astype(np.float32)
    lexical = np.array([0.0, 0.05, 0.2, 0.4], dtype=np.float32)
    # BM25 counts 0.2 in what was learned: a quarter of it leaves three quarters of 2, and a quarter of 10.
    shift = shift_of(vectors, lexical, learned=learned, computed=lambda: of_documents)
    np.testing.assert_allclose(shift, [[2, 0], [4, 0], [10, 0], [10, 0]], atol=1e-6)
    np.testing.assert_allclose(shift_of(vectors, lexical, learned=None, computed=lambda: of_documents)[:, 0], 10)
    without = shift_of(vectors, lexical, learned=learned, computed=lambda: None)
    np.testing.assert_allclose(without[:, 0], [2, 1.5, 0, 0], atol=1e-6)


def test_a_map_of_the_documents_is_not_computed_where_bm25_is_off():
    def never():
        raise AssertionError

    vectors, nothing = np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.float32)
    np.testing.assert_array_equal(shift_of(vectors, nothing, learned=2 * vectors, computed=never), 2 * vectors)


@pytest.mark.usefixtures("learns")
def test_beside_bm25_an_index_keeps_the_map_of_its_documents(own):
    own.tune_unlabelled()
    searcher = own.searcher
    (block,) = searcher.blocks([ASKED], depth=1)
    routing = searcher.route(block)
    np.testing.assert_allclose([routing.lexical[0], routing.adaptation[0]], [0.2, 0.2], atol=1e-6)
    query = block.batch.base[0]
    turned = query + np.float32(0.2) * (whitening(own.index.vectors(np.arange(500))) @ query)
    found_vector = searcher.query_vectors(block.batch, routing)[0]
    np.testing.assert_allclose(found_vector, turned / np.linalg.norm(turned), atol=1e-5)
