"""A retriever whose documents change, searched with filters."""

import numpy as np
import pytest
from cutting import BARS

from routeret.encoders.hashing import HashingEncoder
from routeret.errors import InputError, UnknownDocumentError
from routeret.retriever import Retriever
from routeret.retriever.pool import DEFAULT_LEXICAL_WEIGHT
from routeret.types import BASE, LEXICAL, Document

ENCODER = HashingEncoder(dim=64)
DOCUMENTS = [
    Document(id=f"d{n}", text=f"{thing} {action}", metadata={"n": n, "thing": thing, "tags": [thing, action]})
    for n, (thing, action) in enumerate((thing, action) for thing in ("card", "tax", "cat") for action in "abcd")
]


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", base=ENCODER) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def ids(hits):
    return [hit.id for hit in hits]


def test_documents_change_and_searches_see_it(kb):
    report = kb.upsert([Document(id="d0", text="zebra"), Document(id="new", text="zebra crossing")])
    assert (report.added, report.changed) == (1, 1)
    assert sorted(ids(kb.search("zebra", 2))) == ["d0", "new"]
    report = kb.sync([Document(id="new", text="zebra crossing"), DOCUMENTS[3]])
    assert (report.unchanged, report.removed) == (2, 11)
    assert sorted(ids(kb.search("zebra", 99))) == ["d3", "new"]
    assert kb.delete(["new"]).removed == 1
    assert ids(kb.search("zebra crossing", 9)) == ["d3"]
    assert ids(kb.search("zebra crossing", 9, expert=LEXICAL)) == []
    assert kb.compact() == 13
    assert kb.verify().is_whole
    assert ids(kb.search("card", 9)) == ["d3"]
    with pytest.raises(UnknownDocumentError):
        kb.delete(["d3", "new"])
    assert len(kb) == 1


@pytest.mark.parametrize("wanted", [{"thing": "tax"}, {"n": {"gte": 10}}, {"tags": {"any": ["a", "cat"]}}])
@pytest.mark.parametrize("query", ["card a", "tax", "nothing of this"])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_a_filter_comes_before_the_best_are_chosen(kb, wanted, query, k):
    kb.delete(["d1", "d11"])
    index = kb.index
    allowed = np.flatnonzero(index.matching(wanted))
    scores = index.vectors(allowed).astype(np.float64) @ ENCODER.encode_queries([query])[0].astype(np.float64)
    lexical = index.fulltext.scores_of(query, allowed)
    if lexical.max() > 0:
        scores = scores + DEFAULT_LEXICAL_WEIGHT * lexical / lexical.max()
    order = np.lexsort((allowed, -scores.astype(np.float32)))[:k]
    hits = kb.search(query, k, filter=wanted)
    assert ids(hits) == index.ids(allowed[order])
    np.testing.assert_allclose([hit.score for hit in hits], scores[order], atol=1e-6)
    by_words = kb.search(query, k, filter=wanted, expert=LEXICAL)
    best = allowed[np.lexsort((allowed, -lexical))][: min(k, int((lexical > 0).sum()))]
    assert ids(by_words) == index.ids(best)


def test_a_filter_that_leaves_nothing(kb):
    for expert in (None, BASE, LEXICAL):
        assert ids(kb.search("card", 5, filter={"n": {"gt": 1000}}, expert=expert)) == []
    with pytest.raises(InputError, match="thing"):
        kb.search("card", filter={"thin": "card"})


def test_spans_of_long_documents(tmp_path):
    with Retriever.create(tmp_path / "kb", base=ENCODER, chunker=BARS) as kb:
        texts = {"x": "red|green tea|blue", "y": "green", "z": "-|-"}
        kb.add([Document(id=key, text=text) for key, text in texts.items()])
        hits = kb.search("green tea", 3, expert=BASE)
        assert ids(hits) == ["x", "y", "z"]
        assert hits[0].text[slice(*hits[0].span)] == "green tea"
        assert kb.upsert([Document(id="x", text="red|green tea, hot|blue")]).spans_embedded == 1
    with Retriever.open(tmp_path / "kb", base=ENCODER) as kb:
        assert ids(kb.search("blue", 1, expert=BASE)) == ["x"]
        with pytest.raises(InputError, match="function 'bars'"):
            kb.add([Document(id="new", text="a|b")])
        with pytest.raises(InputError, match="aggregation 'mean' is unknown"):
            kb.search("blue", 1, aggregation="mean")


def test_an_export_goes_into_another_retriever(kb, tmp_path):
    kb.export(tmp_path / "out")
    with Retriever.create(tmp_path / "other", base=ENCODER) as other:
        assert other.import_documents(tmp_path / "out").added == 12
        assert ids(other.search("tax c", 3)) == ids(kb.search("tax c", 3))


def test_recall_is_measured_for_the_base_and_every_expert(kb, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr("routeret.index.structures.row_search.EXACT_ROWS", 40)
    monkeypatch.setattr("routeret.index.structures.choosing.EXACT_ROWS", 40)
    kb.add([Document(id=f"e{n}", text=f"word{n} and word{n + 1}", metadata={}) for n in range(60)])
    structure = kb.info()["structure"]
    assert structure["factory"] == f"PQ{ENCODER.space.dim // 2}x4fs"
    assert set(structure["recall"]) == {BASE}
    assert structure["recall_worst"] >= 0.99
    assert ids(kb.search("word7 and word8", 1)) == ["e7"]
